"""The worker's link, spoken to directly: what no manager would send, and what it relies on."""

import hashlib
import os
import struct

import pytest

from harness import host
from harness.link import Link, collect, data_frames, frame, operation, run, run_fields
from harness.wait import eventually, side_by_side


@pytest.fixture
def socket(stack):
    return stack.socket


def refused(outcome, name="badRequest"):
    assert outcome.end == "LINK_ERROR", outcome
    assert outcome.payload["name"] == name, outcome
    assert outcome.payload["message"]
    return outcome.payload["message"]


def test_greeting(socket):
    with Link(socket) as link:
        kind, hello = link.receive()
    assert kind == "LINK_HELLO" and hello["protocol"] == 3
    assert hello["program"].startswith("codeland-worker ")


def test_another_protocol(socket):
    with Link(socket, greet=False) as link:
        link.send(frame("LINK_HELLO", {"protocol": 4, "program": "of the future"}))
        message = refused(collect(link), "workerBadGateway")
    assert message == "of the future speaks protocol 4, this worker 3"


def test_no_greeting(socket):
    with Link(socket, greet=False) as link:
        link.send(frame("RUN", run_fields()))
        refused(collect(link))


def test_run(socket):
    outcome = run(socket, "sh", "-c", "cat; echo err >&2; exit 3", stdin=b"in\0")
    assert (outcome.stdout, outcome.stderr) == (b"in\0", b"err\n")
    assert outcome.started["runner"] == outcome.payload["runner"]
    assert outcome.payload["status"] == "exit" and outcome.payload["exit"] == 3
    assert outcome.payload["truncated"] == {"stdout": False, "stderr": False}


def test_files(socket):
    files = [
        {"name": "a", "mode": 0o600, "bytes": 5},
        {"name": "empty", "bytes": 0},
        {"name": "b.sh", "mode": 0o755, "bytes": 200_000},
    ]
    content = os.urandom(200_000)
    fields = run_fields(
        argv=["sh", "-c", "stat -c '%n %a %U' *; sha256sum b.sh; cat a"], files=files, queueMs=30000
    )
    frames = [frame("FILE_DATA", b"hello"), *data_frames("FILE_DATA", content), frame("STDIN_EOF")]
    outcome = operation(socket, "RUN", fields, *frames)
    assert outcome.stdout.decode().splitlines() == [
        "a 600 runner",
        "b.sh 755 runner",
        "empty 644 runner",
        f"{hashlib.sha256(content).hexdigest()}  b.sh",
        "hello",
    ]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", ".", "..", "a/../../x", "a\0b"])
def test_file_names_that_lead_out(socket, name):
    fields = run_fields(files=[{"name": name, "bytes": 1}], queueMs=30000)
    outcome = operation(socket, "RUN", fields, frame("FILE_DATA", b"x"), frame("STDIN_EOF"))
    assert outcome.end == "LINK_ERROR", outcome


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"wrong": 1},
        run_fields(wrong=1),
        run_fields(argv=[]),
        run_fields(argv="sh"),
        run_fields(argv=[1]),
        run_fields(argv=["a\0b"]),
        run_fields(argv=["a"] * 5000),
        run_fields(env={"A=B": "c"}),
        run_fields(env={"A": 1}),
        run_fields(timeMs=0),
        run_fields(timeMs="1"),
        run_fields(timeMs=2**40),
        run_fields(outputBytes=-1),
        run_fields(memoryBytes=0),
        run_fields(queueMs=-1),
        run_fields(id="x" * 100),
        run_fields(files=[{"name": "a"}]),
        run_fields(files=[{"name": "a", "bytes": -1}]),
        run_fields(files=[{"name": "a", "bytes": 1, "mode": 0o4755}]),
        run_fields(files=[{"name": "a", "bytes": 0}] * 1000),
        run_fields(keep={"name": "../x", "owner": "admin"}),
        run_fields(keep={"name": "a"}),
        run_fields(runner="a"),
    ],
)
def test_bad_runs(socket, fields):
    refused(operation(socket, "RUN", fields))


def test_memory_that_no_kernel_grants(socket):
    outcome = run(socket, "true", memoryBytes=1)
    assert outcome.end in ("LINK_ERROR", "RESULT"), outcome
    assert run(socket, "true").payload["status"] == "ok"


@pytest.mark.parametrize("kind", ["EXEC", "DESTROY"])
def test_no_such_runner(socket, kind):
    for name in ("nothing", "../x", "A", "", "x" * 100):
        fields = {"runner": name} if kind == "DESTROY" else run_fields(runner=name)
        refused(operation(socket, kind, fields, frame("STDIN_EOF")), "runnerNotFound")


