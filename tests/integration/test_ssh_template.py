"""A template of the manager's machine is sent to a host that becomes a worker."""

import json
import os
import subprocess

import pytest

from harness import places
from harness.hosts import Host, Manager, make_key
from harness.wait import eventually

THERE = "/var/lib/codeland/templates"
DONE = 120


def make_template(folder, mark):
    """As small as one can be, with some bytes that do not compress."""
    for name in ("rootfs/usr/libexec", "rootfs/run/codeland", "rootfs/etc"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    with open(f"{places.TEMPLATE}/template.json", encoding="utf-8") as file:
        told = json.load(file)
    told.update(name="tiny", sizeBytes=3_000_000)
    for name, data in (("template.json", json.dumps(told).encode()), ("rootfs/etc/mark", mark),
                       ("rootfs/usr/libexec/crunner", b""), ("rootfs/bytes", os.urandom(3_000_000))):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(data)


@pytest.fixture(scope="module")
def manager(template):
    with Manager([("nowhere", {"socket": "/run/nowhere/worker.sock"})]) as one:
        make_template(f"{one.state_dir}/templates/tiny", b"first")
        yield one.start()


def cli(manager, *words, code=0):
    done = subprocess.run([places.CODELAND, "worker", *words, *manager.options()], timeout=180,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def examine(manager, body):
    assert manager.api.post("/doctor", body).status == 202

    def over():
        found = manager.api.get(f"/doctor?worker={body['name']}").json
        return found["state"] != "running" and found

    return eventually(over, "the host is done with", DONE)


def test_sent_with_the_installation(manager, tmp_path):
    key = str(tmp_path / "id")
    public = make_key(key)
    ours = f"{manager.state_dir}/templates/tiny"
    archive = f"{manager.state_dir}/manager/ssh/far.template"
    with Host(authorized=public + manager.public_key) as one:
        one.start()
        said = cli(manager, "add", "far", "--ssh", one.target, "--identity", key, "--accept-key",
                   one.fingerprint, "--install", "--send-template", "tiny")
        assert "exported to" in said and "far takes runs" in said, said
        assert not os.path.exists(archive)
        there = f"/proc/{one.pid}/root{THERE}/tiny"
        for name in ("rootfs/etc/mark", "rootfs/bytes"):
            with open(f"{ours}/{name}", "rb") as sent, open(f"{there}/{name}", "rb") as came:
                assert sent.read() == came.read(), name
        has = lambda: [oven for oven in manager.api.get("/workers/far").json["ovens"]
                       if oven["template"] == "tiny"]
        eventually(has, "the worker tells of it")

        # A transfer that is cut, as by a lost connection: the former one stays, nothing half is there.
        make_template(ours, b"second")
        template = [places.CODELAND, "template", "export", "tiny", archive, *manager.options()]
        subprocess.run(template, check=True, capture_output=True, timeout=DONE)
        os.truncate(archive, os.path.getsize(archive) // 2)
        body = {"name": "far", "ssh": one.target, "identity": manager.identity,
                "hostKey": one.fingerprint, "install": True, "sendTemplate": "tiny"}
        os.chmod(archive, 0o644)
        found = examine(manager, body)
        assert found["state"] == "failed", found
        assert found["error"]["message"].startswith("sending the template tiny: "), found
        assert one.exec("cat", f"{THERE}/tiny/rootfs/etc/mark").stdout == "first"
        assert manager.api.get("/workers/far").json["link"]["state"] == "up"
        os.unlink(archive)

        # The next try replaces it.
        cli(manager, "doctor", "far", "--install", "--send-template", "tiny")
        assert one.exec("cat", f"{THERE}/tiny/rootfs/etc/mark").stdout == "second"
        kept = {"tiny.old"}  # while a runner lives on it
        assert set(one.exec("ls", "-A", THERE).stdout.split()) - kept == {"base", "tiny"}
        cli(manager, "rm", "far")


def test_what_is_refused(manager):
    assert "goes with --install" in cli(
        manager, "add", "x", "--ssh", "h", "--send-template", "tiny", code=2)
    said = cli(manager, "add", "x", "--ssh", "h", "--install", "--send-template", "none", code=1)
    assert "none" in said, said
    for more, words in (
        ({"sendTemplate": "tiny"}, "is sent with install alone"),
        ({"sendTemplate": "../x", "install": True}, "is no template's name"),
        ({"sendTemplate": 1, "install": True}, "sendTemplate: must be"),
    ):
        answer = manager.api.post("/doctor", {"name": "x", "ssh": "root@h", **more})
        assert answer.status == 400 and words in answer.json["message"], answer
