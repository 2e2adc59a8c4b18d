"""`codeland worker`, from a machine with nothing on it to runs on it, and away again."""

import os
import pty
import select
import subprocess
import threading

import pytest

from harness import places
from harness.hosts import Host, Manager, make_key
from harness.wait import eventually

DONE = 180


@pytest.fixture(scope="module")
def manager(template):
    with Manager() as one:
        yield one.start()


@pytest.fixture
def key(tmp_path):
    """An administrator's own key, which the manager's user could not read."""
    path = str(tmp_path / "id")
    return path, make_key(path)


def words(manager, *more):
    return [places.CODELAND, "worker", *more, *manager.options()]


def cli(manager, *more, code=0):
    done = subprocess.run(words(manager, *more), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=DONE, check=False)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def on_terminal(manager, *more, answer):
    """The verb on a terminal of its own; answers its question. (exit code, all it said)"""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(places.CODELAND, words(manager, *more))
    said = b""
    while select.select([fd], [], [], DONE)[0]:
        try:
            part = os.read(fd, 65536)
        except OSError:  # EIO: the other end is gone
            break
        if not part:
            break
        said += part
        if answer and said.rstrip().endswith(b"[y/N]"):
            os.write(fd, answer)
            answer = None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def names(manager):
    return {one["name"] for one in manager.api.get("/workers").json["workers"]}


def key_of(manager, name):
    return os.path.join(manager.state_dir, f"manager/ssh/{name}.key")


class Load:
    """Runs, one after the other on some threads, until it is over; what was not answered well."""

    def __init__(self, api, threads=3):
        self._api, self._over = api, threading.Event()
        self.wrong, self.done = [], 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self):
        while not self._over.is_set():
            answer = self._api.post("/runner/run", {"code": "echo load"})
            if answer.status != 200 or answer.json["stdout"] != "load\n":
                self.wrong.append(answer)
            self.done += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(60)


def test_from_nothing_to_runs_and_away_again(manager, key):
    path, public = key
    with Host(authorized=public) as first, Host(authorized=public) as second:
        first.start()
        second.start().start_worker()

        # Not on a terminal: the key is shown, nothing is kept.
        reach = ("--ssh", first.target, "--identity", path)
        said = cli(manager, "add", "first", *reach, code=1)
        assert f"--accept-key {first.fingerprint}" in said, said
        assert "first" not in names(manager) and not os.path.exists(key_of(manager, "first"))

        # On one: a person says yes; without a worker there it is not added yet.
        code, said = on_terminal(manager, "add", "first", *reach, answer=b"y\n")
        assert code == 1 and first.fingerprint in said and "no worker listens" in said, said
        assert "first" not in names(manager)

        said = cli(manager, "add", "first", *reach, "--accept-key", first.fingerprint, "--install")
        assert "first takes runs" in said, said
        first.exec("cmp", places.WORKER, "/usr/local/libexec/codeland/codeland-worker")
        status = os.stat(key_of(manager, "first"))
        assert status.st_mode & 0o777 == 0o600 and status.st_uid == os.stat(manager.identity).st_uid
        assert manager.api.run("echo there")["stdout"] == "there\n"
        assert "already" in cli(manager, "add", "first", *reach, code=1)
        assert "first" in cli(manager, "doctor", "first")

        # It is of the store: a manager that starts anew has it.
        manager.manager.kill()
        manager.manager.start()
        manager.wait_serving()
        up = lambda: manager.api.get("/workers/first").json["link"]["state"] == "up"
        eventually(up, "the worker is there again", 60)
        assert first.fingerprint in cli(manager, "show", "first")
        with open(path, encoding="ascii") as file:
            assert file.read().splitlines()[1] not in cli(manager, "show", "first")

        # A second one comes and the first one goes, and no run notices.
        with Load(manager.api) as load:
            said = cli(manager, "add", "second", "--ssh", second.target, "--identity", path,
                       "--accept-key", second.fingerprint)
            assert "second takes runs" in said, said
            before = load.done
            eventually(lambda: load.done > before + 5, "runs go on")
            cli(manager, "drain", "first")
            assert manager.api.get("/workers/first").json["status"] == "draining"
            cli(manager, "resume", "first")
            assert manager.api.get("/workers/first").json["status"] == "active"
            cli(manager, "rm", "first")
            before = load.done
            eventually(lambda: load.done > before + 5, "runs go on")
        assert not load.wrong, load.wrong[:3]
        assert "first" not in names(manager) and not os.path.exists(key_of(manager, "first"))
        listed = cli(manager, "ls")
        assert "second" in listed and "first" not in listed, listed
        cli(manager, "rm", "second", "--force")


def test_what_is_refused(manager):
    for more, code, say in (
        (("add", "x"), 2, "say how it is reached"),
        (("add", "X", "--ssh", "h"), 2, "is no name of a worker"),
        (("add", "x", "--ssh", "-oProxyCommand=id"), 2, "the host must be"),
        (("add", "x", "--ssh="), 2, "the host must be"),
        (("add", "x", "--ssh", "h", "--accept-key", "MD5:1"), 2, "host_key: must be SHA256:"),
        (("add", "x", "--ssh", "h", "--identity", "/nowhere"), 1, "--identity: /nowhere"),
        (("show", "nobody"), 1, "nobody"),
        (("explode",), 2, "expected add|show"),
    ):
        assert say in cli(manager, *more, code=code), more
