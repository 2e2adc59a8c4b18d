"""A machine is looked at over SSH, and made a worker."""

import contextlib
import os

import pytest

from harness import host, places
from harness.hosts import Host, Manager
from harness.wait import eventually

# In place of mmdebstrap where no mirror can be reached: the template of this machine, as it was
# before make-rootfs finished it.
MMDEBSTRAP = f"""#!/bin/sh
for word; do case $word in /*) root=$word ;; esac; done
cat >/dev/null
cp -a {places.TEMPLATE}/rootfs/. "$root/"
chroot "$root" userdel -f runner
rm -rf "$root/home/runner" "$root/usr/libexec/crunner"
mkdir -p "$root/dev"
"""

LIBEXEC = "/usr/local/libexec/codeland"
DONE = 120


@pytest.fixture(scope="module")
def manager(template):
    """Without any worker that it could reach."""
    with Manager([("nowhere", {"socket": "/run/nowhere/worker.sock"})]) as one:
        yield one.start()


@contextlib.contextmanager
def started(manager, **more):
    with Host(authorized=manager.public_key, **more) as one:
        yield one.start()


def fields(manager, one, **more):
    return {"name": "far", "ssh": one.target, "identity": manager.identity,
            "hostKey": one.fingerprint, **more}


def examine(manager, body):
    answer = manager.api.post("/doctor", body)
    assert answer.status == 202, answer

    def over():
        found = manager.api.get(f"/doctor?worker={body['name']}").json
        return found["state"] != "running" and found

    return eventually(over, "the host has been looked at", DONE)


def check(found, name):
    return next(one for one in found["checks"] if one["name"] == name)


def test_a_host_is_looked_at_and_nothing_is_changed(manager):
    with started(manager) as one:
        found = examine(manager, fields(manager, one))
        assert found["state"] == "failed" and found["error"]["message"].startswith("worker: no worker")
        levels = {entry["name"]: entry["level"] for entry in found["checks"]}
        assert levels.pop("worker") == "bad"
        levels.pop("memory")  # a busy machine may have little
        assert set(levels.values()) == {"ok"}, found
        assert one.exec("ls", "/usr/local/libexec", check=False).stdout == ""


def test_install_run_and_upgrade(manager):
    with started(manager, template=None) as one:
        one.write("mmdebstrap", MMDEBSTRAP)
        one.exec("install", "-m", "755", f"{one.folder}/mmdebstrap", "/usr/local/bin/mmdebstrap")
        found = examine(manager, fields(manager, one, install=True))
        assert found["state"] == "ready" and found["error"] is None, found
        assert one.exec("test", "-d", "/var/lib/codeland/templates/base/rootfs").returncode == 0
        assert check(found, "worker")["level"] == "ok"
        for path in (places.WORKER, places.CODELAND):
            name = os.path.basename(path)
            there = f"{LIBEXEC}/{name}" if name != "codeland" else "/usr/local/bin/codeland"
            assert one.exec("cmp", path, there).returncode == 0
        with Manager() as user:  # whose worker it becomes
            one.write("authorized_keys", manager.public_key + user.public_key)
            user.name_hosts([("far", user.reach(one))])
            user.start()
            ready = lambda: user.api.plain("GET", "/readyz").status == 200
            eventually(ready, "the installed worker is ready", 60)
            answer = user.api.post("/runner/new", {"name": "stays", "code": "echo 42 > answer"})
            assert answer.status == 200, answer

            # Nothing differs, so nothing is copied and nothing restarts.
            before = one.processes("codeland-worker")
            assert examine(manager, fields(manager, one, install=True))["state"] == "ready"
            assert one.processes("codeland-worker") == before

            # Another program there: it is told, replaced, and the named runner lives on.
            one.exec("sh", "-c", f"cp {LIBEXEC}/crunner {LIBEXEC}/x && echo >>{LIBEXEC}/x && "
                                 f"mv {LIBEXEC}/x {LIBEXEC}/crunner")
            assert check(examine(manager, fields(manager, one)), "worker")["level"] == "warn"
            assert examine(manager, fields(manager, one, install=True))["state"] == "ready"
            assert set(one.processes("codeland-worker")).isdisjoint(before)
            assert user.api.run_after_restart("cat answer", on="stays")["stdout"] == "42\n"
            assert user.api.delete("/runner/stays").status == 200

        # It is kept running.
        for pid in one.processes("codeland-worker"):
            os.kill(pid, 9)
        one.exec("rm", "-f", "/run/codeland/worker.sock")
        one.wait_worker()


