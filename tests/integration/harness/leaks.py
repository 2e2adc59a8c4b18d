"""What a stack holds on this machine, counted: after any amount of work it is what it was before."""

import collections
import os

from . import host
from .wait import eventually


def figures(stack):
    """All that could grow: descriptors, processes, cgroups, mounts, files, sockets."""
    counts = collections.Counter()
    for what, pid in stack.programs():
        counts[f"processes {what}"] += 1
        if what in ("worker", "manager", "starter"):
            counts[f"descriptors {what}"] += host.descriptors(pid)
            counts[f"threads {what}"] += len(os.listdir(f"/proc/{pid}/task"))
            if what == "starter":  # the others see this machine's, where anybody may mount something
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


def settle(stack, deadline=30):
    """Until only warm runners are left, as many as there shall be."""
    count = int(stack.settings["oven.min_available"])
    stack.wait_oven(
        deadline, inUse=0, freeing=0, cooking=0, waiting=0, available=count, count=count
    )


def assert_no_more(stack, before):
    def no_more():
        now = figures(stack)
        more = {key: (before.get(key, 0), now[key]) for key in now if now[key] > before.get(key, 0)}
        assert not more, more
        return True

    eventually(no_more, "there is no more than before")
