"""After hundreds of runs of every kind the machine is as it was before them."""

import random

from harness.leaks import assert_no_more, figures, settle, shared_memory
from harness.mixture import KINDS, Mixture
from harness.wait import eventually, workers

RUNS = 300


def test_nothing_grows(new_stack):
    # The oven's demand figure makes it keep more for a while; here it has no room for that.
    stack = new_stack({"oven.min_available": 8, "oven.max_runners": 8, "run.queue": "60s"}).start()
    order = random.Random(1)
    for number, kind in enumerate(KINDS):  # what is made once and kept is made now
        Mixture(stack, number).once(kind)
    settle(stack)
    before, memory = figures(stack), shared_memory()
    calls = []
    for number in range(RUNS):
        mixture = Mixture(stack, number)
        calls.append(lambda mixture=mixture, kind=order.choice(KINDS): mixture.once(kind))
    workers(8, calls)
    settle(stack)
    assert_no_more(stack, before)
    # Of the whole machine: others may have something there for a moment.
    eventually(lambda: shared_memory() < memory + 64 * 2**20, "the runners' disks are gone", 60)
    stack.check_logs()


def test_restarts_leave_nothing(new_stack):
    """Nor do workers that were killed and came back, again and again."""
    stack = new_stack({"oven.max_runners": 4}).start()
    stack.api.run("echo hi")
    settle(stack)
    before = figures(stack)
    for _ in range(6):
        stack.worker.kill()
        stack.worker.start()
        assert stack.api.run("echo hi")["stdout"] == "hi\n"
    settle(stack)
    assert_no_more(stack, before)
