"""A worker's ovens over the API: what PATCH sets is what the oven does."""

import pytest

from harness.wait import eventually

OVEN = "/workers/local/oven"


@pytest.fixture
def stack(new_stack):
    """One of the test's own: an oven that others use must not be paused."""
    return new_stack({"oven.min_available": 2, "oven.max_runners": 8}).start()


def oven(stack, **fields):
    answer = stack.api.patch(OVEN, fields) if fields else stack.api.get(OVEN)
    assert answer.status == 200, answer.json
    assert answer.json["worker"] == "local"
    return answer.json["oven"]


def has(stack, **figures):
    def same():
        now = oven(stack)
        assert {name: now[name] for name in figures} == figures, now
        return True

    eventually(same, f"the oven has {figures}")


def test_what_is_set_is_done(stack):
    stack.wait_warm()
    before = oven(stack)
    assert (before["template"], before["minAvailable"], before["maxRunners"]) == ("base", 2, 8)
    assert oven(stack, minAvailable=4)["minAvailable"] == 4
    has(stack, available=4, cooking=0)
    # Paused: what is warm is handed out, nothing is cooked.
    assert oven(stack, paused=True)["status"] == "paused"
    for _ in range(4):
        assert stack.api.run("echo warm")["stdout"] == "warm\n"
    has(stack, available=0, cooking=0)
    refused = stack.api.post("/runner/run", {"code": "true", "queue": 0})
    assert refused.status == 503 and refused.json["name"] == "RunnerNotAvailable"
    assert "paused" in refused.json["message"]
    assert oven(stack, paused=False, minAvailable=1)["paused"] is False
    assert stack.api.run("echo again")["stdout"] == "again\n"
    # Draining: nothing idle is left, and no run is taken.
    assert oven(stack, draining=True)["draining"] is True
    has(stack, count=0, status="drained")
    refused = stack.api.post("/runner/run", {"code": "true"})
    assert refused.status == 503 and "drained" in refused.json["message"]
    assert oven(stack, draining=False, maxRunners=2)["maxRunners"] == 2
    assert stack.api.run("echo back")["stdout"] == "back\n"
    listed = stack.api.get("/workers/local").json["ovens"]
    assert [one["template"] for one in listed] == ["base"]


def test_what_is_refused_changes_nothing(stack):
    before = oven(stack)
    for fields, words in (
        ({"maxRunners": 9}, "maxRunners: at most 8, which is oven.max_runners"),
        ({"minAvailable": -1}, "minAvailable: -1 is out of bounds"),
        ({"memTarget": 101, "paused": True}, "memTarget: 101 is out of bounds"),
        ({"paused": "yes"}, "paused"),
        ({"cookParallel": 3}, "cookParallel"),
    ):
        answer = stack.api.patch(OVEN, fields)
        assert (answer.status, answer.json["name"]) == (400, "badRequest"), answer.json
        assert words in answer.json["message"]
    answer = stack.api.patch(OVEN, {"template": "native", "paused": True})
    assert answer.status == 404 and "native" in answer.json["message"]
    assert stack.api.get("/workers/elsewhere/oven").status == 404
    after = oven(stack)
    for name in ("minAvailable", "memTarget", "maxRunners", "paused", "draining"):
        assert after[name] == before[name]


def test_a_worker_that_is_not_connected(stack):
    stack.worker.kill()
    eventually(lambda: stack.api.get("/workers/local").json["link"]["state"] == "down", "it is lost")
    for answer in (stack.api.get(OVEN), stack.api.patch(OVEN, {"paused": True})):
        assert (answer.status, answer.json["name"]) == (503, "RunnerNotAvailable")
        assert "out of reach" in answer.json["message"]
