"""Throw-away runs: what goes in, what comes out, how they end."""

import base64
import hashlib
import json
import os
import time

import pytest

from harness import host
from harness.check import check_error, check_result, output_of
from harness.http import request_bytes
from harness.wait import eventually, side_by_side

MIB = 1024 * 1024


def test_hello(api):
    result = check_result(api.run("echo hi"))
    assert result["status"] == "ok" and result["exit"] == 0
    assert result["stdout"] == "hi\n" and result["stderr"] == ""
    assert result["res"] == base64.b64encode(b"hi\n").decode()
    assert result["truncated"] == {"stdout": False, "stderr": False}
    assert result["wall"] > 0 and result["memoryPeak"] > 0


def test_both_routes_of_a_throw_away_run(api):
    for path in ("/runner/run", "/runner"):
        answer = api.post(path, {"code": "echo hi"})
        assert answer.status == 200 and answer.json["stdout"] == "hi\n"


def test_the_answer_is_json_with_a_length(api):
    answer = api.post("/runner/run", {"code": ":"})
    assert answer.headers["content-type"].startswith("application/json")
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_request_ids_differ(api):
    assert len({api.run(":")["requestId"] for _ in range(5)}) == 5


def test_empty_code_is_a_program_that_does_nothing(api):
    result = check_result(api.run(""))
    assert result["status"] == "ok" and output_of(result) == b""


@pytest.mark.parametrize("code", [1, 3, 127, 255])
def test_exit(api, code):
    result = check_result(api.run(f"echo said; exit {code}"))
    assert (result["status"], result["exit"], result["signal"]) == ("exit", code, None)
    assert result["stdout"] == "said\n"


@pytest.mark.parametrize("name", ["SEGV", "KILL", "TERM", "ABRT"])
def test_signal(api, name):
    result = check_result(api.run(f"echo said; kill -{name} $$"))
    assert (result["status"], result["exit"], result["signal"]) == ("signal", None, f"SIG{name}")
    assert result["stdout"] == "said\n"


def test_python(api):
    result = check_result(api.run("exec python3 -c 'print(6 * 7)'"))
    assert result["stdout"] == "42\n"


def test_a_syntax_error_is_the_programs_own(api):
    result = check_result(api.run("if then"))
    assert result["status"] == "exit" and "main.sh" in result["stderr"]


@pytest.mark.parametrize("how", ["field", "query"])
def test_timeout_has_what_was_printed(api, how):
    fields, path = {"code": "echo out; echo err >&2; sleep 1000; echo late"}, "/runner/run"
    if how == "query":
        path += "?time=0.4"
    else:
        fields["time"] = 0.4
    answer = api.post(path, fields)
    error = check_error(answer, 498, "runnerTimedOut")
    check_result(error)
    assert error["status"] == "timeout" and error["exit"] is None
    assert error["stdout"] == "out\n" and error["stderr"] == "err\n"
    assert error["wall"] >= 300


def test_a_query_that_asks_for_enough_time(api):
    answer = api.post("/runner/run?time=20", {"code": "sleep 0.2; echo done"})
    assert answer.status == 200 and answer.json["stdout"] == "done\n"


def test_timeout_kills_all_that_was_started(api):
    """Also what has a session of its own and ignores signals."""
    marker = f"31536000.{time.time_ns()}"
    code = f"(trap '' HUP TERM; setsid sleep {marker}) & sleep {marker}"
    check_error(api.post("/runner/run", {"code": code, "time": 0.5}), 498, "runnerTimedOut")
    eventually(lambda: not host.find_processes(marker), "no process of the run is left")


def test_memory(api):
    code = "echo begun; exec python3 -c 'x = bytearray(400 * 1024 * 1024)'"
    result = check_result(api.run(code, memory=64 * MIB))
    assert result["status"] == "memory"
    assert result["stdout"] == "begun\n"
    assert result["memoryPeak"] <= 64 * MIB


def test_memory_that_a_child_wanted(api):
    code = "python3 -c 'x = bytearray(400 * 1024 * 1024)'; echo went on"
    result = check_result(api.run(code, memory=64 * MIB))
    assert result["status"] == "memory"


