"""Two managers on one worker: each sees its own runners and what is idle, whatever the other does."""

import os

import pytest

from harness import places
from harness.http import Client, Closed
from harness.stack import Daemon
from harness.wait import Task, eventually


class SecondManager:
    """Another manager of a stack's worker, with a store of its own."""

    def __init__(self, stack):
        host, port = stack.address
        self.address = (host, port + 1)
        self.state_dir = os.path.join(stack.folder, "second")
        settings = {
            **stack.settings,
            "paths.state_dir": self.state_dir,
            "http.listen": "{}:{}".format(*self.address),
        }
        words = [word for item in settings.items() for word in ("--set", "{}={}".format(*item))]
        log = os.path.join(stack.folder, "second.log")
        self.daemon = Daemon("manager", [places.CODELAND, "serve", *words], log)

    def start(self):
        self.daemon.start()
        eventually(self.ready, "the second manager is ready")
        return self

    def ready(self):
        return Client(self.address, "").plain("GET", "/readyz").status == 200

    @property
    def api(self):
        with open(os.path.join(self.state_dir, "admin.token"), encoding="ascii") as file:
            return Client(self.address, file.read().strip())


@pytest.fixture
def first(new_stack):
    return new_stack({"oven.min_available": 2}).start()


@pytest.fixture
def second(first):
    manager = SecondManager(first)
    yield manager.start()
    if manager.daemon.running():
        manager.daemon.kill()


def named(api):
    return {one["name"]: one for one in api.get("/runner?detail").json["runners"] if one["owner"]}


def keep(api, name, mark):
    answer = api.post("/runner/new", {"name": name, "code": f"echo {mark} >mark"})
    assert answer.status == 200, answer.json


def mark_of(api, name):
    return api.run("cat mark", on=name)["stdout"]


def test_same_names_and_one_manager_killed(first, second):
    a, b = first.api, second.api
    keep(a, "demo", "a")
    keep(b, "demo", "b")
    keep(b, "other", "b")
    assert (mark_of(a, "demo"), mark_of(b, "demo")) == ("a\n", "b\n")
    assert set(named(a)) == {"demo"} and set(named(b)) == {"demo", "other"}
    assert named(a)["demo"]["pid"] != named(b)["demo"]["pid"]
    for answer in (a.get("/runner/other"), a.post("/runner/other", {"code": "true"}),
                   a.delete("/runner/other")):
        assert (answer.status, answer.json["name"]) == (404, "runnerNotFound")
    # A throw-away run of the other's cannot be seen or removed by name either.
    run = Task(b.run, "sleep 600", time=60)
    theirs = eventually(
        lambda: [one["name"] for one in b.get("/runner").json["runners"]
                 if one["inUse"] and one["name"] not in ("demo", "other")], "it runs")[0]
    listed = lambda: [one["name"] for one in a.get("/runner").json["runners"]]
    eventually(lambda: theirs not in listed(), "the first has heard that it was taken")
    assert a.delete(f"/runner/{theirs}").status == 404
    assert b.delete(f"/runner/{theirs}").status == 200
    assert run.result()["status"] == "killed"
    # What is idle is everybody's.
    eventually(lambda: idle(a) and idle(a) == idle(b), "both see the same idle runners")
    # One is killed while both run: the other's go on, and its own are there when it is back.
    going_on = Task(a.run, "touch on; while [ ! -e go ]; do sleep 0.05; done; cat mark", on="demo")
    lost = Task(b.post, "/runner/demo", {"code": "touch on; sleep 600"})
    for api in (a, b):
        eventually(lambda api=api: "on" in api.run("ls", on="demo")["stdout"].split(), "it runs")
    second.daemon.kill()
    with pytest.raises(Closed):
        lost.result()
    a.run("touch go", on="demo")
    assert going_on.result()["stdout"] == "a\n"
    assert a.run("echo fine")["stdout"] == "fine\n"
    assert set(named(a)) == {"demo"}
    second.start()
    b = second.api
    eventually(lambda: set(named(b)) == {"demo", "other"}, "its runners are there")
    assert (mark_of(a, "demo"), mark_of(b, "demo"), mark_of(b, "other")) == ("a\n", "b\n", "b\n")
    # One removes its own of that name; the other's stays.
    assert a.delete("/runner/demo").status == 200
    assert a.get("/runner/demo").status == 404
    assert mark_of(b, "demo") == "b\n"
    # The worker's next life knows whose they are.
    keep(a, "again", "a")
    first.worker.kill()
    first.worker.start()
    first.wait_ready()
    eventually(second.ready, "the second manager has it back")
    eventually(lambda: set(named(b)) == {"demo", "other"}, "the second manager's are back")
    assert set(named(a)) == {"again"}
    assert a.run_after_restart("cat mark", "again")["stdout"] == "a\n"
    assert b.run_after_restart("cat mark", "demo")["stdout"] == "b\n"
    assert b.get("/runner/again").status == 404


def idle(api):
    return {one["name"] for one in api.get("/runner?detail").json["runners"]
            if one["state"] == "available"}


def test_runners_of_an_earlier_version(first):
    """A worker that was upgraded finds entries without a manager: the first that greets has them."""
    keep(first.api, "demo", "old")
    first.manager.kill()
    first.worker.kill()
    folder = os.path.join(first.run_dir, "runners")
    stripped = 0
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if '"demo"' in text:
            assert '"manager":"' in text
            at = text.index('"manager":"')
            text = text[:at] + text[text.index(",", at) + 1 :]
            stripped += 1
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    assert stripped == 1
    first.worker.start()
    first.manager.start()
    first.wait_ready()
    eventually(lambda: mark_of(first.api, "demo") == "old\n", "it is there")
    second = SecondManager(first)
    try:
        assert set(named(second.start().api)) == set()
    finally:
        second.daemon.kill()
