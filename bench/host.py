"""What the kernel says about this machine and its processes."""

import os
import pathlib
import time

# Parts of /proc/meminfo that runners grow; Percpu holds most of what a memory cgroup costs.
MEMORY_PARTS = ("MemAvailable", "AnonPages", "Shmem", "SReclaimable", "SUnreclaim", "KernelStack",
                "PageTables", "Percpu")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def memory():
    """{part: bytes}"""
    found = {}
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in MEMORY_PARTS:
            found[name] = int(rest.split()[0]) * 1024
    return found


def settled_memory(rounds=10, pause_s=0.1):
    """Each part's median of some readings, so that a passing process does not count."""
    readings = []
    for _ in range(rounds):
        readings.append(memory())
        time.sleep(pause_s)
    return {part: sorted(reading[part] for reading in readings)[rounds // 2]
            for part in readings[0]}


def process_memory(pid):
    """{"rss", "pss", "private"} in bytes; zeros for a process that is gone."""
    found = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        text = ""
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0]) * 1024
    return {"rss": found["Rss"], "pss": found["Pss"],
            "private": found["Private_Clean"] + found["Private_Dirty"]}


def _stat(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
    return name, rest


def processes():
    """{pid: (name, parent)}"""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, rest = _stat(entry.name)
            except (OSError, ValueError):
                continue
            found[int(entry.name)] = (name, int(rest[1]))
    return found


def descendants(pid):
    """Every process below pid with its name, however deep."""
    everything, found, front = processes(), {}, {pid}
    while front:
        front = {child for child, (_, parent) in everything.items() if parent in front}
        found.update({child: everything[child][0] for child in front})
    return found


def process_cpu_s(pid):
    """Of the process itself, and of its children that have ended and were waited for."""
    _, rest = _stat(pid)
    return (int(rest[11]) + int(rest[12])) * TICK_S, (int(rest[13]) + int(rest[14])) * TICK_S


def cpu_s():
    """Busy seconds of all processors: user, system, interrupts and what a hypervisor took."""
    first = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = (int(field) * TICK_S for field in first[:8])
    return {"user": user + nice, "system": system, "interrupts": irq + softirq, "stolen": steal}


def describe():
    cpu = next((line.partition(":")[2].strip()
                for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "unknown")
    total = pathlib.Path("/proc/meminfo").read_text().split()[1]
    controllers = "v2" if pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    return {"cpu": cpu, "processors": len(os.sched_getaffinity(0)),
            "memoryBytes": int(total) * 1024, "kernel": os.uname().release,
            "cgroup": controllers, "loadBefore": os.getloadavg()[0]}
