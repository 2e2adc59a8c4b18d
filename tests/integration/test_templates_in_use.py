"""Several templates on one worker: each has an oven, and they come and go while it works."""

import os
import shutil
import subprocess

import pytest

from harness import places
from harness.link import frame, operation, run
from harness.stack import Stack
from harness.wait import eventually


@pytest.fixture
def stack():
    """Its own: one default template, room for six runners."""
    settings = {"oven.min_available": 3, "oven.max_runners": 6}
    with Stack(settings) as stack:
        yield stack.start()


def add_template(stack, name, mark):
    """A copy of the base template that says what it is, put in place as a build does."""
    target = os.path.join(stack.state_dir, "templates", name)
    fresh = f"{target}.new"
    shutil.copytree(places.TEMPLATE, fresh, symlinks=True)
    with open(os.path.join(fresh, "rootfs/etc/mark"), "w", encoding="ascii") as file:
        file.write(mark)
    if os.path.exists(target):
        os.rename(target, f"{target}.old")
    os.rename(fresh, target)


def templates(stack):
    with stack.link() as link:
        link.send(frame("WATCH", {}))
        kind, snapshot = next(link.answers())
        assert kind == "SNAPSHOT", snapshot
        return {one["name"]: one for one in snapshot["templates"]}


def wait_template(stack, name, **figures):
    def has():
        known = templates(stack)
        assert name in known, known
        assert all(known[name][key] == value for key, value in figures.items()), known[name]
        return True

    eventually(has, f"template {name} has {figures}")


def set_oven(stack, **fields):
    return operation(stack.socket, "OVEN", fields)


def mark_of(stack, name):
    outcome = run(stack.socket, "cat", "/etc/mark", template=name)
    assert outcome.end == "RESULT", outcome
    return outcome.stdout


def test_a_template_is_used_as_soon_as_it_is_there(stack):
    missing = run(stack.socket, "true", template="small")
    assert missing.end == "LINK_ERROR" and missing.payload["name"] == "RunnerNotAvailable"
    assert "codeland template build small" in missing.payload["message"]
    add_template(stack, "small", "one")
    assert mark_of(stack, "small") == b"one"
    known = templates(stack)
    assert list(known) == ["base", "small"]
    assert known["small"]["target"] == 1 and known["small"]["bytes"] > 0
    # Built again: no runner of the earlier one is handed out.
    wait_template(stack, "small", available=1, cooking=0)
    add_template(stack, "small", "two")
    wait_template(stack, "small", available=1, cooking=0)
    eventually(lambda: mark_of(stack, "small") == b"two", "runs see the other build")
    shutil.rmtree(os.path.join(stack.state_dir, "templates/small"))
    eventually(lambda: list(templates(stack)) == ["base"], "its oven is gone")
    assert run(stack.socket, "true", template="small").end == "LINK_ERROR"
    assert run(stack.socket, "true").end == "RESULT"


def test_idle_runners_give_way(stack):
    assert "oven" in set_oven(stack, minAvailable=6).payload
    wait_template(stack, "base", available=6)
    add_template(stack, "small", "one")
    assert mark_of(stack, "small") == b"one"
    assert stack.oven()["count"] <= 6


def test_an_earlier_builds_runners_do_not_survive_a_restart(stack):
    add_template(stack, "small", "one")
    set_oven(stack, template="small", minAvailable=2)
    wait_template(stack, "small", available=2)
    kept = run(stack.socket, "true", template="small", keep={"name": "demo", "owner": "ann"})
    assert kept.end == "RESULT", kept
    stack.worker.kill()
    add_template(stack, "small", "two")
    stack.worker.start()
    stack.wait_ready()
    assert mark_of(stack, "small") == b"two"
    eventually(lambda: run(stack.socket, "true", kind="EXEC", runner="demo").end == "RESULT",
               "the named runner is back")


def sweep(stack):
    """What a build does first, here of a template that is as its recipe says."""
    made = subprocess.run(
        [places.CODELAND, "template", "build", "base", "--set", f"paths.state_dir={stack.state_dir}"],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert made.returncode == 0 and "up to date" in made.stdout, made.stdout + made.stderr
    return sorted(os.listdir(os.path.join(stack.state_dir, "templates")))


def test_the_tree_of_a_named_runner_stays_as_long_as_the_runner(stack):
    add_template(stack, "small", "one")
    kept = run(stack.socket, "true", template="small", keep={"name": "demo", "owner": "ann"})
    assert kept.end == "RESULT", kept
    add_template(stack, "small", "two")
    wait_template(stack, "small", available=1, cooking=0)
    assert sweep(stack) == ["base", "small", "small.old"]
    stack.worker.kill()
    assert sweep(stack) == ["base", "small", "small.old"]
    stack.worker.start()
    stack.wait_ready()

    def still_there():
        outcome = run(stack.socket, "cat", "/etc/mark", kind="EXEC", runner="demo")
        assert outcome.end == "RESULT" and outcome.stdout == b"one", outcome
        return True

    eventually(still_there, "the named runner has its files")
    assert operation(stack.socket, "DESTROY", {"runner": "demo"}).end == "RESULT"
    eventually(lambda: sweep(stack) == ["base", "small"], "nobody holds the earlier build")


def test_an_oven_is_set_paused_and_drained(stack):
    stack.wait_warm()
    oven = set_oven(stack).payload["oven"]
    assert oven["name"] == "base" and oven["minAvailable"] == 3 and not oven["paused"]
    oven = set_oven(stack, minAvailable=1, paused=True).payload["oven"]
    assert (oven["minAvailable"], oven["status"], oven["paused"]) == (1, "paused", True)
    oven = set_oven(stack, paused=False, draining=True).payload["oven"]
    assert oven["status"] in ("draining", "drained") and oven["available"] == 0
    wait_template(stack, "base", status="drained", count=0)
    refused = run(stack.socket, "true")
    assert refused.end == "LINK_ERROR" and "drained" in refused.payload["message"]
    set_oven(stack, draining=False)
    assert run(stack.socket, "true").end == "RESULT"


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"minAvailable": -1}, "minAvailable"),
        ({"minAvailable": 10001}, "10000"),
        ({"maxRunners": 0}, "maxRunners"),
        ({"maxRunners": 7}, "at most 6"),
        ({"memTarget": 101}, "memTarget"),
        ({"paused": "yes"}, "paused"),
        ({"template": "../base"}, "template"),
        ({"template": "other"}, "codeland template build other"),
        ({"other": 1}, "other"),
    ],
)
def test_what_cannot_be_set(stack, fields, words):
    answer = set_oven(stack, **fields)
    assert answer.end == "LINK_ERROR" and words in answer.payload["message"], answer
