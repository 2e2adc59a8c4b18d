"""Runs whose output comes as Server-Sent Events."""

import base64
import json
import time

import pytest
from harness import host
from harness.events import Events, open_stream, stream, text_of
from harness.http import request_bytes
from harness.wait import Task, eventually

MIB = 1024 * 1024


def test_events_in_order(api):
    events = stream(api, "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; exit 3")
    assert [name for name, _ in events] == ["start", "stdout", "stderr", "stdout", "end"]
    assert [data for _, data in events[1:-1]] == ["one\n", "two\n", "three\n"]
    start, end = events[0][1], events[-1][1]
    assert start["runner"] == end["runner"] and start["requestId"] == end["requestId"]
    assert start["queued"] >= 0
    assert (end["status"], end["exit"], end["signal"]) == ("exit", 3, None)
    assert end["truncated"] == {"stdout": False, "stderr": False}


def test_the_end_is_the_plain_result_without_its_output(api):
    plain = api.run("echo hi")
    end = stream(api, "echo hi")[-1][1]
    assert set(plain) - set(end) == {"res", "stdout", "stderr"}
    assert set(end) <= set(plain)


def test_output_comes_while_the_program_runs(api):
    """The program waits for an answer to what it printed: a stream that holds back would hang."""
    api.post("/runner/new", {"name": "lively"})
    wire, events = open_stream(
        api, {"code": "echo begun; while [ ! -e go ]; do sleep 0.01; done; echo done"},
        "/runner/lively")
    with wire:
        seen = iter(events)
        assert next(seen)[0] == "start"
        assert next(seen) == ("stdout", "begun\n")
        api.run("touch go", on="lively")
        assert next(seen) == ("stdout", "done\n")
        assert next(seen)[1]["status"] == "ok"
        assert list(seen) == []
        wire.send(api.bytes("GET", "/runner"))  # the connection goes on
        assert wire.response().status == 200
    api.delete("/runner/lively")


@pytest.mark.parametrize("path", ["/runner", "/runner/new"])
def test_the_other_routes(api, path):
    events = stream(api, "echo hi", path)
    assert text_of(events, "stdout") == "hi\n"
    if path == "/runner/new":
        assert api.delete(f"/runner/{events[-1][1]['runner']}").status == 200


def test_a_new_runner_without_code(api):
    wire, events = open_stream(api, {"name": "silent"}, "/runner/new")
    with wire:
        assert [name for name, _ in events] == ["start", "end"]
    assert api.delete("/runner/silent").status == 200


def test_characters_that_are_cut_are_joined(api):
    """Each byte of a character comes in a write of its own."""
    parts = "; sleep 0.02; ".join(f"printf '\\{byte:03o}'" for byte in "a€😀z".encode())
    events = stream(api, parts)
    assert text_of(events, "stdout") == "a€😀z"
    assert all("\ufffd" not in data for name, data in events if name == "stdout")


def test_bytes_that_are_no_text(api):
    code = "printf 'a\\377b\\342\\202'"
    assert text_of(stream(api, code), "stdout") == "a\ufffdb\ufffd"
    events = stream(api, code, "/runner/run?encoding=base64")
    parts = [base64.b64decode(data, validate=True) for name, data in events if name == "stdout"]
    assert b"".join(parts) == b"a\xffb\xe2\x82"


def test_all_bytes_in_base64(api):
    code = "python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 2000)'"
    events = stream(api, code, "/runner/run?encoding=base64")
    parts = [base64.b64decode(data, validate=True) for name, data in events if name == "stdout"]
    assert b"".join(parts) == bytes(range(256)) * 2000


def test_an_unknown_encoding(api):
    wire, events = open_stream(api, {"code": "echo hi"}, "/runner/run?encoding=latin1")
    with wire:
        assert events.status == 400
        assert events.body()["message"] == "encoding: must be utf8 or base64"