def test_a_key_that_nobody_accepted(manager):
    with started(manager) as one:
        body = fields(manager, one)
        del body["hostKey"]
        found = examine(manager, body)
        assert found["state"] == "failed" and found["error"]["name"] == "hostKeyRefused"
        assert (found["hostKey"], found["hostKeyType"]) == (one.fingerprint, "ssh-ed25519")
        assert one.logins() == 0 and "publickey" not in one.log()


def test_a_host_without_lxc(manager):
    """It is said what is missing and how to mend it; here no mirror can be reached, and that too."""
    with started(manager, without="liblxc-common") as one:
        found = examine(manager, fields(manager, one))
        packages = check(found, "packages")
        assert packages["level"] == "bad" and "liblxc-common" in packages["text"], packages
        assert packages["fix"] == "apt-get install -y --no-install-recommends liblxc-common"
        one.exec("sh", "-c", "rm -rf /etc/apt/sources.list* && mkdir /etc/apt/sources.list.d && "
                             "echo 'deb file:/none bookworm main' >/etc/apt/sources.list")
        found = examine(manager, fields(manager, one, install=True))
        assert found["state"] == "failed" and "apt-get" in found["error"]["message"], found


def test_a_full_disk(manager):
    with started(manager, disk=1 << 20) as one:
        found = examine(manager, fields(manager, one, install=True))
        assert found["error"]["message"].startswith("disk: "), found
        assert check(found, "disk")["fix"] == "make room on /var/lib/codeland"
        assert one.exec("ls", "/usr/local/libexec", check=False).stdout == ""


def test_a_user_of_sudo(manager):
    """Who may not use it is refused, with a command; after that command the same login is enough."""
    with started(manager) as one:
        one.exec("useradd", "-p", "*", "-M", "-d", "/", "-s", "/bin/sh", "plain")
        body = fields(manager, one, ssh=f"plain@{one.address}")
        found = examine(manager, {**body, "install": True})
        login = check(found, "login")
        assert login["level"] == "bad" and login["text"].startswith("plain is not root"), login
        assert found["error"]["message"].startswith("login: plain is not root"), found
        assert one.exec("ls", "/usr/local/libexec", check=False).stdout == ""

        one.exec("sh", "-c", login["fix"])
        found = examine(manager, {**body, "install": True})
        assert found["state"] == "ready" and "may use sudo" in check(found, "login")["text"], found
        assert one.exec("stat", "-c", "%U", f"{LIBEXEC}/crunner").stdout == "root\n"
        assert manager.api.post("/workers", body).status == 201
        up = lambda: manager.api.get("/workers/far").json["link"]["state"] == "up"
        eventually(up, "the worker is reached as that user", 60)
        assert manager.api.run("echo sudo")["stdout"] == "sudo\n"
        assert manager.api.delete("/workers/far?force=true").status == 200


def test_what_is_refused(manager):
    for body, words in (
        ({"name": "x"}, "ssh: is missing"),
        ({"name": "x", "ssh": "-oProxyCommand=id"}, "ssh: the host must be"),
        ({"name": "x", "ssh": "h", "install": 1}, "install: must be true or false"),
        ({"name": "x", "ssh": "h", "shell": "y"}, "shell: unknown field"),
    ):
        answer = manager.api.post("/doctor", body)
        assert answer.status == 400 and words in answer.json["message"], answer
    assert manager.api.get("/doctor?worker=x").status == 404
    assert not host.find_processes("ProxyCommand=id")
