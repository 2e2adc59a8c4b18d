"""This machine, looked at from outside of the programs: processes, cgroups, mounts, sockets."""

import os
import threading
import time


def read(path):
    """A file of /proc or /sys; "" when what it is about has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # ENOENT, ESRCH; ENODEV of a cgroup
        return ""


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def status_field(pid, name):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return ""


def command_line(pid):
    return read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def is_alive(pid):
    """A zombie that nobody has reaped yet has ended."""
    return status_field(pid, "State")[:1] not in ("", "Z", "X")


def children(pid):
    return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return 0


def find_processes(text):
    """Those with the text on their command line; a test's own marker, for example."""
    return [pid for pid in pids() if text in command_line(pid) and pid != os.getpid()]


def cgroup_mounts():
    return [
        line.split()[1]
        for line in read("/proc/self/mounts").splitlines()
        if line.split()[2] in ("cgroup", "cgroup2")
    ]


def cgroups(prefix):
    """Every folder, in every hierarchy, that is the worker's with that prefix, or below one."""
    found = []
    for mount in cgroup_mounts():
        for folder, below, _ in os.walk(mount):
            if folder == mount:
                below[:] = [name for name in below if name.startswith(prefix)]
            else:
                found.append(folder)
    return found


def containers(prefix):
    """Names of the containers that have a cgroup."""
    names = set()
    for mount in cgroup_mounts():
        try:
            names.update(entry.name for entry in os.scandir(f"{mount}/{prefix}") if entry.is_dir())
        except FileNotFoundError:
            pass
    return names


def cgroup_processes(prefix):
    """Pids of all that is in the worker's cgroups: the containers' processes, and monitors."""
    found = set()
    for mount in cgroup_mounts():
        if not os.path.isdir(f"{mount}/{prefix}"):
            continue
        for folder in [entry for entry in os.listdir(mount) if entry.startswith(prefix)]:
            for at, _, _ in os.walk(f"{mount}/{folder}"):
                found.update(int(pid) for pid in read(f"{at}/cgroup.procs").split())
        break  # every one of them is in each hierarchy that the worker uses
    return found


def mounts(text):
    return [line for line in read("/proc/self/mountinfo").splitlines() if text in line]


def unix_sockets(text):
    return [line for line in read("/proc/net/unix").splitlines() if text in line]


def listens(address):
    """Whether somebody listens on (ip, port)."""
    ip = "".join(f"{int(part):02X}" for part in reversed(address[0].split(".")))
    wanted = f"{ip}:{address[1]:04X}"
    return any(
        line.split()[1] == wanted and line.split()[3] == "0A"
        for line in read("/proc/net/tcp").splitlines()[1:]
    )


class PeakMemory:
    """The largest resident size, in bytes, of each process that a function names, watched all the
    time: {what: bytes}. The kernel's own high-water mark, so nothing is missed between two looks
    at a process that lives on.
    """

    def __init__(self, list_processes):
        self._list = list_processes
        self._over = threading.Event()
        self.peaks = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        for _, pid in self._list():
            try:
                with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                    file.write("5")  # sets the mark to what is resident now, proc(5)
            except OSError:
                pass
        self._thread.start()
        return self

    def _look(self):
        for what, pid in self._list():
            mark = status_field(pid, "VmHWM")
            if mark:
                self.peaks[what] = max(self.peaks.get(what, 0), int(mark.split()[0]) * 1024)

    def _watch(self):
        while not self._over.is_set():
            self._look()
            time.sleep(0.1)

    def __exit__(self, *_):
        self._look()
        self._over.set()
        self._thread.join()
