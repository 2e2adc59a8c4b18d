"""Output as it comes, over Server-Sent Events: how late, how fast, and what it takes in memory. And
how long a killed run's processes last."""

import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time

import stack as stacks

MIB = 1024 * 1024
STAMPS, STAMP_EVERY_S = 100, 0.02
# What the clock says, the same one on both sides, is printed and seen.
CLOCK = f"""
import time
for _ in range({STAMPS}):
    time.sleep({STAMP_EVERY_S})
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
"""
CROWD = 50  # processes of the run that is killed
CROWD_CODE = f"for i in $(seq {CROWD}); do sleep 1000 & done; echo there; wait"


@contextlib.contextmanager
def events(stack, fields):
    """A run's connection, past the answer's head, and what has come behind it."""
    request = stack.http_request("/api/v1/runner/run", fields).replace(
        b"\r\n\r\n", b"\r\nAccept: text/event-stream\r\n\r\n", 1)
    with socket.create_connection(("127.0.0.1", stack.port), 60) as conn:
        conn.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = conn.recv(65536)
            if not piece:
                raise stacks.Failed("a stream ended before it began")
            got += piece
        head, _, rest = got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise stacks.Failed(f"a stream: {got[:300]}")
        yield conn, rest


def percentiles(times):
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
    return {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": times[-1]}


def lateness(stack):
    """Milliseconds from the program's clock, before its write, to the event here."""
    late, text = [], b""
    with events(stack, {"code": f"exec python3 -c '{CLOCK}'"}) as (conn, text):
        while b"event: end" not in text:
            piece = conn.recv(65536)
            now = time.clock_gettime(time.CLOCK_MONOTONIC)
            if not piece:
                raise stacks.Failed("the stream of stamps ended too early")
            text += piece
            *whole, text = text.split(b"\n\n")
            for event in whole:
                if b"event: stdout" in event:
                    data = event.partition(b"data: ")[2].splitlines()[0]
                    late += [(now - float(stamp)) * 1000 for stamp in json.loads(data).split()]
                if b"event: end" in event:
                    text = event
    return percentiles(late)


def highest_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def throughput(stack, quick):
    """Of a program that prints lines of text as fast as it can; bytes are the program's."""
    size = (64 if quick else 512) * MIB
    code = f"yes 'a line of text, as a program prints it by the million' | head -c {size}"
    begin, last = time.monotonic(), b""
    room = bytearray(1 << 20)
    with events(stack, {"code": code, "time": 120}) as (conn, rest):
        last = rest[-65536:]
        while b"event: end" not in last or not last.endswith(b"\r\n0\r\n\r\n"):
            got = conn.recv_into(room)
            if not got:
                raise stacks.Failed("the stream of lines ended too early")
            last = (last + bytes(room[max(0, got - 65536):got]))[-131072:]
    took = time.monotonic() - begin
    if b'"status":"ok"' not in last:
        raise stacks.Failed(f"the stream of lines: {last[-300:]}")
    return {"bytesPerSecond": size / took,
            "memory": {"worker": highest_memory(stack.worker.pid),
                       "manager": highest_memory(stack.manager.pid)}}


def of_runners():
    """Processes whose user is a runner's, but for those of the agents."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        user = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid"))
        if user >= stacks.ID_BASE and not status.startswith("Name:\tcrunner"):
            found.append(int(pid))
    return found


def until_ended(pids, kill):
    """Milliseconds from a call of `kill` to the end of the last of the processes."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    if len(pidfds) < CROWD:
        raise stacks.Failed(f"only {len(pidfds)} processes are there to be killed")
    waiting = select.poll()
    for pidfd in pidfds:
        waiting.register(pidfd, select.POLLIN)
    left = set(pidfds)
    begin = time.monotonic()
    kill()
    while left:
        ended = waiting.poll(30000)
        if not ended:
            raise stacks.Failed("a killed run's processes live on")
        for pidfd, _ in ended:
            waiting.unregister(pidfd)
            left.discard(pidfd)
    took = (time.monotonic() - begin) * 1000
    for pidfd in pidfds:
        os.close(pidfd)
    return took


def ending(stack):
    """The caller of a run hangs up."""
    with events(stack, {"code": CROWD_CODE}) as (conn, text):
        while b"there" not in text:
            text += conn.recv(65536)
        return until_ended(of_runners(), conn.close)


def ending_bare():
    """The first process of a bare pid namespace is killed."""
    words = ["unshare", "--pid", "--fork", "sh", "-c", CROWD_CODE]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as outside:
        outside.stdout.readline()
        first = int(pathlib.Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text())
        others = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return until_ended([first, *map(int, others)], lambda: os.kill(first, signal.SIGKILL))


def measure(stack, quick):
    stack.wait_warm()
    rounds = 1 if quick else 3
    late = [lateness(stack) for _ in range(rounds)]
    fast = [throughput(stack, quick) for _ in range(rounds)]
    ends, bare = [], []
    for _ in range(5 * rounds):
        stack.wait_warm()
        ends.append(ending(stack))
        bare.append(ending_bare())
    return {"lateMs": {key: min(each[key] for each in late) for key in late[0]},
            "bytesPerSecond": max(each["bytesPerSecond"] for each in fast),
            "memory": fast[-1]["memory"],  # the highest since they began
            "endMs": percentiles(ends), "bareEndMs": percentiles(bare)}
