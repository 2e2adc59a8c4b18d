"""What hostile runners cost their neighbours: the same small runs, quiet and under attack, in
turns."""

import concurrent.futures
import itertools
import threading

import measures
import stack as stacks

ATTACKS = {
    "fork bomb": "bomb() { bomb | bomb & }; bomb; sleep 1000",
    "memory": "python3 -c 'kept = []\nwhile True: kept.append(bytearray(1 << 22))'",
    "output": "exec yes >&2",
    "spin": "while :; do :; done",
    "disk": "while :; do head -c 200000000 /dev/zero >f; rm f; done",
}
ENDINGS = ("timeout", "memory")  # of a program that did what it is for
ATTACKERS = (1, 2)  # at a time
SECONDS = 2


def attack(stack, stop, counts):
    """Each attack again and again, one after the other, until stop is set."""
    for name, code in itertools.cycle(ATTACKS.items()):
        if stop.is_set():
            return
        answer = stack.post("/api/v1/runner/run", {"code": code, "time": SECONDS}, (200, 498))
        counts[name] = counts.get(name, 0) + 1
        if answer["status"] not in ENDINGS:
            raise stacks.Failed(f"{name}: {answer['status']}, {answer['stderr'][:200]}")


def measure(bench, stack, program, attackers):
    quiet, attacked, counts = [], [], {}
    options = dict(rate=20, requests=60 if bench.quick else 300)
    for _ in range(bench.rounds):
        stack.wait_warm()
        quiet.append(bench.http(stack, program, **options))
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            hostile = [pool.submit(attack, stack, stop, counts) for _ in range(attackers)]
            try:
                attacked.append(bench.http(stack, program, **options))
            finally:
                stop.set()
            for each in hostile:
                each.result()
    return {"attackers": attackers, "attacks": counts, "quiet": measures.best(quiet),
            "attacked": measures.best(attacked)}