def test_enough_memory(api):
    """One limit for one run: the next has its own again."""
    code = "exec python3 -c 'x = b\"x\" * (300 * 1024 * 1024); print(len(x))'"
    result = check_result(api.run(code, memory=512 * MIB))
    assert result["status"] == "ok"
    assert result["memoryPeak"] >= 300 * MIB
    assert check_result(api.run(code, memory=128 * MIB))["status"] == "memory"


def test_swap_does_not_help(api, stack):
    """A runner's limit counts swap too, from its first moment: else a host's would be all its own."""
    name = api.post("/runner/new", {}).json["runner"]
    (group,) = [
        folder
        for folder in host.cgroups(stack.prefix)
        if folder.endswith(f"/{stack.prefix}/{name}") and os.path.exists(f"{folder}/memory.stat")
    ]
    if os.path.exists(f"{group}/memory.max"):
        assert host.read(f"{group}/memory.swap.max") == "0\n"
    else:
        both = host.read(f"{group}/memory.memsw.limit_in_bytes")
        assert both == host.read(f"{group}/memory.limit_in_bytes")
    assert api.delete(f"/runner/{name}").status == 200


def test_too_many_processes(new_stack):
    stack = new_stack({"run.processes": 20}).start()
    code = "i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i + 1)); done; wait"
    result = check_result(stack.api.run(code, time=60))
    assert result["status"] == "pids"
    assert stack.api.run("echo fine")["stdout"] == "fine\n"


def test_a_fork_bomb_harms_nobody_else(api):
    bomb = {"code": "f() { f | f & }; f; sleep 2", "time": 3}
    answers = side_by_side(
        [
            lambda: api.post("/runner/run", bomb),
            *[lambda: api.post("/runner/run", {"code": "echo a"})] * 5,
        ]
    )
    assert answers[0].status in (200, 498)
    assert all(answer.json["stdout"] == "a\n" for answer in answers[1:])


def test_cpu_time_and_wall_clock(api):
    code = """exec python3 -c '
import time
end = time.process_time() + 0.4
while time.process_time() < end: pass'"""
    result = check_result(api.run(code))
    assert result["cpuUser"] + result["cpuSys"] >= 400
    result = check_result(api.run("sleep 0.5"))
    assert result["wall"] >= 500
    assert result["cpuUser"] + result["cpuSys"] < 400


def test_cpus_are_limited(new_stack):
    """Four busy programs with half a cpu take at least eight times their wall clock's share."""
    stack = new_stack({"run.cpus": 50}).start()
    code = """exec python3 -c '
import time
end = time.process_time() + 0.5
while time.process_time() < end: pass'"""
    result = check_result(stack.api.run(code))
    assert result["wall"] >= 1.6 * 500


def test_environment(api):
    env = {
        "PLAIN": "value",
        "EMPTY": "",
        "LINES": "a\nb",
        "QUOTE": "'\"$(id)`id`\\",
        "UNICODE": "grün €🦊",
    }
    code = 'printf \'%s|\' "$PLAIN" "$EMPTY" "$LINES" "$QUOTE" "$UNICODE"'
    assert api.run(code, env=env)["stdout"] == "".join(f"{value}|" for value in env.values())


def test_environment_of_every_program(api):
    result = api.run('echo "$HOME|$USER|$PWD|$SHELL"; command -v env; locale charmap || echo UTF-8')
    assert result["stdout"] == "/home/runner|runner|/home/runner|/bin/sh\n/usr/bin/env\nUTF-8\n"


def test_the_host_environment_stays_outside(api):
    names = {line.split("=")[0] for line in api.run("env")["stdout"].splitlines()}
    assert names <= {
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PATH",
        "PWD",
        "LANG",
        "SHLVL",
        "_",
        "OLDPWD",
    }


def test_environment_can_replace_the_standard_one(api):
    assert api.run("echo $HOME", env={"HOME": "/tmp"})["stdout"] == "/tmp\n"


