"""Starts a worker and a manager of its own: sockets, state, cgroups, ids and port are not those of
an installation on the same machine. Python's standard library alone."""

import contextlib
import ctypes
import http.client
import json
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

RUN_DIR = pathlib.Path("/run/codeland-bench")
PREFIX = "codeland-bench"
ID_BASE = 0x60000000
DEADLINE_S = 60
AT_REST = ("idle", "full", "memory")
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)

# src/common/proto.def
STDIN_EOF, FILE_DATA, LINK_HELLO, RUN, WATCH, RESULT, LINK_ERROR, SNAPSHOT, CHANGES = (
    2, 5, 16, 17, 20, 33, 34, 35, 36)


def end_with_us():
    """A measurement that is killed takes its daemons, and they their runners, along."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


class Failed(Exception):
    """Something did not go as it must; the text is for a person."""


def wait_for(what, condition, deadline_s=DEADLINE_S, pause_s=0.005):
    """The first true value of condition(), asked again and again."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {deadline_s} s")
        time.sleep(pause_s)


def frame(kind, payload=b""):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    return struct.pack("<BBHI", kind, 0, 0, len(payload)) + payload


def link_request(operation, fields, files=(), stdin_end=True):
    """All that a manager sends for one operation."""
    hello = frame(LINK_HELLO, {"protocol": 3, "program": "codeland bench", "manager": "0" * 32})
    data = b"".join(frame(FILE_DATA, text) for text in files)
    return hello + frame(operation, fields) + data + (frame(STDIN_EOF) if stdin_end else b"")


class Watch:
    """What the worker tells its manager: figures every second, runners as they change."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.sendall(link_request(WATCH, {}, stdin_end=False))
        self.received = b""
        self.runners = {}
        self.snapshot = None

    def close(self):
        self.socket.close()

    def _frame(self, timeout_s):
        self.socket.settimeout(timeout_s)
        while True:
            if len(self.received) >= 8:
                kind, _, _, length = struct.unpack("<BBHI", self.received[:8])
                if len(self.received) >= 8 + length:
                    payload = self.received[8:8 + length]
                    self.received = self.received[8 + length:]
                    return kind, payload
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise Failed("the worker closed the connection of its watcher")
            self.received += piece

    def until(self, what, condition, deadline_s=DEADLINE_S):
        """Takes in what the worker says until condition(self)."""
        end = time.monotonic() + deadline_s
        while not condition(self):
            left = end - time.monotonic()
            if left <= 0:
                raise Failed(f"{what}: not within {deadline_s} s; oven: {self.oven()}")
            try:
                kind, payload = self._frame(left)
            except TimeoutError:
                continue
            if kind == SNAPSHOT:
                self.snapshot = json.loads(payload)
                if "runners" in self.snapshot:
                    self.runners.clear()
            elif kind == CHANGES:
                changes = json.loads(payload)
                for record in changes.get("runners", []):
                    self.runners[record["name"]] = record
                for name in changes.get("gone", []):
                    self.runners.pop(name, None)

    def oven(self):
        return (self.snapshot or {}).get("oven")

    def in_state(self, state):
        return [record for record in self.runners.values() if record["state"] == state]


class Stack(contextlib.AbstractContextManager):
    """`with Stack(build, templates, settings) as stack:` runs both, or the worker alone."""

    def __init__(self, build, templates, settings, manager=True):
        self.build = build
        self.templates = templates
        self.settings = settings
        self.with_manager = manager
        self.worker = self.manager = None
        self.port = self.token = None
        self.state = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        for process in (self.manager, self.worker):
            if process and process.poll() is None:
                process.send_signal(signal.SIGINT)  # of a worker: and all its runners
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if self.state:
            shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(RUN_DIR, ignore_errors=True)

    def _start(self):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="codeland-bench-"))
        self.state.chmod(0o755)
        (self.state / "templates").symlink_to(self.templates)
        self.log = self.state / "log"
        self.started = time.monotonic()
        self.worker = self._spawn(self.build / "src/worker/codeland-worker", [])
        self.socket = RUN_DIR / "worker.sock"
        self._wait("the worker", self.worker, self._answers)
        if self.with_manager:
            self.port = free_port()
            self.manager = self._spawn(self.build / "src/cli/codeland", ["serve"])
            self._wait("the manager's readiness", self.manager, lambda: ready(self.port))
            self.token = (self.state / "admin.token").read_text().strip()

    def _spawn(self, program, verb):
        values = {
            "paths.state_dir": self.state, "paths.run_dir": RUN_DIR, "worker.prefix": PREFIX,
            "worker.id_base": ID_BASE, "log.level": "warn",
            "http.listen": f"127.0.0.1:{self.port or 0}", **self.settings,
        }
        if not self.port:
            del values["http.listen"]
        words = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        config = self.state / "codeland.conf"
        config.touch()
        with open(self.log, "ab") as log:
            return subprocess.Popen([program, *verb, "--config", config, *words],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True, preexec_fn=end_with_us)

    def _wait(self, what, process, condition):
        def there():
            if process.poll() is not None:
                raise Failed(f"{what}: the program ended: {self.log.read_text()[-2000:]}")
            return condition()
        wait_for(what, there)

    def _answers(self):
        try:
            Watch(self.socket).close()
            return True
        except OSError:
            return False

    def watch(self):
        return contextlib.closing(Watch(self.socket))

    def wait_warm(self, count=1):
        """Until the oven has all the runners that it wants, count at least, and nothing stirs."""
        def warm(watch):
            oven = watch.oven()
            still = not watch.in_state("cooking") and not watch.in_state("freeing")
            return (oven and still and oven["cooking"] == 0 and oven["status"] in AT_REST and
                    len(watch.in_state("available")) >= count)
        with self.watch() as watch:
            watch.until("a warm oven", warm)
            return len(watch.in_state("available"))

    def http_request(self, path, body):
        """The bytes of a request, for the load generator."""
        text = json.dumps(body).encode()
        return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n\r\n").encode() + text

    def post(self, path, body, statuses=(200,)):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as conn:
            conn.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {self.token}"})
            answer = conn.getresponse()
            text = answer.read()
        if answer.status not in statuses:
            raise Failed(f"POST {path}: {answer.status} {text[:300]}")
        return json.loads(text)


def ready(port):
    """Whether the manager there has a worker with a warm runner."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as conn:
            conn.sendall(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return conn.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
