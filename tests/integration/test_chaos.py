"""Many clients do many things while daemons and runners are killed under them. Whatever happens,
each request has one of the answers that it may have, no program's output reaches another, no
runner is handed out twice, and in the end nothing is left.
"""

import os
import random
import signal
import threading

from harness.http import Closed
from harness.wait import Task, eventually

CLIENTS = 8
UPSETS = 12
SERVED_BETWEEN = 40  # answers, of all clients together, from one upset to the next

LOST = (Closed, ConnectionError)


class Guest:
    """One client: what it asks for, and what it may be answered."""

    def __init__(self, stack, number):
        self.api, self.number = stack.api, number
        self.random = random.Random(number)
        self.runners = []  # of its throw-away runs
        self.answered = 0

    def ask(self, method, path, fields=None, allowed=(200,)):
        """The answer; None when a daemon was lost meanwhile."""
        try:
            answer = self.api.ask(method, path, fields)
        except LOST:
            eventually(lambda: self.api.plain("GET", "/healthz").status == 200, "a manager answers")
            return None
        assert answer.status in (*allowed, 502, 503), (path, fields, answer)
        self.answered += answer.status < 500
        return answer if answer.status in allowed else None

    def throw_away(self):
        secret = f"{self.number}-{self.random.random()}"
        code = 'cat /tmp/secret 2>/dev/null; cat >/tmp/secret; cat /tmp/secret; echo "$1"'
        answer = self.ask("POST", "/runner/run", {"code": code, "stdin": secret, "args": [secret]})
        if answer:
            assert answer.json["stdout"] == f"{secret}{secret}\n", answer
            self.runners.append(answer.json["runner"])

    def timed_out(self):
        fields = {"code": "echo said; sleep 1000", "time": 0.2}
        answer = self.ask("POST", "/runner/run", fields, (498,))
        if answer:
            self.runners.append(answer.json["runner"])

    def much_output(self):
        answer = self.ask("POST", "/runner/run", {"code": "head -c 3000000 /dev/zero"})
        if answer:
            assert len(answer.json["stdout"]) == 2**20

    def hangs_up(self):
        try:
            with self.api.wire() as wire:
                wire.send(self.api.bytes("POST", "/runner/run", {"code": "sleep 1000"}))
                wire.reset() if self.random.random() < 0.5 else wire.hang_up()
        except LOST:
            pass

    def named(self):
        """A name may be taken still: its making was lost after it was done, or its end was."""
        name = f"guest-{self.number}"
        made = self.ask("POST", "/runner/new", {"name": name, "code": ":"}, (200, 409))
        if made and made.status == 200:
            self.ask("POST", f"/runner/{name}", {"code": "echo x >>log"}, (200, 404))
            answer = self.ask("POST", f"/runner/{name}", {"code": "cat log"}, (200, 404))
            if answer and answer.status == 200:
                assert set(answer.json["stdout"].split()) <= {"x"}
        self.ask("DELETE", f"/runner/{name}", None, (200, 404))

    def looks(self):
        self.ask("GET", self.random.choice(["/runner", "/runner?detail", "/worker"]))

    def round(self):
        kinds = [self.throw_away] * 4 + [self.timed_out, self.much_output, self.hangs_up]
        self.random.choice([*kinds, self.named, self.named, self.looks])()

    def stay(self, calm):
        while not calm.is_set():
            self.round()


def upset(stack, number, order):
    """Kill something; daemons come back at once."""
    if number % 4 == 3:
        stack.manager.kill()
        stack.manager.start()
        stack.wait_serving()
    elif number % 2 == 0:
        stack.worker.kill()
        stack.worker.start()
        stack.link_ready()
    else:
        agents = [pid for what, pid in stack.programs() if what == "agent"]
        for pid in order.sample(agents, len(agents) // 2):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def test_chaos(new_stack):
    stack = new_stack({"oven.max_runners": 24, "oven.backoff_max": "200ms"}).start()
    guests = [Guest(stack, number) for number in range(CLIENTS)]
    calm = threading.Event()
    stays = [Task(guest.stay, calm) for guest in guests]
    order = random.Random(0)
    for number in range(UPSETS):
        before = sum(guest.answered for guest in guests)

        def served(before=before):
            if not all(stay.is_alive() for stay in stays):
                return True  # with an error, which result() raises
            return sum(guest.answered for guest in guests) > before + SERVED_BETWEEN

        eventually(served, "guests are served")
        upset(stack, number, order)
    calm.set()
    for stay in stays:
        stay.result(120)
    runners = [runner for guest in guests for runner in guest.runners]
    assert len(runners) == len(set(runners)), "a runner was handed out twice"
    assert len(runners) > UPSETS
    stack.wait_ready()
    for number in range(CLIENTS):
        stack.api.delete(f"/runner/guest-{number}")
    stack.wait_oven(inUse=0, freeing=0, waiting=0)

    def all_known():
        known = {one["name"] for one in stack.api.get("/runner").json["runners"]}
        return stack.containers() <= known

    eventually(all_known, "every container is one that the worker knows")
    assert stack.api.get("/worker/zombies").json["zombies"] == []
