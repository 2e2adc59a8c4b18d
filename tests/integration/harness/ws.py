"""A WebSocket's client: the `websockets` package, and one that may send any bytes at all."""

import base64
import contextlib
import json
import os
import struct

import websockets

from .http import request_bytes


@contextlib.asynccontextmanager
async def connect(api, path="/runner/run/exec", **options):
    """An open WebSocket with our token."""
    address = "ws://{}:{}{}".format(*api.address, api.API + path)
    headers = {"Authorization": f"Bearer {api.token}", **options.pop("headers", {})}
    async with websockets.connect(
        address, extra_headers=headers, max_size=None, compression=None, open_timeout=60,
        close_timeout=60, ping_interval=None, **options) as socket:
        yield socket


async def conversation(socket):
    """All that comes until the server closes: {"stdout", "stderr", "texts"}."""
    pieces = {"stdout": [], "stderr": [], "texts": []}
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            message = await socket.recv()
            if isinstance(message, bytes):
                pieces[{1: "stdout", 2: "stderr"}[message[0]]].append(message[1:])
            else:
                pieces["texts"].append(json.loads(message))
    return {**{name: b"".join(pieces[name]) for name in ("stdout", "stderr")},
            "texts": pieces["texts"]}


class RawSocket:
    """A WebSocket whose frames are made by hand."""

    def __init__(self, api, path="/runner/run/exec"):
        self.wire = api.wire()
        self.wire.send(request_bytes("GET", api.API + path, None, {
            **api.headers(), "Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}))
        assert self.wire.response(to_head=True).status == 101

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.socket.close()

    def frame(self, opcode, payload=b"", fin=True, masked=True, reserved=0, length=None):
        length = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
        bit = 0x80 if masked else 0
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", length)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4) if masked else b""
        if masked:
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        return head + mask + payload

    def send(self, *args, **kwargs):
        self.wire.send(self.frame(*args, **kwargs))

    def start(self, code, **fields):
        self.send(1, json.dumps({"start": {"code": code, **fields}}).encode())

    def receive(self):
        """The next frame: (fin, opcode, payload)."""
        first, second = self.wire._exactly(2)
        assert second < 128, "a server's frame is not masked"
        length = second
        if length == 126:
            (length,) = struct.unpack(">H", self.wire._exactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.wire._exactly(8))
        return bool(first & 0x80), first & 0x0F, self.wire._exactly(length)

    def until_close(self):
        """The frames before the server's close frame, and its code."""
        frames = []
        while True:
            fin, opcode, payload = self.receive()
            if opcode == 8:
                code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                return frames, code, payload[2:].decode()
            frames.append((fin, opcode, payload))
