"""Every field of a run's body, and the verdicts, on real runners."""

import base64

import pytest


def run(stack, code, **fields):
    return stack.api.run(code, **fields)


def test_files_input_and_collected_files(stack):
    result = run(
        stack, "cat a/in.txt; cat; mkdir out; printf x > out/b; ln -s /etc/passwd out/l; mkdir out/d",
        stdinBase64=base64.b64encode(b"raw\n").decode(),
        files=[{"path": "a/in.txt", "content": "file\n"}], collect=["out/*", "none"])
    assert result["status"] == "ok"
    assert result["stdout"] == "file\nraw\n"
    found = {file["path"]: file for file in result["files"]}
    assert base64.b64decode(found["out/b"]["content"]) == b"x"
    assert found["out/l"]["error"] == "link"
    assert found["out/d"]["error"] == "folder"
    assert set(found) == {"out/b", "out/l", "out/d"}
    assert result["filesCut"] is False


def test_more_files_than_are_brought_back(stack):
    result = run(stack, "i=0; while [ $i -lt 10000 ]; do : > f$i; i=$((i+1)); done", collect=["f*"])
    assert result["status"] == "ok"
    assert result["filesCut"] is True
    assert 0 < len(result["files"]) <= 256


@pytest.mark.parametrize("status, code, fields", [
    ("cpu_timeout", "while :; do :; done", {"cpuTime": 0.3, "time": 60}),
    ("disk", "head -c 3000000 /dev/zero > big", {"disk": 1048576}),
    ("disk", "head -c 3000000 /dev/zero > big; true", {"disk": 1048576}),
    ("output", "echo abcdef", {"output": 3}),
    ("pids", "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; exit 3", {"processes": 5}),
])
def test_verdict(stack, status, code, fields):
    assert run(stack, code, **fields)["status"] == status


def test_a_kept_runner_is_left_as_it_was(stack):
    answer = stack.api.post("/runner/new", {"code": "echo one"})
    name = answer.json["runner"]
    try:
        assert answer.json["stdout"] == "one\n"
        seen = stack.api.post(f"/runner/{name}", {"code": "ls -A"}).json["stdout"]
        assert "main.sh" not in seen and seen.count(".run-") == 1
    finally:
        stack.api.delete(f"/runner/{name}")
