"""Every point of src/common/fault.def fails in turn, in a worker that was built with -Dfaults=true,
while runs of many kinds go through. Whatever fails: each run has one answer and it is a right one or
tells what was wrong, no runner is handed out twice, the worker serves on, and nothing stays behind.

CODELAND_FAULT_RUNS is how many runs each point gets (`make check-faults`: 200).
"""

import itertools
import os
import signal
import threading
import time

import pytest

from harness import faults, host, places
from harness.events import open_stream
from harness.leaks import assert_no_more, figures, settle
from harness.wait import Task, eventually, patient, workers
from harness.world import NetworkStack, World

RUNS = int(os.environ.get("CODELAND_FAULT_RUNS") or 12)
EVERY = 7  # passage of the point fails
CLIENTS = 4

# What a run may be told when something failed under it.
LOST = {500, 502, 503, 507}

# Passed only when something else has failed.
AFTER = {"START_REPORT": "LXC_START"}

# Passed only when a socket takes no more.
STALLED = {"CHAN_WRITE"}


def generation():
    return "V2" if all("cgroup2" in line for line in host.read("/proc/self/mounts").splitlines()
                       if " cgroup" in line) else "V1"


def points():
    """{name: phase} of those that this machine passes, as the table has them."""
    found = {}
    with open(os.path.join(places.REPOSITORY, "src/common/fault.def"), encoding="ascii") as table:
        for line in table:
            if line.startswith("FAULT_POINT("):
                name, _, phase = line[len("FAULT_POINT(") :].rstrip(")\n").split(", ")
                phase, _, version = phase.partition("_")
                if version in ("", generation()):
                    found[name] = phase
    return found


def names(*phases):
    return [name for name, phase in points().items() if phase in phases]


class FaultyStack(NetworkStack):
    """A stack whose worker was built for faults."""

    def __init__(self, world):
        assert os.access(faults.WORKER, os.X_OK), (
            "build it: scripts/build build-faults -Dtests=false -Dfaults=true"
            " -- src/worker/codeland-worker src/agent/crunner"
        )
        settings = {
            "oven.max_runners": 4,  # so that demand cannot make it keep more
            "oven.backoff_max": "200ms",
            "oven.cook_timeout": "5s",
            "run.queue": "60s",
        }
        super().__init__(world, settings)
        self.faults = faults.Faults(os.path.join(self.folder, "faults"))
        at = self.worker.argv.index(places.WORKER)
        self.worker.argv[at : at + 1] = [
            "env",
            f"CODELAND_FAULTS={self.faults.path}",
            faults.WORKER,
        ]
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.expect_error("")  # failures are what this is about

    def start(self):
        super().start()
        self.faults.open()
        return self

    def warm_up(self):
        """What is made once and kept is made now: an id range for each of the runners that there may be
        at once, threads, the manager's connections.
        """
        runs = int(self.settings["oven.max_runners"])
        for run in [Task(self.api.run, "sleep 1") for _ in range(runs)]:
            run.result()
        for network in (False, True):
            Guests(self, network).visit(4 * CLIENTS)
        settle(self)
        self.usual = figures(self)
        return self

    def start_until_it_serves(self):
        """As its supervisor does: one that could not start has said why, and is started again. That its
        starter ended it may find when it serves already, and so a runner must have been made.
        """
        self.worker.start()

        def serves():
            if not self.worker.running():
                assert self.worker.wait() == 1
                assert self.worker.events()[-1]["level"] == "error", self.worker.lines()[-3:]
                self.worker.start()
            return self.api.post("/runner/run", {"code": "true"}).status == 200

        eventually(serves, "it serves", 60)


@pytest.fixture(scope="module")
def world(template):
    one = World()
    yield one
    one.close()


@pytest.fixture(scope="module")
def stack(world):
    before = world.host.everything()
    with FaultyStack(world) as one:
        yield one.start().warm_up()
    assert world.host.everything() == before


