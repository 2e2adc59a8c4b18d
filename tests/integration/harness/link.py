"""A client of the worker's link (docs/protocol.md), for what no manager would send."""

import json
import socket
import struct

NUMBERS = {
    "STDIN": 1,
    "STDIN_EOF": 2,
    "STDOUT": 3,
    "STDERR": 4,
    "FILE_DATA": 5,
    "LINK_HELLO": 16,
    "RUN": 17,
    "EXEC": 18,
    "DESTROY": 19,
    "WATCH": 20,
    "ZOMBIES": 21,
    "OVEN": 30,
    "STARTED": 32,
    "RESULT": 33,
    "LINK_ERROR": 34,
    "SNAPSHOT": 35,
    "CHANGES": 36,
}
NAMES = {number: name for name, number in NUMBERS.items()}
DATA_MAX = 65536
MANAGER = "0" * 32  # of those that speak to a worker without a manager
OUTPUT_MAX = 1 << 20


def frame(kind, payload=b""):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    number = NUMBERS.get(kind, kind)
    return struct.pack("<BBHI", number, 0, 0, len(payload)) + payload


def data_frames(kind, data):
    return [frame(kind, data[at : at + DATA_MAX]) for at in range(0, len(data), DATA_MAX)]


class Link:
    """One connection: one operation."""

    def __init__(self, path, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self._read = b""
        if greet:
            self.send(frame("LINK_HELLO", {"protocol": 3, "program": "test", "manager": MANAGER}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def receive(self):
        """(name, payload), JSON decoded; (None, None) at the end of the connection."""
        while True:
            if len(self._read) >= 8:
                number, _, _, size = struct.unpack("<BBHI", self._read[:8])
                if len(self._read) >= 8 + size:
                    payload, self._read = self._read[8 : 8 + size], self._read[8 + size :]
                    return NAMES[number], payload if number < 16 else json.loads(payload)
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                return None, None
            self._read += data

    def answers(self):
        """All that comes but the greeting, to the end."""
        while True:
            kind, payload = self.receive()
            if kind is None:
                return
            if kind != "LINK_HELLO":
                yield kind, payload


class Outcome:
    def __init__(self, stdout, stderr, started, end, payload):
        self.stdout, self.stderr, self.started = stdout, stderr, started
        self.end, self.payload = end, payload  # "RESULT" or "LINK_ERROR"

    def __repr__(self):
        return f"<{self.end} {self.payload} {self.stdout!r} {self.stderr!r}>"


def collect(link):
    out = {"STDOUT": b"", "STDERR": b""}
    started = end = payload = None
    for kind, body in link.answers():
        assert end is None, f"{kind} after the end"
        if kind in out:
            out[kind] += body
        elif kind == "STARTED":
            started = body
        else:
            end, payload = kind, body
    assert end, "the connection ended without an answer"
    return Outcome(out["STDOUT"], out["STDERR"], started, end, payload)


def operation(path, kind, fields, *frames):
    with Link(path) as link:
        link.send(frame(kind, fields), *frames)
        return collect(link)


def run_fields(**more):
    return {
        "id": "test",
        "argv": ["sh", "-c", ":"],
        "timeMs": 30000,
        "outputBytes": OUTPUT_MAX,
        **more,
    }


def run(path, *argv, stdin=b"", kind="RUN", **more):
    fields = run_fields(argv=list(argv), **more)
    if kind == "RUN":
        fields.setdefault("queueMs", 30000)
    return operation(path, kind, fields, *data_frames("STDIN", stdin), frame("STDIN_EOF"))
