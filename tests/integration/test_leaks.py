"""After hundreds of runs of every kind the machine is as it was before them."""

import collections
import os
import random

from harness import host
from harness.wait import eventually, workers

RUNS = 300


def figures(stack):
    """All that could grow: descriptors, processes, cgroups, mounts, files, sockets."""
    counts = collections.Counter()
    for what, pid in stack.programs():
        counts[f"processes {what}"] += 1
        if what in ("worker", "manager", "starter"):
            counts[f"descriptors {what}"] += host.descriptors(pid)
            counts[f"threads {what}"] += len(os.listdir(f"/proc/{pid}/task"))
            counts[f"mounts {what}"] += host.read(f"/proc/{pid}/mountinfo").count("\n")
            counts[f"zombies {what}"] += sum(
                host.status_field(child, "State")[:1] == "Z" for child in host.children(pid)
            )
    counts["all processes"] = len(stack.processes())
    counts["cgroups"] = len(host.cgroups(stack.prefix))
    counts["mounts"] = len(host.mounts(stack.prefix))
    counts["sockets"] = len(host.unix_sockets(stack.run_dir))
    for folder in (stack.run_dir, stack.state_dir):
        for at, _, names in os.walk(folder):
            counts[f"files in {os.path.relpath(at, folder)}"] += len(names)
    return dict(counts)


def shared_memory():
    """What tmpfs file systems hold: the runners' disks are there, and nobody can see them."""
    for line in host.read("/proc/meminfo").splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Shmem in /proc/meminfo")


class Mixture:
    """One of each kind of thing that people do, in any order."""

    def __init__(self, stack, number):
        self.api, self.number = stack.api, number

    def ok(self):
        assert self.api.run("echo hi; head -c 100000 /dev/zero >file")["stdout"] == "hi\n"

    def fails(self):
        assert self.api.run("exit 3")["exit"] == 3

    def killed(self):
        assert self.api.run("kill -SEGV $$")["signal"] == "SIGSEGV"

    def timed_out(self):
        answer = self.api.post("/runner/run", {"code": "sleep 100 & sleep 100", "time": 0.05})
        assert answer.status == 498

    def in_the_background(self):
        assert self.api.run("sleep 100 & echo hi", time=25)["stdout"] == "hi\n"

    def much_output(self):
        assert self.api.run("head -c 3000000 /dev/zero")["truncated"]["stdout"]

    def much_input(self):
        assert self.api.run("wc -c", stdin="x" * 300_000)["stdout"].strip() == "300000"

    def input_that_nobody_reads(self):
        assert self.api.run(":", stdin="x" * 300_000)["status"] == "ok"

    def refused(self):
        assert self.api.post("/runner/run", {"code": 5}).status == 400

    def hangs_up(self):
        with self.api.wire() as wire:
            wire.send(self.api.bytes("POST", "/runner/run", {"code": "sleep 100"}))
            self.api.get("/worker")
            wire.reset() if self.number % 2 else wire.hang_up()

    def half_a_request(self):
        with self.api.wire() as wire:
            wire.send(self.api.bytes("POST", "/runner/run", {"code": "echo hi"})[:-5])

    def not_startable(self):
        answer = self.api.post("/runner/new", {"name": f"Bad-{self.number}"})
        assert answer.status == 400

    def named(self):
        name = f"leak-{self.number}"
        assert self.api.post("/runner/new", {"name": name, "code": "sleep 100 &"}).status == 200
        assert self.api.run("echo hi", on=name)["stdout"] == "hi\n"
        assert self.api.post(f"/runner/{name}", {"code": "sleep 100", "time": 0.05}).status == 498
        assert self.api.delete(f"/runner/{name}").status == 200

    def once(self, kind):
        getattr(self, kind)()


KINDS = [name for name in vars(Mixture) if name not in ("once",) and not name.startswith("_")]


def settle(stack):
    """Until only warm runners are left, as many as there shall be."""
    count = int(stack.settings["oven.min_available"])
    stack.wait_oven(inUse=0, freeing=0, cooking=0, waiting=0, available=count, count=count)


def assert_no_more(stack, before):
    def no_more():
        now = figures(stack)
        more = {key: (before.get(key, 0), now[key]) for key in now if now[key] > before.get(key, 0)}
        assert not more
        return True

    eventually(no_more, "there is no more than before")


def test_nothing_grows(new_stack):
    # The oven's demand figure makes it keep more for a while; here it has no room for that.
    stack = new_stack({"oven.min_available": 8, "oven.max_runners": 8, "run.queue": "60s"}).start()
    order = random.Random(1)
    for number, kind in enumerate(KINDS):  # what is made once and kept is made now
        Mixture(stack, number).once(kind)
    settle(stack)
    before, memory = figures(stack), shared_memory()
    calls = []
    for number in range(RUNS):
        mixture = Mixture(stack, number)
        calls.append(lambda mixture=mixture, kind=order.choice(KINDS): mixture.once(kind))
    workers(8, calls)
    settle(stack)
    assert_no_more(stack, before)
    # Of the whole machine: others may have something there for a moment.
    eventually(lambda: shared_memory() < memory + 64 * 2**20, "the runners' disks are gone", 60)
    stack.check_logs()


def test_restarts_leave_nothing(new_stack):
    """Nor do workers that were killed and came back, again and again."""
    stack = new_stack({"oven.max_runners": 4}).start()
    stack.api.run("echo hi")
    settle(stack)
    before = figures(stack)
    for _ in range(6):
        stack.worker.kill()
        stack.worker.start()
        assert stack.api.run("echo hi")["stdout"] == "hi\n"
    settle(stack)
    assert_no_more(stack, before)
