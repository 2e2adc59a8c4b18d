"""Two real workers behind one manager: where runs go, and what becomes of them when one is drained,
killed, removed, or comes back.
"""

import pytest

from harness.check import check_error
from harness.wait import Task, eventually


@pytest.fixture
def pair(new_stack):
    """A stack whose manager has the worker of another stack as well, as "second". Each worker has a
    run folder, a prefix and a range of ids of its own.
    """
    second = new_stack()
    second.worker.start()
    second.link_ready()
    second.wait_warm()
    first = new_stack().start()
    first.wait_warm()
    add_second(first, second)
    eventually(lambda: view(first)["runners"]["available"] >= 4, "it has told of its runners")
    yield first, second


def add_second(first, second):
    answer = first.api.post("/workers", {"name": "second", "socket": second.socket})
    assert answer.status == 201, answer
    wait_link(first, "up")


def view(stack, name="second"):
    answer = stack.api.get(f"/workers/{name}")
    assert answer.status == 200, answer
    return answer.json


def wait_link(stack, state, name="second"):
    eventually(lambda: view(stack, name)["link"]["state"] == state, f"{name} is {state}")


def say(stack, name, verb):
    answer = stack.api.post(f"/workers/{name}/{verb}", {})
    assert answer.status == 200, answer
    return answer.json


def keep_on(stack, name, other):
    """The name of a runner that is kept on that worker."""
    say(stack, other, "drain")
    runner = stack.api.post("/runner/new", {"code": "echo kept >file"}).json["runner"]
    say(stack, other, "resume")
    assert stack.api.get(f"/runner/{runner}").json["worker"] == name
    return runner


def test_both_are_told_of(pair):
    first, second = pair
    workers = {one["name"]: one for one in first.api.get("/workers").json["workers"]}
    assert set(workers) == {"local", "second"}
    for one in workers.values():
        assert one["status"] == "active" and one["why"] is None
        assert one["link"]["state"] == "up" and one["link"]["latency"] >= 0
        assert one["memory"]["total"] > 0 and one["df"]["total"] > 0
    assert workers["second"]["df"]["path"] == second.state_dir
    listed = first.api.get("/runner").json["runners"]
    assert {one["worker"] for one in listed} == {"local", "second"}
    assert first.api.get("/worker/zombies").json == {"res": {}, "zombies": []}


def test_drained_and_resumed(pair):
    first, _ = pair
    assert say(first, "local", "drain")["status"] == "draining"
    before = first.containers()
    runs = [first.api.run("echo hi") for _ in range(10)]
    assert all(run["stdout"] == "hi\n" for run in runs)
    assert first.containers() == before, "the drained worker's runners were left alone"
    say(first, "second", "drain")
    check_error(first.api.post("/runner/run", {"code": "x"}), 503, "RunnerNotAvailable", "draining")
    # The next manager knows.
    first.manager.kill()
    first.manager.start()
    first.wait_serving()
    wait_link(first, "up")
    assert view(first)["status"] == view(first, "local")["status"] == "draining"
    say(first, "second", "resume")
    assert first.api.run("echo hi")["stdout"] == "hi\n"


def test_named_runners_have_their_worker(pair):
    first, second = pair
    here, there = keep_on(first, "local", "second"), keep_on(first, "second", "local")
    assert there in second.containers() and here in first.containers()
    for runner in (here, there):
        assert first.api.run("cat file", on=runner)["stdout"] == "kept\n"
    # A name is taken wherever its runner is.
    answer = first.api.post("/runner/new", {"name": "demo"})
    assert answer.status == 200
    for _ in range(4):
        check_error(first.api.post("/runner/new", {"name": "demo"}), 409, "nameTaken", "demo")
    for runner in (here, there, "demo"):
        assert first.api.delete(f"/runner/{runner}").status == 200


def test_a_worker_that_dies_costs_what_ran_on_it_alone(pair):
    first, second = pair
    there = keep_on(first, "second", "local")
    say(first, "local", "drain")
    lost = Task(first.api.post, "/runner/run", {"code": "sleep 1000"})
    eventually(lambda: view(first)["oven"]["inUse"] >= 2, "it runs there")
    say(first, "local", "resume")
    second.worker.kill()
    assert check_error(lost.result(), 502, "workerBadGateway", "lost during the run")["runner"]
    for _ in range(10):
        assert first.api.run("echo hi")["stdout"] == "hi\n"
    wait_link(first, "down")
    assert view(first)["link"]["lastError"]
    second.worker.start()
    wait_link(first, "up")
    assert first.api.run_after_restart("cat file", on=there)["stdout"] == "kept\n"
    assert first.api.get(f"/runner/{there}").json["worker"] == "second"
    assert first.api.delete(f"/runner/{there}").status == 200


def test_removed_and_added_under_load(pair):
    """No request fails, because removal waits for what has a runner."""
    first, second = pair
    over = []

    def client(number):
        answers = []
        while not over:
            answers.append(first.api.run(f"echo {number}")["stdout"])
        return number, answers

    clients = [Task(client, number) for number in range(3)]
    try:
        for _ in range(3):
            answer = first.api.delete("/workers/second")
            assert answer.status == 200 and answer.json == {"res": "success"}
            check_error(first.api.get("/workers/second"), 404, "notFound", "second")
            add_second(first, second)
    finally:
        over.append(True)
    for task in clients:
        number, answers = task.result()
        assert answers and set(answers) == {f"{number}\n"}
    assert second.containers(), "its runners are its own"


def test_removal_with_named_runners(pair):
    first, second = pair
    there = keep_on(first, "second", "local")
    check_error(first.api.delete("/workers/second"), 409, "runnerBusy", "1 named runner")
    assert first.api.delete("/workers/second?force=true").status == 200
    check_error(first.api.get(f"/runner/{there}"), 404, "runnerNotFound", there)
    add_second(first, second)
    assert first.api.run("cat file", on=there)["stdout"] == "kept\n"
    assert first.api.delete(f"/runner/{there}").status == 200
