"""What must be true of answers of one kind, whatever the test."""

import base64
import re

from .http import Response

STATUSES = {"ok", "exit", "signal", "timeout", "memory", "pids", "killed",
            "cpu_timeout", "disk", "output", "compile_error"}


def text_of(data):
    return data.decode("utf-8", errors="replace")


def check_result(result):
    """The fields of a result and how they depend on each other (docs/api.md)."""
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,40}", result["runner"])
    assert result["status"] in STATUSES
    assert "domain" in result
    assert result["language"] == "sh"
    assert re.fullmatch(r"[0-9a-f]{16}", result["requestId"])
    for name in ("duration", "queued", "wall", "cpuUser", "cpuSys"):
        assert isinstance(result[name], (int, float)) and result[name] >= 0, name
    assert result["wall"] <= result["duration"]
    assert isinstance(result["memoryPeak"], int) and result["memoryPeak"] >= 0
    assert set(result["truncated"]) == {"stdout", "stderr"}
    assert all(isinstance(flag, bool) for flag in result["truncated"].values())
    assert (result["status"] == "ok") == (result["exit"] == 0 and result["status"] == "ok")
    if result["status"] == "signal":
        assert result["exit"] is None and result["signal"].startswith("SIG")
    if result["status"] in ("ok", "exit"):
        assert isinstance(result["exit"], int) and result["signal"] is None
    output = base64.b64decode(result["res"], validate=True)
    if not result["stderr"]:
        assert text_of(output) == result["stdout"]
    if not result["stdout"]:
        assert text_of(output) == result["stderr"]
    return result


def output_of(result):
    """The bytes, stdout and stderr as they arrived."""
    return base64.b64decode(result["res"], validate=True)


_request_ids = set()


def check_error(answer, status, name, says=""):
    """An error answer: its shape, and that its message tells what a person must know."""
    assert isinstance(answer, Response)
    assert answer.status == status, answer
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    error = answer.json
    assert error["name"] == name, error
    assert error["message"] and isinstance(error["message"], str)
    assert re.search(says, error["message"]), f"{says!r} is not in {error['message']!r}"
    assert error["requestId"] not in _request_ids, "a request id came twice"
    _request_ids.add(error["requestId"])
    assert re.fullmatch(r"[0-9a-f]{16}", error["requestId"])
    assert error["duration"] >= 0
    return error
