"""What the API tells of the worker, and what it does about containers that nobody owns."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from harness import host
from harness.wait import eventually


def test_health(api):
    for path in ("/healthz", "/readyz"):
        answer = api.plain("GET", path)
        assert answer.status == 200 and answer.json == {"status": "ok"}


def test_worker(stack, api):
    stack.wait_warm()
    stack.wait_oven(inUse=0, freeing=0, cooking=0)
    eventually(lambda: api.get("/worker").json["oven"] == stack.oven(), "its snapshot is of now")
    answer = api.get("/worker")
    assert answer.status == 200
    worker, oven = answer.json["worker"], answer.json["oven"]
    memory, disk = answer.json["memory"], answer.json["df"]
    assert {"location", "user", "userHasKey", "startedAt", "environment"} <= set(worker)
    assert worker["name"] == "local" and worker["user"] == "root"
    assert abs(worker["startedAt"] / 1000 - time.time()) < 3600
    assert os.uname().release in worker["environment"]
    assert oven["status"] in ("idle", "cooking") and oven["message"] == ""
    assert oven["available"] >= 4 and oven["inUse"] == 0 and oven["waiting"] == 0
    assert oven["count"] == oven["cooking"] + oven["available"] + oven["inUse"] + oven["freeing"]
    assert (oven["minAvailable"], oven["memTarget"], oven["maxRunners"]) == (4, 0, 64)
    assert oven["template"] == "base" and oven["cookMs"] > 0
    assert memory["total"] == memory["used"] + memory["available"]
    assert abs(memory["percentUsed"] + memory["percentAvailable"] - 100) < 0.1
    assert 0 < memory["percentFree"] <= memory["percentAvailable"]
    usage = shutil.disk_usage(stack.state_dir)
    assert disk["total"] == usage.total
    assert abs(disk["available"] - usage.free) < 2**30
    assert disk["use%"].endswith("%") and disk["filesystem"]
    assert disk["path"] == stack.state_dir


def test_a_runner_that_is_taken_and_given_back(stack, api):
    """The list knows at once, the oven's figures within their second."""
    name = api.post("/runner/new", {}).json["runner"]
    assert any(one["name"] == name and one["inUse"] for one in api.get("/runner").json["runners"])
    stack.wait_oven(inUse=1)
    api.delete(f"/runner/{name}")
    assert not any(one["name"] == name for one in api.get("/runner").json["runners"])
    stack.wait_oven(inUse=0, freeing=0)
    stack.wait_warm()


@pytest.fixture
def planted(stack):
    """A container that the worker did not make: cgroups as ours have, and a process in them, in
    namespaces of its own, that ignores all that it may.
    """
    name = "cr-planted0"
    program = "trap '' TERM INT HUP; while :; do sleep 0.1; done"
    process = subprocess.Popen(["unshare", "-mpinuf", "sh", "-c", program])
    folders = []
    for folder in host.cgroups(stack.prefix):
        if os.path.basename(folder) == stack.prefix:
            folders.append(os.path.join(folder, name))
            os.mkdir(folders[-1])
    assert folders
    for pid in [process.pid, *eventually(lambda: host.children(process.pid), "it has forked")]:
        for folder in folders:
            with open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(pid))
    yield name, process, folders
    process.kill()
    process.wait()


def test_zombies(stack, api, planted):
    name, process, folders = planted
    own = stack.containers() - {name}
    for _ in range(2):  # looking changes nothing
        answer = api.get("/worker/zombies")
        assert answer.status == 200 and answer.json["zombies"] == [name]
        assert answer.json["res"] == {name: {"name": name, "worker": "local"}}
    assert process.poll() is None
    answer = api.delete("/worker/zombies")
    assert answer.status == 200
    assert answer.json["res"] == "success" and answer.json["zombies"] == [name]
    assert not any(os.path.exists(folder) for folder in folders)
    assert process.wait(30) == -signal.SIGKILL
    assert own <= stack.containers(), "its own runners were left alone"
    for method in (api.get, api.delete):
        assert method("/worker/zombies").json["zombies"] == []
    assert api.run("echo fine")["stdout"] == "fine\n"


def test_no_runner_of_ours_is_a_zombie(stack, api):
    name = api.post("/runner/new", {"code": "echo kept >file"}).json["runner"]
    assert api.get("/worker/zombies").json["zombies"] == []
    assert api.delete("/worker/zombies").json["zombies"] == []
    assert api.run("cat file", on=name)["stdout"] == "kept\n"
    assert api.delete(f"/runner/{name}").status == 200


def test_runners_that_a_lost_journal_does_not_name(new_stack):
    """Real containers of a worker that was killed, and whose journal was lost: the next worker owns
    none of them and removes them before it serves.
    """
    stack = new_stack().start()
    stack.wait_warm()
    old = stack.containers()
    stack.worker.kill()
    shutil.rmtree(os.path.join(stack.run_dir, "runners"))
    assert old <= stack.containers()
    stack.worker.start()
    stack.link_ready()
    eventually(lambda: not old & stack.containers(), "the old containers are gone")
    stack.wait_ready()
    assert stack.api.get("/worker/zombies").json["zombies"] == []
    assert stack.api.run("echo fine")["stdout"] == "fine\n"
