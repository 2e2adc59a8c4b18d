"""A manager of a later version finds an older worker: it is upgraded in place, or refused."""

import os
import shutil

import pytest

from harness import places
from harness.hosts import Host, Manager
from harness.wait import eventually

DONE = 120
OLD = "0.0.9"
LIBEXEC = "/usr/local/libexec/codeland"


def make_old(folder):
    """A build that differs from this one in nothing but the version that it tells; its program."""
    with os.popen(f"{places.WORKER} --version") as said:
        ours = said.read().split()[-1].encode()
    old = OLD.encode().ljust(len(ours), b"\0")
    assert len(old) == len(ours) and old < ours
    for name in ("templates", "languages", "src/agent", "src/worker/codeland.apparmor"):
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        os.symlink(f"{places.BUILD}/{name}", f"{folder}/{name}")
    for program in (places.WORKER, places.CODELAND):
        with open(program, "rb") as file:
            bytes_ = file.read()
        there = f"{folder}/{os.path.relpath(program, places.BUILD)}"
        os.makedirs(os.path.dirname(there), exist_ok=True)
        assert ours + b"\0" in bytes_
        with open(there, "wb") as file:
            file.write(bytes_.replace(ours + b"\0", old + b"\0"))
        os.chmod(there, 0o755)
    return f"{folder}/{os.path.relpath(places.CODELAND, places.BUILD)}"


@pytest.fixture(scope="module")
def old_program(template):
    """`codeland` of the older version."""
    folder = os.path.join(places.STATE, f"old-{os.getpid()}")
    try:
        yield make_old(folder)
    finally:
        shutil.rmtree(folder)


def restart(manager, program):
    if manager.manager.running():
        manager.manager.kill()
    manager.manager.argv[0] = program
    manager.start()


def link(manager, name="far"):
    return manager.api.get(f"/workers/{name}").json["link"]


def until(manager, state, words="", name="far"):
    """Until the worker's link is in that state, with these words; returns what was said last."""

    def there():
        now = link(manager, name)
        assert now["state"] == state and words in (now["lastError"] or ""), now
        return now

    return eventually(there, f"{name} is {state}", DONE)


def install(manager, body):
    assert manager.api.post("/doctor", {**body, "install": True}).status == 202

    def over():
        found = manager.api.get(f"/doctor?worker={body['name']}").json
        return found["state"] != "running" and found

    found = eventually(over, "the host is installed", DONE)
    assert found["state"] == "ready", found


def version(host):
    return host.exec(f"{LIBEXEC}/codeland-worker", "--version").stdout.strip()


def worker_of(host):
    """Its pid. For a moment there may be another process of that name: the program, asked its version."""

    def alone():
        pids = host.processes("codeland-worker")
        return pids[0] if len(pids) == 1 else None

    return eventually(alone, "one worker")


def test_upgraded_in_place(old_program):
    """By the manager's restart alone; a named runner lives on, with all that it has."""
    with Manager() as manager, Host(authorized=manager.public_key) as host:
        host.start()
        body = {"name": "far", "ssh": host.target, "identity": manager.identity,
                "hostKey": host.fingerprint}
        restart(manager, old_program)
        install(manager, body)
        assert version(host) == f"codeland-worker {OLD}"
        manager.name_hosts([("far", manager.reach(host))])
        restart(manager, old_program)
        until(manager, "up")
        code = "echo 42 > answer; nohup sleep 1000 >/dev/null 2>&1 & echo $!"
        answer = manager.api.post("/runner/new", {"name": "stays", "code": code})
        assert answer.status == 200, answer
        pid = answer.json["stdout"].strip()
        before = worker_of(host)

        # Its disk is full: refused, with the reason and the command; nothing has changed there.
        host.exec("sh", "-c", f"cp -a {LIBEXEC} /run/kept && mount -t tmpfs -o size=3m small {LIBEXEC} && "
                              f"cp -a /run/kept/. {LIBEXEC}/ && ! cat /dev/zero >{LIBEXEC}/filler")
        restart(manager, places.CODELAND)
        why = until(manager, "refused", "make room on")["lastError"]
        assert why.startswith(f"codeland-worker {OLD} is older than this manager"), why
        assert "MiB free at /usr/local/libexec/codeland" in why, why
        answer = manager.api.post("/runner/run", {"code": ":"})
        assert answer.status == 503 and "could not be upgraded" in answer.json["message"], answer
        assert worker_of(host) == before

        # There is room: it is upgraded.
        host.exec("umount", "-l", LIBEXEC)
        restart(manager, places.CODELAND)
        until(manager, "up")
        assert version(host) != f"codeland-worker {OLD}"
        host.exec("cmp", places.WORKER, f"{LIBEXEC}/codeland-worker")
        assert worker_of(host) != before
        alive = f"cat answer; kill -0 {pid} && echo alive"
        assert manager.api.run_after_restart(alive, on="stays")["stdout"] == "42\nalive\n"
        assert manager.api.run("echo fresh")["stdout"] == "fresh\n"
        assert manager.api.delete("/runner/stays").status == 200

        # The manager that is now the older one does not touch it.
        after = worker_of(host)
        restart(manager, old_program)
        until(manager, "refused", "is newer than this manager")
        assert manager.api.post("/runner/run", {"code": ":"}).status == 503
        assert worker_of(host) == after


def test_by_a_login_that_may_not(old_program):
    """It may use the worker's socket and nothing else: told so, with the command that mends it."""
    with Manager() as manager, Host(authorized=manager.public_key) as host:
        host.start()
        host.exec("useradd", "-p", "*", "-M", "-d", "/", "-s", "/bin/sh", "-G", "codeland", "plain")
        host.start_worker(os.path.dirname(old_program) + "/../worker/codeland-worker")
        manager.name_hosts([("far", manager.reach(host, ssh=f"plain@{host.address}"))])
        manager.start()
        why = until(manager, "refused", "plain is not root")["lastError"]
        assert "NOPASSWD" in why, why

        # Somebody with the right to do so starts the new one: it is taken at once.
        host.exec("pkill", "-INT", "codeland-worker")
        gone = lambda: not host.processes("codeland-worker")
        eventually(gone, "the old worker has ended")
        host.start_worker()
        until(manager, "up")
        assert manager.api.run("echo here")["stdout"] == "here\n"


def test_one_that_was_started_from_elsewhere(old_program):
    """Not by us, so it is not ours to replace: said where it is."""
    with Manager() as manager, Host(authorized=manager.public_key) as host:
        program = os.path.normpath(os.path.dirname(old_program) + "/../worker/codeland-worker")
        host.start().start_worker(program)
        manager.name_hosts([("far", manager.reach(host))])
        manager.start()
        until(manager, "refused", f"is {program}, not {LIBEXEC}/codeland-worker")
