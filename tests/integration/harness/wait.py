"""Waiting for conditions, and doing things side by side."""

import os
import threading
import time

DEADLINE = 30.0  # generous: the machine may be busy with other things

# On a machine that is slower than any (tests/vm/run emulates one) every deadline is so many times
# as long. Those are of the tests; what the programs themselves are asked for stays.
SLOW = float(os.environ.get("CODELAND_TEST_SLOW") or 1)


def patient(seconds):
    """A deadline of the tests, as it is on this machine; None stays none."""
    return None if seconds is None else seconds * SLOW


def eventually(condition, what, deadline=DEADLINE):
    """Polls until condition() is true and returns its value. An AssertionError or OSError inside
    counts as "not yet"; the last one is told when the deadline passes.
    """
    deadline = patient(deadline)
    end = time.monotonic() + deadline
    while True:
        complaint = ""
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError) as error:
            complaint = f": {error!r}"
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}{complaint}")
        time.sleep(0.01)


class Task(threading.Thread):
    """A call on a thread of its own; result() waits for it and raises what it raised."""

    def __init__(self, call, *args, **kwargs):
        super().__init__(daemon=True)
        self._call, self._args, self._kwargs = call, args, kwargs
        self._value = self._error = None
        self.start()

    def run(self):
        try:
            self._value = self._call(*self._args, **self._kwargs)
        except BaseException as error:  # handed on by result()
            self._error = error

    def result(self, deadline=2 * DEADLINE):
        deadline = patient(deadline)
        self.join(deadline)
        assert not self.is_alive(), f"no result within {deadline} s"
        if self._error:
            raise self._error
        return self._value


def side_by_side(calls):
    """All calls at once; their results in order."""
    return [task.result() for task in [Task(call) for call in calls]]


def workers(count, calls, deadline=10 * DEADLINE):
    """All calls by `count` threads; their results in order. deadline None: however long it takes."""
    results = [None] * len(calls)
    todo = iter(range(len(calls)))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                index = next(todo, None)
            if index is None:
                return
            results[index] = calls[index]()

    for task in [Task(work) for _ in range(count)]:
        task.result(deadline)
    return results