def test_no_such_template(socket):
    message = refused(
        operation(socket, "RUN", run_fields(template="nothing")), "RunnerNotAvailable"
    )
    assert "nothing" in message


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        struct.pack("<BBHI", 17, 0, 0, 0xFFFFFFFF),
        struct.pack("<BBHI", 17, 0, 0, (1 << 20) + 1) + b"x" * 1000,
        struct.pack("<BBHI", 1, 0, 0, 65537) + b"x" * 1000,
        struct.pack("<BBHI", 0, 0, 0, 0),
        struct.pack("<BBHI", 99, 0, 0, 0),
        struct.pack("<BBHI", 17, 0, 7, 2) + b"{}",
        frame("RUN", b"not json"),
        frame("RUN", b"[]"),
        frame("RUN", b""),
        frame("RUN", b'{"id": "\xff"}'),
        frame("RUN", b"[" * 100_000),
        frame("RESULT", {}),
        frame("STARTED", {}),
        frame("STDIN", b"x"),
        frame("FILE_DATA", b"x"),
        frame("LINK_HELLO", {"protocol": 3, "program": "again"}),
        frame(48, b"x" * 4),
    ],
    ids=range(18),
)
def test_frames_that_make_no_sense(socket, data):
    """The connection ends, with an error where one can be told; the worker serves the next."""
    with Link(socket) as link:
        link.send(data)
        kinds = [kind for kind, _ in link.answers()]
        assert set(kinds) <= {"LINK_ERROR"}
    assert run(socket, "true").payload["status"] == "ok"


@pytest.mark.parametrize(
    "frames",
    [
        [frame("FILE_DATA", b"more than said")],
        [frame("STDIN", b"too early")],
        [frame("STDIN_EOF")],
        [frame("RUN", run_fields())],
        [frame("FILE_DATA", b"12345"), frame("FILE_DATA", b"x")],
    ],
)
def test_frames_out_of_order(stack, socket, frames):
    fields = run_fields(files=[{"name": "a", "bytes": 5}], queueMs=30000)
    refused(operation(socket, "RUN", fields, *frames))
    stack.wait_oven(inUse=0, freeing=0)


def test_half_a_frame_and_gone(stack, socket):
    for cut in (1, 7, 8, 20):
        with Link(socket) as link:
            link.send(frame("RUN", run_fields())[:cut])
    stack.wait_oven(inUse=0, freeing=0, waiting=0)


def test_watch(stack, socket):
    """All that is there, then every change, also of what a throw-away run takes and frees."""
    stack.wait_warm()
    with Link(socket) as link:
        link.send(frame("WATCH", {}))
        stream = link.answers()
        kind, snapshot = next(stream)
        assert kind == "SNAPSHOT" and snapshot["runners"] == []
        assert snapshot["worker"]["name"] == "local"
        assert snapshot["oven"]["template"] == "base"
        assert snapshot["memory"]["total"] > 0 and snapshot["disk"]["total"] > 0
        runners = {}

        def follow(until):
            while not until():
                kind, changes = next(stream)
                if kind == "CHANGES":
                    runners.update({record["name"]: record for record in changes["runners"]})
                    for name in changes["gone"]:
                        runners.pop(name, None)

        follow(lambda: len(runners) >= 4)
        assert all(record["kept"] is False for record in runners.values())
        keep = {"name": "watched", "owner": "admin"}
        made = operation(socket, "RUN", {"id": "x", "keep": keep, "queueMs": 30000})
        assert made.payload["runner"] == "watched"
        follow(lambda: "watched" in runners)
        record = runners["watched"]
        assert (record["state"], record["kept"], record["owner"]) == ("inUse", True, "admin")
        assert host.status_field(record["pid"], "Name") == "crunner"
        name = run(socket, "true").payload["runner"]
        operation(socket, "DESTROY", {"runner": "watched"})
        follow(lambda: not {"watched", name} & set(runners) and len(runners) >= 4)


def test_many_who_watch(stack, socket):
    """More managers than the worker bears are told so; the others go on."""
    links = [Link(socket) for _ in range(70)]
    try:
        for link in links:
            link.send(frame("WATCH", {}))
        first = [next(link.answers()) for link in links]
        kinds = [kind for kind, _ in first]
        assert kinds.count("SNAPSHOT") >= 10
        for kind, payload in first:
            if kind == "LINK_ERROR":
                assert payload["name"] == "RunnerNotAvailable"
    finally:
        for link in links:
            link.socket.close()
    assert stack.api.run("echo fine")["stdout"] == "fine\n"


def test_exec_while_others_exec(socket):
    """Operations on one runner overlap, up to its bound, and each has its own streams."""
    made = operation(socket, "RUN", {"id": "x", "keep": {"owner": "admin"}, "queueMs": 30000})
    name = made.payload["runner"]

    def once(number):
        return run(socket, "sh", "-c", f"sleep 0.2; echo {number}", kind="EXEC", runner=name).stdout

    said = side_by_side([lambda number=number: once(number) for number in range(15)])
    assert said == [b"%d\n" % number for number in range(15)]
    assert operation(socket, "DESTROY", {"runner": name}).payload == {"runner": name}


def test_an_answer_that_nobody_reads(stack, socket):
    """A manager that stalls: its run waits for it, others do not, and its end frees the runner."""
    with Link(socket) as link:
        link.send(
            frame(
                "RUN",
                run_fields(
                    argv=["cat", "/dev/zero"], outputBytes=1 << 40, queueMs=30000, timeMs=600_000
                ),
            )
        )
        while link.receive()[0] != "STDOUT":
            pass
        for _ in range(5):
            assert run(socket, "echo", "hi").stdout == b"hi\n"
        assert int(host.status_field(stack.worker.pid, "VmRSS").split()[0]) < 64 * 1024
    eventually(lambda: stack.oven()["inUse"] == 0, "it was freed")