class Guests:
    """Clients that do all kinds of things and look closely at the answers."""

    def __init__(self, stack, network=False, point=None):
        self.stack, self.api = stack, stack.api
        self.kinds = [self.fresh, self.fresh, self.much, self.limited, self.late, self.named,
                      self.computes]
        if network:
            self.kinds = [self.nat, self.nat_named, self.fresh]
        if point in STALLED:
            self.kinds.insert(0, self.stalled)
        self.lock = stack.lock
        self.seen = set()
        self.counts = {"good": 0, "lost": 0}

    def _answer(self, answer, good, more=()):
        """The result, or None when something was lost; that has to be said properly."""
        with self.lock:
            self.counts["good" if answer.status == good else "lost"] += 1
        if answer.status == good:
            return answer.json
        assert answer.status in LOST or answer.status in more, answer
        assert answer.json["name"] and answer.json["message"], answer
        return None

    def _once(self, result):
        with self.lock:
            assert result["runner"] not in self.seen, "a runner was handed out twice"
            self.seen.add(result["runner"])

    def _run(self, code, says, **fields):
        answer = self.api.post("/runner/run", {"code": code, **fields})
        result = self._answer(answer, 200)
        if result:
            self._once(result)
            assert (result["status"], result["stdout"]) == ("ok", says), answer

    def fresh(self, number):
        mark = "test ! -e /tmp/mark && touch /tmp/mark && echo"
        self._run(f"{mark} {number}", f"{number}\n")

    def much(self, number):
        self._run(f"head -c 700000 /dev/zero | tr '\\0' x; cat", "x" * 700000 + str(number),
                  stdin=str(number))

    def limited(self, number):
        self._run(f"head -c 1000000 /dev/zero >file && echo {number}", f"{number}\n",
                  memory=64 << 20, disk=32 << 20, processes=32)

    def late(self, _):
        answer = self.api.post("/runner/run", {"code": "sleep 60 & sleep 60", "time": 0.05})
        self._answer(answer, 498)

    def computes(self, _):
        answer = self.api.post("/runner/run", {"code": "while :; do :; done", "time": 0.3})
        self._answer(answer, 498)

    def nat(self, number):
        self._run(f"cat /etc/resolv.conf; echo {number}", f"nameserver 11.53.53.53\n{number}\n",
                  network="nat")

    def nat_named(self, number):
        self.named(number, network="nat")

    def stalled(self, number):
        """Does not read for a while: what the program writes fills every socket on the way."""
        fields = {"code": f"head -c 8000000 /dev/zero | tr '\\0' x; echo {number}"}
        wire, events = open_stream(self.api, fields)
        with wire:
            if events.status != 200:
                assert events.status in LOST and events.body()["message"]
                return
            time.sleep(0.3)
            last, data = list(events)[-1]
            assert last in ("end", "error"), last
            assert last == "error" or data["status"] == "ok", data

    def named(self, number, **fields):
        name = f"fault-{number}"
        made = self.api.post("/runner/new", {"name": name, "code": f"echo {number} >mine", **fields})
        self._answer(made, 200)
        gone = (404,)  # it may be lost, and with it what is asked next
        answer = self.api.post(f"/runner/{name}", {"code": "cat mine"})
        result = self._answer(answer, 200, gone)
        if result:
            assert result["stdout"] == f"{number}\n" or made.status != 200, answer
        answer = self.api.post(f"/runner/{name}", {"code": "sleep 60", "time": 0.05})
        self._answer(answer, 498, gone)

        def removed():
            answer = self.api.delete(f"/runner/{name}")
            return answer.status in (200, 404)

        eventually(removed, f"{name} is gone")

    def visit(self, count):
        calls = []
        for index in range(count):
            kind, number = self.kinds[index % len(self.kinds)], next(self.stack.numbers)
            calls.append(lambda kind=kind, number=number: kind(number))
        workers(CLIENTS, calls)


def assert_serves(stack):
    """As if nothing had been."""
    settle(stack, 60)
    for number in range(3):

        def answers(number=number):  # the manager spares a worker that has failed often, for a while
            answer = stack.api.post("/runner/run", {"code": f"echo {number}"})
            return answer.status == 200 and answer.json["stdout"] == f"{number}\n"

        eventually(answers, "it serves as before", 60)
    settle(stack, 60)
    assert stack.api.get("/worker/zombies").json["zombies"] == []


def visit_while_failing(stack, guests, name):
    points = [point for point in (name, AFTER.get(name)) if point]
    raised = stack.faults.raised(name)
    for point in points:
        stack.faults.arm(point, 1, EVERY)
    try:
        guests.visit(RUNS)
        end = time.monotonic() + patient(60)
        while stack.faults.raised(name) == raised:
            assert time.monotonic() < end, f"{name} was never passed"
            guests.visit(CLIENTS)
    finally:
        for point in points:
            stack.faults.disarm(point)
    raised = stack.faults.raised(name) - raised
    print(f"{name} failed {raised} times: {guests.counts}")
    assert_serves(stack)
    stack.check_alive()
    assert_no_more(stack, stack.usual)


@pytest.mark.parametrize("name", names("RUN"))
def test_while_runs_go_through(stack, name):
    guests = Guests(stack, point=name)
    visit_while_failing(stack, guests, name)


@pytest.mark.parametrize("name", names("NETWORK"))
def test_while_networks_are_made(stack, name):
    guests = Guests(stack, network=True)
    visit_while_failing(stack, guests, name)


@pytest.mark.parametrize("name", names("START"))
def test_while_it_starts(stack, name):
    stack.worker.signal(signal.SIGINT)
    assert stack.worker.wait() == 0
    raised = stack.faults.raised(name)
    stack.faults.arm(name)
    stack.start_until_it_serves()
    eventually(lambda: stack.faults.raised(name) == raised + 1, f"{name} is passed")
    assert_serves(stack)


@pytest.mark.parametrize("name", names("ADOPT"))
def test_while_it_adopts(stack, name):
    """What somebody has is not lost for want of a descriptor."""
    api = stack.api
    assert api.post("/runner/new", {"name": "kept", "code": "echo mine >file"}).status == 200
    stack.wait_oven(available=3, inUse=1)
    stack.worker.kill()
    raised = stack.faults.raised(name)
    stack.faults.arm(name)
    stack.start_until_it_serves()
    assert stack.faults.raised(name) == raised + 1
    assert api.run_after_restart("cat file", "kept")["stdout"] == "mine\n"
    assert api.delete("/runner/kept").status == 200
    assert_serves(stack)
