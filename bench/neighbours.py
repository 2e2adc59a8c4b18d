"""What hostile runners cost their neighbours: the same small runs, quiet, beside runners that do
nothing and under attack, in turns."""

import concurrent.futures
import itertools
import threading

import measures
import stack as stacks

ATTACKS = {
    "fork bomb": "bomb() { bomb | bomb & }; bomb & exec sleep 1000",
    "memory": "python3 -c 'kept = []\nwhile True: kept.append(bytearray(1 << 22))'",
    "output": "exec yes >&2",
    "spin": "while :; do :; done",
    "disk": "while :; do head -c 200000000 /dev/zero >f; rm f; done",
}
IDLE = {"idle": "sleep 1000"}
ENDINGS = ("timeout", "memory")  # of a program that did what it is for
ATTACKERS = (1, 2)  # at a time
SECONDS = 2


def run_in_turn(stack, programs, stop, counts):
    """Each program again and again, one after the other, until stop is set."""
    for name, code in itertools.cycle(programs.items()):
        if stop.is_set():
            return
        answer = stack.post("/api/v1/runner/run", {"code": code, "time": SECONDS}, (200, 498))
        counts[name] = counts.get(name, 0) + 1
        if answer["status"] not in ENDINGS:
            raise stacks.Failed(f"{name}: {answer['status']}, {answer['stderr'][:200]}")


def measure_beside(bench, stack, program, callers, programs, counts):
    """One round of the small runs, while so many callers run these programs."""
    stop = threading.Event()
    stack.wait_warm()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        others = [pool.submit(run_in_turn, stack, programs, stop, counts) for _ in range(callers)]
        try:
            found = bench.http(stack, program, rate=20, requests=60 if bench.quick else 300)
        finally:
            stop.set()
        for each in others:
            each.result()
    return found


def measure(bench, stack, program, attackers):
    cases = {"quiet": {}, "idle": IDLE, "attacked": ATTACKS}
    rounds, counts = {case: [] for case in cases}, {case: {} for case in cases}
    for _ in range(bench.rounds):
        for case, programs in cases.items():
            rounds[case].append(measure_beside(bench, stack, program, attackers if programs else 0,
                                               programs, counts[case]))
    return {"attackers": attackers, "attacks": counts["attacked"],
            **{case: measures.best(found) for case, found in rounds.items()}}
