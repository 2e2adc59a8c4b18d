"""A thousand callers at once, ten runners: each is answered, with its own answer, from a runner of
its own.
"""

import resource
import selectors
import time

from harness.http import Wire

CALLERS = 1000
DEADLINE = 600


def read_all(wires):
    """What each connection says until the server ends it; one thread for all of them."""
    said = [[] for _ in wires]
    ready = selectors.DefaultSelector()
    for number, wire in enumerate(wires):
        wire.socket.setblocking(False)
        ready.register(wire.socket, selectors.EVENT_READ, number)
    end = time.monotonic() + DEADLINE
    while ready.get_map():
        assert time.monotonic() < end, f"{len(ready.get_map())} callers have no answer"
        for key, _ in ready.select(1):
            data = key.fileobj.recv(65536)
            if data:
                said[key.data].append(data)
            else:
                ready.unregister(key.fileobj)
    return [b"".join(parts) for parts in said]


class Said(Wire):
    """A connection that has said all that it will."""

    def __init__(self, data):
        self._read = data


def test_a_thousand_at_once_lose_none(new_stack):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = {"oven.min_available": 10, "oven.max_runners": 10, "run.queue": "600s"}
    stack = new_stack(settings).start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CALLERS + 1000), hard))
    try:
        wires = [stack.api.wire() for _ in range(CALLERS)]
        try:
            for number, wire in enumerate(wires):
                fields = {"code": f"echo {number}"}
                wire.send(stack.api.bytes("POST", "/runner/run", fields, Connection="close"))
            answers = [Said(data).response() for data in read_all(wires)]
        finally:
            for wire in wires:
                wire.socket.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wrong = [
        answer
        for number, answer in enumerate(answers)
        if answer.status != 200 or answer.json["stdout"] != f"{number}\n"
    ]
    assert not wrong, (len(wrong), wrong[0])
    assert len({answer.json["runner"] for answer in answers}) == CALLERS
    stack.wait_oven(inUse=0, waiting=0, freeing=0)
    stack.check_logs()