@pytest.mark.parametrize("accept, is_stream", [
    ("text/event-stream", True),
    ("application/json, text/event-stream;charset=utf-8", True),
    ("TEXT/Event-Stream;q=0.5", True),
    ("text/event-stream;q=0", False),
    ("text/*", False),
    ("*/*", False),
])
def test_which_accept_asks_for_events(api, accept, is_stream):
    with api.wire() as wire:
        wire.send(api.bytes("POST", "/runner/run", {"code": "echo hi"}, Accept=accept))
        events = Events(wire)
        wanted = "text/event-stream" if is_stream else "application/json"
        assert events.headers["content-type"] == wanted
        b"".join(events.pieces())


def test_a_client_of_http_1_0(api):
    """It knows no chunks: the stream ends with the connection."""
    body = json.dumps({"code": "echo hi; sleep 0.1; echo ho"}).encode()
    headers = api.headers(Accept="text/event-stream")
    with api.wire() as wire:
        request = request_bytes("POST", "/api/v1/runner/run", body, headers)
        wire.send(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        events = Events(wire)
        assert text_of(list(events), "stdout") == "hi\nho\n"
        assert events.over


@pytest.mark.parametrize("fields, status, name", [
    ({"code": 1}, 400, "badRequest"),
    ({"code": "echo", "language": "klingon"}, 400, "UnknownLanguage"),
])
def test_a_failure_before_the_start_is_a_plain_error(api, fields, status, name):
    wire, events = open_stream(api, fields)
    with wire:
        assert events.status == status
        assert events.headers["content-type"] == "application/json"
        assert events.body()["name"] == name


def test_no_runner_is_a_plain_error(new_stack):
    stack = new_stack({"oven.min_available": 1, "oven.max_runners": 1, "run.queue": "200ms"}).start()
    assert stack.api.post("/runner/new", {"name": "only"}).status == 200
    wire, events = open_stream(stack.api, {"code": "echo hi"})
    with wire:
        assert events.status == 503 and int(events.headers["retry-after"]) >= 1
        assert events.body()["name"] == "RunnerNotAvailable"


def test_a_timeout(api):
    events = stream(api, "echo begun; sleep 1000", time=0.5)
    assert [name for name, _ in events] == ["start", "stdout", "end"]
    end = events[-1][1]
    assert (end["status"], end["name"]) == ("timeout", "runnerTimedOut")
    assert end["wall"] >= 500


def test_a_worker_that_dies(new_stack):
    """After the start an error is an event, and the answer is whole."""
    stack = new_stack().start()
    wire, events = open_stream(stack.api, {"code": "echo begun; sleep 1000"})
    with wire:
        seen = iter(events)
        assert [next(seen)[0], next(seen)[0]] == ["start", "stdout"]
        stack.worker.kill()
        (last,) = list(seen)
        assert last[0] == "error" and last[1]["name"] == "workerBadGateway"
        assert last[1]["runner"] and last[1]["requestId"]
        assert events.over


def test_signs_of_life(new_stack):
    stack = new_stack({"http.heartbeat": "100ms"}).start()
    wire, events = open_stream(stack.api, {"code": "sleep 1; echo done"}, comments=True)
    with wire:
        seen = list(events)
        assert (None, "still running") in seen
        assert text_of(seen, "stdout") == "done\n"


@pytest.mark.parametrize("how", ["hang_up", "reset"])
@pytest.mark.parametrize("program", ["sleep {}", "sleep {} & exec cat /dev/zero"])
def test_a_client_that_leaves(stack, how, program):
    marker = f"31536000.{time.time_ns()}"
    fields = {"code": "echo begun; " + program.format(marker), "time": 600}
    wire, events = open_stream(stack.api, fields)
    seen = iter(events)
    assert next(seen)[0] == "start"
    eventually(lambda: host.find_processes(f"sleep {marker}"), "the program runs")
    getattr(wire, how)()
    eventually(lambda: not host.find_processes(f"sleep {marker}"), "it is killed")
    stack.wait_oven(inUse=0, freeing=0)


def test_the_output_cap(new_stack):
    stack = new_stack({"run.stream_output": "1000"}).start()
    events = stream(stack.api, "head -c 5000 /dev/zero | tr '\\0' x; echo y >&2")
    assert text_of(events, "stdout") == "x" * 1000
    assert text_of(events, "stderr") == "y\n"
    assert events[-1][1]["truncated"] == {"stdout": True, "stderr": False}
    assert events[-1][1]["status"] == "output"


class Paused:
    """A stream whose reader has stopped, of a program that counts what it could write."""

    def __init__(self, api, **fields):
        code = "echo begun; i=0; while :; do head -c 65536 /dev/zero | tr '\\0' x; echo >>{0}; done"
        self.wire, self.events = open_stream(api, {"code": code.format("count"), **fields}, "/runner/paused")
        self.seen = iter(self.events)
        assert next(self.seen)[0] == "start"


def test_a_reader_that_stops_pauses_the_program(stack):
    api = stack.api
    api.post("/runner/new", {"name": "paused"})
    paused = Paused(api, time=600)

    def stands():
        """The same count three times in a row, a while apart each."""
        counts = []
        for _ in range(3):
            counts.append(api.run("wc -l <count; sleep 0.3", on="paused")["stdout"])
        return counts[0] == counts[1] == counts[2] and int(counts[0]) > 0

    with host.PeakMemory(stack.programs) as memory:
        eventually(stands, "the program waits")
    assert max(memory.peaks.values()) < 64 * MIB, memory.peaks
    before = int(api.run("wc -l <count", on="paused")["stdout"])
    for _ in range(1000):  # it goes on when it is read again
        next(paused.seen)
    eventually(lambda: int(api.run("wc -l <count", on="paused")["stdout"]) > before, "it goes on")
    paused.wire.hang_up()
    assert api.delete("/runner/paused").status == 200


def test_the_time_of_a_paused_program_counts(stack):
    """Its end is told when the reader comes back, however late."""
    api = stack.api
    api.post("/runner/new", {"name": "paused"})
    paused = Paused(api, time=1)
    eventually(lambda: api.get("/runner/paused").json["lastStatus"] == "timeout", "its time is over")
    rest = list(paused.seen)
    assert rest[-1][0] == "end" and rest[-1][1]["status"] == "timeout"
    paused.wire.hang_up()
    assert api.delete("/runner/paused").status == 200


def test_a_late_reader_of_a_program_that_has_ended(stack):
    """Nothing is lost while its time lasts: here it ends long before anybody reads."""
    api = stack.api
    size = 8 * MIB
    wire, events = open_stream(
        api, {"code": f"head -c {size} /dev/zero | tr '\\0' x", "time": 120})
    with wire:
        time.sleep(7)  # longer than a worker would linger for anybody else
        seen = list(events)
        assert len(text_of(seen, "stdout")) == size
        assert seen[-1][1]["status"] == "ok"


def test_a_gigabyte_in_bounded_memory(stack):
    count, lines = 0, 10_000_000
    code = f"yes {'x' * 99} | head -n {lines}"
    wire, events = open_stream(stack.api, {"code": code, "time": 600})
    with wire, host.PeakMemory(stack.programs) as memory:
        assert events.status == 200
        tail = b""
        for piece in events.pieces():
            count += piece.count(b"x")
            tail = (tail + piece)[-2000:]
    tail = tail.split(b"event: end\ndata: ")[1]
    end = json.loads(tail)
    assert end["status"] == "ok" and not end["truncated"]["stdout"]
    others = tail.count(b"x") + end["runner"].count("x")  # at the end, and in the start's name
    assert count - others == 99 * lines
    assert {"manager", "worker", "agent"} <= set(memory.peaks)
    assert max(memory.peaks.values()) < 64 * MIB, memory.peaks
