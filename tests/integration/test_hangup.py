"""A client that goes away: its run is killed and its runner freed, as seen from outside."""

import time

import pytest

from harness import host
from harness.wait import Task, eventually

PATIENCE = 10  # seconds from the hang-up until nothing of the run is left


class Running:
    """A run that would last for ever, seen from outside."""

    def __init__(self, stack, path="/runner/run", **fields):
        self.stack = stack
        self.marker = f"31536000.{time.time_ns()}"
        code = f"echo begun; (setsid sleep {self.marker} &) ; sleep {self.marker}"
        self.wire = stack.api.wire()
        fields = {"code": code, "time": 600, **fields}
        self.wire.send(stack.api.bytes("POST", path, fields))
        eventually(lambda: len(self.processes()) == 2, "the program runs")
        group = host.read(f"/proc/{self.processes()[0]}/cgroup")
        (self.container,) = {name for name in stack.containers() if f"/{name}" in group}

    def processes(self):
        """Its two sleeps; the shell has the marker on no command line of its own."""
        return host.find_processes(f"sleep {self.marker}")

    def assert_killed(self):
        eventually(lambda: not self.processes(), "its processes are gone", PATIENCE)

    def assert_freed(self):
        self.assert_killed()
        eventually(
            lambda: self.container not in self.stack.containers(), "its container is gone", PATIENCE
        )
        self.stack.wait_oven(inUse=0, freeing=0)


@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_during_a_run(stack, how):
    run = Running(stack)
    getattr(run.wire, how)()
    run.assert_freed()
    stack.wait_warm()


@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_during_a_run_that_prints_without_end(stack, how):
    """The worker finds the hang-up although it is busy with output."""
    marker = f"31536000.{time.time_ns()}"
    wire = stack.api.wire()
    code = f"(sleep {marker} &) ; exec cat /dev/zero"
    wire.send(stack.api.bytes("POST", "/runner/run", {"code": code, "time": 600}))
    eventually(lambda: host.find_processes(marker), "the program runs")
    getattr(wire, how)()
    eventually(lambda: not host.find_processes(marker), "it is gone", PATIENCE)
    stack.wait_oven(inUse=0, freeing=0)


def test_many_at_once(stack):
    runs = [Running(stack) for _ in range(8)]
    for number, run in enumerate(runs):
        run.wire.reset() if number % 2 else run.wire.hang_up()
    for run in runs:
        run.assert_freed()


def test_one_of_many_on_the_same_worker(stack):
    """The others are not disturbed."""
    patient = Task(stack.api.run, "sleep 1; echo whole")
    run = Running(stack)
    run.wire.reset()
    run.assert_killed()
    assert patient.result()["stdout"] == "whole\n"
    stack.wait_oven(inUse=0, freeing=0)


def test_on_a_named_runner(stack):
    """The run dies with all that it started; the runner, its files and its other runs stay."""
    api = stack.api
    api.post("/runner/new", {"name": "hung", "code": "echo kept >file"})
    other = Task(api.run, "while [ ! -e go ]; do sleep 0.01; done; echo whole", on="hung")
    run = Running(stack, "/runner/hung")
    run.wire.hang_up()
    run.assert_killed()
    assert api.run("cat file; touch go", on="hung")["stdout"] == "kept\n"
    assert other.result()["stdout"] == "whole\n"
    assert api.delete("/runner/hung").status == 200


def test_while_a_runner_is_made(stack):
    """Nobody has heard the new runner's name: it must not stay for ever."""
    run = Running(stack, "/runner/new", name="unheard")
    run.wire.reset()
    run.assert_freed()
    eventually(lambda: stack.api.get("/runner/unheard").status == 404, "its name is free")
    assert stack.api.post("/runner/new", {"name": "unheard"}).status == 200
    assert stack.api.delete("/runner/unheard").status == 200


@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_while_waiting_for_a_runner(new_stack, how):
    """Its place in the queue is given up: a runner that comes free is not wasted on it."""
    stack = new_stack({"oven.min_available": 1, "oven.max_runners": 1}).start()
    api = stack.api
    name = api.post("/runner/new", {}).json["runner"]
    wires = [api.wire() for _ in range(5)]
    for wire in wires:
        wire.send(api.bytes("POST", "/runner/run", {"code": "echo hi"}))
    stack.wait_oven(waiting=5)
    for wire in wires:
        getattr(wire, how)()
    stack.wait_oven(waiting=0)
    api.delete(f"/runner/{name}")
    assert api.run("echo hi")["stdout"] == "hi\n"
    assert not stack.manager.events("request")[-1].get("status") == "500"


def test_after_the_whole_answer_was_sent(stack):
    """A client that reads nothing and leaves: no harm."""
    for _ in range(20):
        with stack.api.wire() as wire:
            wire.send(stack.api.bytes("POST", "/runner/run", {"code": "head -c 300000 /dev/zero"}))
            wire.reset()
    stack.wait_oven(inUse=0, freeing=0, waiting=0)


def test_a_pipelined_request_of_a_client_that_left(stack):
    """It sent two, and went while the first ran: the second must not run either."""
    api = stack.api
    with api.wire() as wire:
        wire.send(api.bytes("POST", "/runner/run", {"code": "sleep 1000", "time": 600}))
        wire.send(api.bytes("POST", "/runner/new", {"name": "second"}))
        stack.wait_oven(inUse=1)
        wire.reset()
    stack.wait_oven(inUse=0, freeing=0)
    assert api.get("/runner/second").status == 404
