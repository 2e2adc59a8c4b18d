"""A worker and a manager of a test's own, real ones, and proof that they leave nothing behind."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess

from . import host, places
from .http import Client
from .link import Link, frame
from .wait import eventually, patient

IDS_EACH = 65536
RUNNERS_MOST = 64
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _end_with_us():
    """Should the tests be killed, the daemons go too, and the worker takes its runners along."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def parse_logfmt(line):
    """A log line as a dictionary; None for what is no log line."""
    if not line.startswith("level="):
        return None
    fields = {}
    for key, quoted, bare in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line):
        fields[key] = quoted or bare
    return fields


class Daemon:
    """One of the programs, with its log, over all its lives."""

    def __init__(self, name, argv, log):
        self.name, self.argv, self.log = name, argv, log
        self.process = None
        self._ended_by_us = False

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        self._ended_by_us = False
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_us,
            )

    def running(self):
        return self.process is not None and self.process.poll() is None

    def died(self):
        """Ended, and it was not the test's doing."""
        return self.process is not None and not self.running() and not self._ended_by_us

    def signal(self, number):
        self._ended_by_us = True
        self.process.send_signal(number)

    def wait(self, deadline=30):
        """Its exit status, as waitpid has it: minus the number of the signal."""
        deadline = patient(deadline)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the {self.name} did not end within {deadline} s") from None

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait()

    def lines(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def events(self, event=None):
        """The log, parsed; only lines of one event if it is named."""
        parsed = [fields for fields in map(parse_logfmt, self.lines()) if fields]
        return [fields for fields in parsed if event is None or fields["event"] == event]


class Stack:
    """settings: {"section.key": value}, over those that keep stacks apart. The oven is small and
    grows on demand only, so that tests side by side do not fill the machine.
    """

    def __init__(self, settings=None, template=places.TEMPLATE):
        self.slot = places.Slot()
        self.prefix = self.slot.name
        self.address = self.slot.address
        self.run_dir = f"/run/{self.slot.name}"
        self.folder = os.path.join(places.STATE, "stacks", self.slot.name)
        self.state_dir = os.path.join(self.folder, "state")
        self.template = os.path.join(self.state_dir, "templates/base")
        self.id_base = 1_200_000_000 + self.slot.number * RUNNERS_MOST * IDS_EACH
        self.settings = {
            "paths.state_dir": self.state_dir,
            "paths.run_dir": self.run_dir,
            "worker.prefix": self.prefix,
            "worker.id_base": self.id_base,
            "http.listen": "{}:{}".format(*self.address),
            "oven.min_available": 4,
            "oven.mem_target": 0,
            "oven.max_runners": RUNNERS_MOST,
            **(settings or {}),
        }
        self._expected = []
        self._seen = {}
        os.makedirs(os.path.dirname(self.template), mode=0o755)
        if template:
            os.symlink(template, self.template)
        log = os.path.join(self.folder, "{}.log")
        self.worker = Daemon("worker", [places.WORKER, *self.options()], log.format("worker"))
        manager = [places.CODELAND, "serve", *self.options()]
        self.manager = Daemon("manager", manager, log.format("manager"))

    def options(self):
        return [word for item in self.settings.items() for word in ("--set", "{}={}".format(*item))]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.clear_away()

    # ---- life ----

    def start(self):
        self.worker.start()
        self.manager.start()
        self.wait_ready()
        return self

    def wait_ready(self):
        eventually(lambda: self._answers("/readyz"), "the stack is ready")
        return self

    def wait_serving(self):
        """The manager answers, whatever the worker does."""
        eventually(lambda: self._answers("/healthz"), "the manager answers")

    def _answers(self, path):
        for daemon in (self.worker, self.manager):
            if daemon.died():
                raise RuntimeError(f"the {daemon.name} ended: {daemon.lines()[-3:]}")
        return Client(self.address, "").plain("GET", path).status == 200

    @property
    def api(self):
        return Client(self.address, self.token)

    @property
    def token(self):
        with open(os.path.join(self.state_dir, "admin.token"), encoding="ascii") as file:
            return file.read().strip()

    @property
    def socket(self):
        return os.path.join(self.run_dir, "worker.sock")

    def link(self, greet=True):
        return Link(self.socket, greet)

    def link_ready(self):
        """Waits until the worker alone answers."""

        def answers():
            with self.link() as link:
                return link.receive()[0] == "LINK_HELLO"

        eventually(answers, "the worker answers")

    # ---- what is there, from outside ----

    def oven(self):
        """The oven's figures as the worker has them now; the API's may be a second old."""
        with self.link() as link:
            link.send(frame("WATCH", {}))
            kind, payload = next(link.answers())
            assert kind == "SNAPSHOT", payload
            return payload["oven"]

    def wait_oven(self, deadline=30, **figures):
        """Until the oven has these figures, e.g. inUse=0."""

        def has():
            oven = self.oven()
            assert all(oven[name] == value for name, value in figures.items()), oven
            return True

        eventually(has, f"the oven has {figures}", deadline)

    def wait_warm(self):
        count = int(self.settings["oven.min_available"])
        eventually(lambda: self.oven()["available"] >= count, f"{count} warm runners")

    def owns(self, pid):
        """Whether that process is ours: a daemon, a monitor, an agent, somebody's program."""
        uid = host.status_field(pid, "Uid").split()
        last = self.id_base + RUNNERS_MOST * IDS_EACH
        return (
            (uid and self.id_base <= int(uid[0]) < last)
            or self.run_dir in host.command_line(pid)
            or f"/{self.prefix}" in host.read(f"/proc/{pid}/cgroup")
        )

    def processes(self):
        return [pid for pid in host.pids() if self.owns(pid) and host.is_alive(pid)]

    def containers(self):
        return host.containers(self.prefix)

    def programs(self):
        """(what, pid) of our own programs, for PeakMemory; not what runs in the containers. A copy of
        the agent that is about to become a user's program has its name still, but is not PID 1.
        """
        names = {
            "codeland": "manager",
            "codeland-worker": "worker",
            "codeland-starte": "starter",  # the kernel keeps 15 characters
            "codeland-monito": "monitor",
            "crunner": "agent",
        }
        daemons = [daemon.pid for daemon in (self.worker, self.manager) if daemon.running()]
        pids = [*daemons, *host.children(self.worker.pid), *host.cgroup_processes(self.prefix)]
        known = [
            (names.get(host.status_field(pid, "Name")), pid) for pid in dict.fromkeys(pids)
        ]
        return [
            (name, pid)
            for name, pid in known
            if name and (name != "agent" or host.status_field(pid, "NSpid").split()[-1:] == ["1"])
        ]

    def left_behind(self):
        """What the stack would leave on this machine if all were over now."""
        left = [f"process {pid}: {host.command_line(pid)}" for pid in self.processes()]
        left += [f"cgroup {folder}" for folder in host.cgroups(self.prefix)]
        left += [f"mount {line}" for line in host.mounts(self.run_dir)]
        left += [f"socket {line}" for line in host.unix_sockets(self.run_dir)]
        if os.path.lexists(self.run_dir):
            files = [
                os.path.join(at, name) for at, _, names in os.walk(self.run_dir) for name in names
            ]
            left.append(f"folder {self.run_dir}: {files}")
        if host.listens(self.address):
            left.append(f"a listener on {self.address}")
        return left

    # ---- the logs ----

    def expect_error(self, pattern):
        """Error lines that match are what this test is about."""
        self._expected.append(re.compile(pattern))

    def check_logs(self):
        """Fails for errors that nobody expected, for what is no log line at all (a sanitizer's
        report, for example), and for secrets. Each line is looked at once.
        """
        wrong = []
        for daemon in (self.worker, self.manager):
            lines = daemon.lines() if os.path.exists(daemon.log) else []
            fresh = lines[self._seen.get(daemon.name, 0) :]
            self._seen[daemon.name] = len(lines)
            for line in fresh:
                fields = parse_logfmt(line)
                bad = fields is None or fields["level"] == "error"
                if bad and not any(pattern.search(line) for pattern in self._expected):
                    wrong.append(f"{daemon.name}: {line}")
        assert not wrong, "\n".join(["unexpected in the logs:", *wrong])
        with contextlib.suppress(FileNotFoundError):
            token = self.token
            for daemon in (self.worker, self.manager):
                if os.path.exists(daemon.log):
                    assert not any(token in line for line in daemon.lines()), "a token in a log"

    def check_alive(self):
        for daemon in (self.worker, self.manager):
            assert (
                not daemon.died()
            ), f"the {daemon.name} ended by itself: {daemon.process.returncode}"

    def revive(self):
        """After a test that lost a daemon, so that the others may still be meaningful."""
        for daemon in (self.worker, self.manager):
            if not daemon.running():
                daemon.start()
        self.wait_ready()

    # ---- the end ----

    def stop(self):
        """Ends both daemons as Ctrl-C does; both must end well."""
        if self.manager.running():
            self.manager.signal(signal.SIGTERM)
            assert self.manager.wait() == 0, "the manager did not end well"
        if self.worker.process and not self.worker.running():
            self.worker.start()  # the test killed it: one more life, to clean up
            self.link_ready()
        if self.worker.running():
            self.worker.signal(signal.SIGINT)
            status = self.worker.wait()
            assert status == 0, f"the worker did not end well: {status}"

    def close(self):
        """The end of every stack: it stops well, nothing is left, and the logs are clean."""
        try:
            self.check_alive()
            self.stop()
            self.check_nothing_left()
            self.check_logs()
        finally:
            self.clear_away()

    def check_nothing_left(self):
        def nothing():
            left = self.left_behind()
            assert not left, "\n".join(left)
            return True

        eventually(nothing, "nothing is left", deadline=10)

    def clear_away(self):
        """Whatever happened: the next test must not find any of this."""
        for daemon in (self.manager, self.worker):
            if daemon.running():
                daemon.kill()
        for _ in range(100):
            left = self.processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for folder in sorted(host.cgroups(self.prefix), key=len, reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            if not left and not host.cgroups(self.prefix):
                break
        for folder in (self.run_dir, self.folder):
            for line in host.mounts(folder):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
            shutil.rmtree(folder, ignore_errors=True)
        self.slot.release()