def test_arguments(api):
    args = ["plain", "", "two words", "a\nb", "'\"$(id)\\", "-n", "grün €🦊", "*"]
    result = api.run("printf '%s|' \"$@\"; echo $#", args=args)
    assert result["stdout"] == "".join(f"{arg}|" for arg in args) + f"{len(args)}\n"


def test_many_arguments(api):
    args = [str(i) for i in range(256)]
    assert api.run("echo $# ${256}", args=args)["stdout"] == "256 255\n"


def test_stdin(api):
    assert api.run("cat; echo end", stdin="a\nb")["stdout"] == "a\nbend\n"


def test_without_stdin_there_is_an_end_at_once(api):
    assert api.run("cat; echo end")["stdout"] == "end\n"


def test_a_large_stdin_to_its_end(api):
    text = "".join(f"{i:07d}\n" for i in range(256 * 1024))  # 2 MiB
    result = api.run("sha256sum", stdin=text)
    assert result["stdout"].split()[0] == hashlib.sha256(text.encode()).hexdigest()


def test_stdin_as_it_is(api):
    """NUL, control characters, and what JSON escapes."""
    text = '\0\x01\x7f\r\n\u2028"\\/\0' + "".join(chr(i) for i in range(32)) + "€🦊"
    result = api.run("cat", stdin=text)
    assert output_of(result) == text.encode()
    assert result["stdout"] == text


def test_code_as_it_is(api):
    result = api.run("printf 'ü€🦊\\n'; cat main.sh | tail -c 4 # \U0001f98a")
    assert result["stdout"] == "ü€🦊\n🦊"


def test_a_nul_in_the_code(api):
    """The file has it; what the shell makes of it is the shell's affair."""
    result = check_result(api.run("od -An -c main.sh | head -1 # \0"))
    assert result["status"] in ("ok", "exit")
    result = check_result(api.run("wc -c <main.sh\nexit 0\n" + "\0" * 1000))
    assert result["stdout"] == f"{len('wc -c <main.sh') + len('exit 0') + 2 + 1000}\n"


def test_output_that_is_no_text(api):
    code = r"printf '\377\376\000A\303(\360\237\246'; printf '\200' >&2"
    result = check_result(api.run(code))
    everything = output_of(result)
    assert sorted(everything) == sorted(b"\xff\xfe\0A\xc3(\xf0\x9f\xa6\x80")
    assert "\0A" in result["stdout"] and "\ufffd" in result["stdout"]
    assert result["stderr"] == "\ufffd"


def test_every_byte_comes_back(api):
    result = api.run(
        "exec python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 200)'"
    )
    assert output_of(result) == bytes(range(256)) * 200


def test_output_in_the_order_of_arrival(api):
    code = "for i in 1 2 3; do echo out $i; sleep 0.1; echo err $i >&2; sleep 0.1; done"
    result = check_result(api.run(code))
    assert output_of(result) == b"".join(b"out %d\nerr %d\n" % (i, i) for i in (1, 2, 3))
    assert result["stdout"] == "out 1\nout 2\nout 3\n"
    assert result["stderr"] == "err 1\nerr 2\nerr 3\n"


def test_a_program_that_closes_its_output(api):
    result = check_result(api.run("echo first; exec >&- 2>&-; sleep 0.5; exit 7"))
    assert (result["exit"], result["stdout"]) == (7, "first\n")
    assert result["wall"] >= 500


def test_a_background_process_does_not_hold_the_answer(api):
    result = check_result(api.run("sleep 1000 & echo started", time=25))
    assert result["status"] == "ok" and result["stdout"] == "started\n"
    assert result["duration"] < 20_000


def test_a_background_process_that_goes_on_printing(api):
    code = "(while :; do echo more; sleep 0.01; done) & echo started"
    result = check_result(api.run(code, time=25))
    assert result["status"] == "ok" and "started\n" in result["stdout"]
    assert result["duration"] < 20_000


