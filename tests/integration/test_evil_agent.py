"""Agents that a program has taken over (tests/unit/worker/evil_agent.c): they flood, lie, stall, hang up
and send garbage. It costs them their own runner; their neighbours' runs go through, and are right.
"""

import os

import pytest

from harness import places
from harness.leaks import assert_no_more, figures, settle
from harness.wait import Task, eventually

NEIGHBOURS = 4
RUNS_EACH = 5

LOST = "lost"  # 502, and its runner is destroyed
TIMED_OUT = "timed out"  # 498: what it says could be an honest program's, or it says nothing
EITHER = "either"  # whatever it claims about its own run is its own affair

WAYS = {
    "tiny": TIMED_OUT,
    "empty": LOST,
    "too-long": LOST,
    "half": TIMED_OUT,
    "early": LOST,
    "twice": LOST,
    "foreign": LOST,
    "garbage": LOST,
    "lies": LOST,
    "false-end": EITHER,
    "silent": TIMED_OUT,
    "leaves": LOST,
    "reconnects": LOST,
    "greets": LOST,
    "holds": LOST,
    "hello-flood": LOST,
    "control-garbage": LOST,
    "control-half": TIMED_OUT,
}


@pytest.fixture(scope="module")
def stack(template):
    from harness.stack import Stack

    assert os.access(places.EVIL_AGENT, os.X_OK), "build it: ninja -C build-san"
    settings = {
        "paths.agent": places.EVIL_AGENT,
        "oven.min_available": 8,
        "oven.max_runners": 8,  # so that demand cannot make it keep more
        "run.queue": "60s",
    }
    with Stack(settings) as one:
        one.start()
        visit(one.api, [])
        one.api.post("/runner/new", {"name": "evil", "code": "echo"})
        kill = one.api.post("/runner/evil", {"code": "sleep 60", "time": 0.05})  # starts threads
        assert kill.status == 498
        one.api.delete("/runner/evil")
        settle(one)
        one.usual = figures(one)
        yield one


def visit(api, while_running):
    """Neighbours' runs, one after the other, at least so many, and until all these tasks are over."""

    def neighbour(number):
        count = 0
        while count < RUNS_EACH or any(task.is_alive() for task in while_running):
            result = api.run(f"cat; echo {number} {count}", stdin="x" * 1000, time=50)
            assert (result["status"], result["stdout"]) == ("ok", "x" * 1000 + f"{number} {count}\n")
            count += 1

    for task in [Task(neighbour, number) for number in range(NEIGHBOURS)]:
        task.result()


def check(way, answer):
    expected = WAYS[way]
    if expected == LOST:
        assert answer.status == 502 and answer.json["name"] == "workerBadGateway", answer
    elif expected == TIMED_OUT:
        assert answer.status == 498, answer
    else:
        assert answer.status in (200, 498, 502), answer


@pytest.mark.parametrize("way", WAYS)
def test_it_harms_its_own_runner_alone(stack, way):
    fields = {"code": f"# evil:{way}\necho honest", "time": 3, "stdin": "x" * 300_000}
    evil = [Task(stack.api.post, "/runner/run", fields) for _ in range(2)]
    visit(stack.api, evil)
    for task in evil:
        check(way, task.result())
    settle(stack)
    assert_no_more(stack, stack.usual)
    stack.check_logs()


@pytest.mark.parametrize("way", [way for way, end in WAYS.items() if end == LOST])
def test_nobody_meets_it_on_a_named_runner(stack, way):
    """It is destroyed, also when somebody has a name for it."""
    api = stack.api
    assert api.post("/runner/new", {"name": "evil", "code": "echo honest"}).status == 200
    evil = Task(api.post, "/runner/evil", {"code": f"# evil:{way}\n", "time": 3})
    visit(api, [evil])
    check(way, evil.result())
    eventually(lambda: api.get("/runner/evil").status == 404, "it is gone")
    settle(stack)
    assert_no_more(stack, stack.usual)
