"""What hostile runners cost their neighbours: the same small runs, quiet and under attack, in
turns."""

import threading

import measures

ATTACKS = {
    "fork bomb": ":(){ :|:& };:; sleep 1000",
    "memory": "python3 -c 'kept = []\nwhile True: kept.append(bytearray(1 << 22))'",
    "output": "exec yes >&2",
    "spin": "while :; do :; done",
    "disk": "while :; do head -c 200000000 /dev/zero >f; rm f; done",
}
ATTACKERS = (1, 2)  # at a time
SECONDS = 2


def attack(stack, stop, counts):
    """Each attack again and again, one after the other, until stop is set."""
    while not stop.is_set():
        for name, code in ATTACKS.items():
            if stop.is_set():
                return
            try:
                stack.post("/api/v1/runner/run", {"code": code, "time": SECONDS})
            except Exception:  # 498, as a rule: its time is over
                pass
            counts[name] = counts.get(name, 0) + 1


def measure(bench, stack, program, attackers):
    quiet, attacked, counts = [], [], {}
    options = dict(rate=20, requests=60 if bench.quick else 300)
    for _ in range(bench.rounds):
        stack.wait_warm()
        quiet.append(bench.http(stack, program, **options))
        stop = threading.Event()
        threads = [threading.Thread(target=attack, args=(stack, stop, counts))
                   for _ in range(attackers)]
        for thread in threads:
            thread.start()
        attacked.append(bench.http(stack, program, **options))
        stop.set()
        for thread in threads:
            thread.join()
    return {"attackers": attackers, "attacks": counts, "quiet": measures.best(quiet),
            "attacked": measures.best(attacked)}
