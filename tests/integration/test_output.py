"""Much output and much input: the memory of every process of ours stays bounded."""

import base64
import hashlib

from harness import host
from harness.check import check_error, check_result, output_of
from harness.wait import Task, side_by_side

MIB = 1024 * 1024
BOUND = 64 * MIB
GIGABYTE = 1_000_000_000


class Bounded(host.PeakMemory):
    """Fails when one of the stack's own programs was larger than the bound at any moment."""

    def __init__(self, stack):
        super().__init__(stack.programs)

    def __exit__(self, kind, *_):
        super().__exit__(kind, *_)
        if kind is None:
            print({what: f"{peak / MIB:.1f} MiB" for what, peak in self.peaks.items()})
            assert {"manager", "worker", "agent", "monitor"} <= set(self.peaks)
            assert max(self.peaks.values()) < BOUND, self.peaks


def test_a_gigabyte_of_output(stack):
    with Bounded(stack):
        result = check_result(
            stack.api.run(f"head -c {GIGABYTE} /dev/zero; echo end >&2", time=300)
        )
    assert result["status"] == "output" and result["exit"] == 0
    assert result["truncated"] == {"stdout": True, "stderr": False}
    assert len(result["stdout"]) == MIB and set(result["stdout"]) == {"\0"}
    assert result["stderr"] == "end\n"
    assert len(output_of(result)) == MIB + 4


def test_a_gigabyte_of_both(stack):
    code = f"head -c {GIGABYTE // 2} /dev/zero & head -c {GIGABYTE // 2} /dev/zero >&2; wait"
    with Bounded(stack):
        result = check_result(stack.api.run(code, time=300))
    assert result["status"] == "output"
    assert result["truncated"] == {"stdout": True, "stderr": True}
    assert len(result["stdout"]) == len(result["stderr"]) == MIB


def test_many_that_print_much_at_once(stack):
    code = "head -c 30000000 /dev/zero; head -c 30000000 /dev/zero >&2"
    with Bounded(stack):
        results = side_by_side([lambda: stack.api.run(code, time=300)] * 6)
    for result in results:
        assert result["truncated"] == {"stdout": True, "stderr": True}