def test_a_background_process_dies_with_its_runner(api):
    marker = f"31536000.{time.time_ns()}"
    api.run(f"setsid sleep {marker} >/dev/null 2>&1 </dev/null &")
    eventually(lambda: not host.find_processes(marker), "it is gone")


def test_a_fresh_container_each_time(api):
    names = set()
    for _ in range(12):  # more than are warm
        result = api.run("ls /tmp /home/runner; touch /tmp/here /home/runner/there; rm -f main.sh")
        assert result["stdout"].split() == ["/home/runner:", "main.sh", "/tmp:"]
        names.add(result["runner"])
    assert len(names) == 12


def test_many_at_once_each_alone(api):
    def once(number):
        result = api.run(
            "cat /tmp/n 2>/dev/null; echo $1 >/tmp/n; sleep 0.05; cat /tmp/n", args=[str(number)]
        )
        return result["stdout"], result["runner"]

    results = side_by_side([lambda number=number: once(number) for number in range(25)])
    assert [said for said, _ in results] == [f"{number}\n" for number in range(25)]
    assert len({runner for _, runner in results}) == 25


def test_language(api):
    assert api.run("echo hi", language="sh")["stdout"] == "hi\n"
    answer = api.post("/runner/run", {"code": ":", "language": "klingon"})
    check_error(answer, 400, "UnknownLanguage", r"klingon.*known.*\bsh\b")


def test_null_is_as_if_it_were_not_there(api):
    nothing = dict.fromkeys(["stdin", "args", "env", "time", "memory", "language"])
    assert api.run("echo $#; cat", **nothing)["stdout"] == "0\n"


def test_several_requests_on_one_connection(api):
    with api.wire() as wire:
        for number in range(5):
            wire.send(api.bytes("POST", "/runner/run", {"code": f"echo {number}"}))
            assert wire.response().json["stdout"] == f"{number}\n"


def test_requests_that_do_not_wait_for_answers(api):
    """Pipelined: answered one after the other, in order."""
    with api.wire() as wire:
        codes = ["sleep 0.3; echo 0", "echo 1", "exit 2"]
        wire.send(b"".join(api.bytes("POST", "/runner/run", {"code": code}) for code in codes))
        answers = [wire.response().json for _ in codes]
        assert [answer["stdout"] for answer in answers] == ["0\n", "1\n", ""]
        assert [answer["exit"] for answer in answers] == [0, 0, 2]


def test_a_body_in_chunks(api):
    body = json.dumps({"code": "echo $1", "args": ["in chunks"]}).encode()
    with api.wire() as wire:
        head = api.headers(Transfer_Encoding="chunked")
        wire.send(request_bytes("POST", "/api/v1/runner/run", headers=head))
        for at in range(0, len(body), 7):
            wire.send(b"%x;ext=1\r\n%s\r\n" % (len(body[at : at + 7]), body[at : at + 7]))
        wire.send(b"0\r\nTrailer: value\r\n\r\n")
        assert wire.response().json["stdout"] == "in chunks\n"


def test_a_request_that_comes_byte_by_byte(api):
    with api.wire() as wire:
        for byte in api.bytes("POST", "/runner/run", {"code": "echo hi"}):
            wire.send(bytes([byte]))
        assert wire.response().json["stdout"] == "hi\n"


def test_a_client_that_asks_before_it_sends_its_body(api):
    body = json.dumps({"code": "echo hi"}).encode()
    head = api.headers(Expect="100-continue", Content_Length=len(body))
    with api.wire() as wire:
        wire.send(request_bytes("POST", "/api/v1/runner/run", headers=head))
        assert wire.response().status == 100
        wire.send(body)
        assert wire.response().json["stdout"] == "hi\n"


def test_plain_curl_without_a_content_type(api):
    body = json.dumps({"code": "echo hi"}).encode()
    for kind in ("application/json; charset=utf-8", "application/x-www-form-urlencoded", None):
        headers = {"auth-token": api.token}
        if kind:
            headers["Content-Type"] = kind
        assert api.plain("POST", "/api/v1/runner/run", body, headers).json["stdout"] == "hi\n"