def test_endless_output_until_the_time_is_over(stack):
    with Bounded(stack):
        answer = stack.api.post("/runner/run", {"code": "exec yes", "time": 1})
    error = check_error(answer, 498, "runnerTimedOut")
    assert error["truncated"]["stdout"] is True
    assert error["stdout"] == "y\n" * (MIB // 2)


def test_output_of_exactly_the_cap_is_whole(stack):
    result = stack.api.run(f"head -c {MIB} /dev/zero; head -c {MIB + 1} /dev/zero >&2")
    assert result["truncated"] == {"stdout": False, "stderr": True}
    assert len(result["stdout"]) == len(result["stderr"]) == MIB


def test_the_cap_is_a_setting(new_stack):
    stack = new_stack({"run.output": 10}).start()
    result = stack.api.run("echo 12345; echo 67890; echo err >&2")
    assert result["truncated"] == {"stdout": True, "stderr": False}
    assert (result["stdout"], result["stderr"]) == ("12345\n6789", "err\n")


def test_a_program_that_was_cut_short_lives_on(stack):
    """The rest is read and dropped; a pipe that nobody empties would stop it."""
    result = stack.api.run("head -c 5000000 /dev/zero; echo over >&2; exit 9")
    assert (result["exit"], result["stderr"]) == (9, "over\n")


def test_interleaved_streams_keep_their_order(stack):
    """Thousands of short pieces of both: each stream is whole and in order, and so is `res`."""
    code = """exec python3 -c '
import os
for i in range(5000):
    os.write(1 + i % 2, b"%d\\n" % i)'"""
    result = check_result(stack.api.run(code, time=120))
    assert result["stdout"] == "".join(f"{i}\n" for i in range(0, 5000, 2))
    assert result["stderr"] == "".join(f"{i}\n" for i in range(1, 5000, 2))
    numbers = [int(line) for line in output_of(result).split()]
    assert sorted(numbers) == list(range(5000))
    for first in (0, 1):
        assert [number for number in numbers if number % 2 == first] == list(range(first, 5000, 2))


def test_a_client_that_does_not_read_yet(stack):
    """It holds only itself up; what waits for it is bounded, and whole in the end."""
    api = stack.api
    code = f"head -c {MIB} /dev/urandom; head -c {MIB} /dev/urandom >&2"
    with api.wire() as slow, Bounded(stack):
        for _ in range(3):
            slow.send(api.bytes("POST", "/runner/run", {"code": code}))
        for _ in range(10):
            assert api.run("echo hi")["stdout"] == "hi\n"
        for _ in range(3):
            result = slow.response().json
            assert len(base64.b64decode(result["res"])) == 2 * MIB


def test_stdin_that_nobody_reads(new_stack):
    """8 MiB: the program that never looks at it is neither held up nor killed for it."""
    stack = new_stack({"http.body_max": "20M"}).start()
    text = "x" * (8 * MIB)
    with Bounded(stack):
        result = check_result(stack.api.run("echo begun; sleep 0.5; echo over", stdin=text))
        assert result["stdout"] == "begun\nover\n" and result["status"] == "ok"
        result = check_result(stack.api.run("exec 0<&-; echo closed", stdin=text))
        assert result["stdout"] == "closed\n" and result["status"] == "ok"
        result = stack.api.run("wc -c", stdin=text)
        assert result["stdout"].strip() == str(len(text))
        stack.api.post("/runner/new", {"name": "kept"})
        result = stack.api.run("echo no", stdin=text, on="kept")
        assert result["stdout"] == "no\n"
        stack.api.delete("/runner/kept")


def test_stdin_that_is_read_late(new_stack):
    """What waits in between is kept, to the last byte."""
    stack = new_stack({"http.body_max": "20M"}).start()
    text = "".join(f"{i:07d}\n" for i in range(MIB))
    with Bounded(stack):
        result = stack.api.run("sleep 1; sha256sum", stdin=text)
    assert result["stdout"].split()[0] == hashlib.sha256(text.encode()).hexdigest()


def test_a_program_that_echoes_more_than_it_is_given(new_stack):
    """Input and output at once, both full: no deadlock."""
    stack = new_stack({"http.body_max": "20M"}).start()
    with Bounded(stack):
        result = stack.api.run("tee /dev/stderr", stdin="y" * (8 * MIB), time=300)
    assert result["status"] == "output"
    assert result["truncated"] == {"stdout": True, "stderr": True}


def test_a_large_program(stack):
    """Three megabytes of code."""
    code = "exit 0\n" * 10 + "#" + "x" * (3 * MIB)
    assert stack.api.run(code)["status"] == "ok"


def test_waiting_requests_are_cheap(new_stack):
    """Forty bodies of 200 KB wait for one runner."""
    stack = new_stack({"oven.min_available": 1, "oven.max_runners": 1, "run.queue": "60s"})
    api = stack.start().api
    name = api.post("/runner/new", {}).json["runner"]
    body = {"code": "wc -c", "stdin": "x" * 200_000}
    with Bounded(stack):
        waiting = [Task(api.post, "/runner/run", body) for _ in range(40)]
        stack.wait_oven(waiting=40)
        api.delete(f"/runner/{name}")
        for task in waiting:
            assert task.result().json["stdout"].strip() == "200000"


def test_text_that_json_must_escape(stack):
    """Each character in another way, and so much that the answer is sent in pieces."""
    code = r"""exec python3 -c '
import sys
sys.stdout.buffer.write(b"\"\\\n\0\x7f\xff\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x8a" * 20000)'"""
    assert stack.api.run(code)["stdout"] == '"\\\n\0\x7f\ufffdé€🦊' * 20000


def test_the_programs_own_size_when_idle(stack):
    """Under a megabyte for the agent (what it alone uses), and none of ours grows."""
    stack.wait_warm()
    for _ in range(30):
        stack.api.run("echo hi")
    before = {
        pid: int(host.status_field(pid, "VmRSS").split()[0])
        for pid in (stack.worker.pid, stack.manager.pid)
    }
    for _ in range(100):
        stack.api.run("head -c 20000 /dev/zero")
    for pid, size in before.items():
        assert int(host.status_field(pid, "VmRSS").split()[0]) < size + 8 * 1024
    stack.wait_oven(inUse=0, freeing=0, cooking=0)
    sizes = [host.status_field(pid, "RssAnon") for what, pid in stack.programs() if what == "agent"]
    assert sizes and max(int(size.split()[0]) for size in sizes) < 1024
