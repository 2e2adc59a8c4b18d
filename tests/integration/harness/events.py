"""Reads Server-Sent Events as they come, from an answer in chunks."""

import json

from .http import Closed


class Events:
    """The events of one answer. With `comments` the comments come too, as (None, text)."""

    def __init__(self, wire, comments=False):
        self.wire, self.comments = wire, comments
        lines = wire._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.over = False

    def body(self):
        """The whole body of an answer that is no stream."""
        return json.loads(self.wire._exactly(int(self.headers["content-length"])))

    def pieces(self):
        """The body's bytes as they come."""
        if "content-length" in self.headers:
            yield self.wire._exactly(int(self.headers["content-length"]))
        elif self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.wire._until(b"\r\n"), 16):
                yield self.wire._exactly(size)
                assert self.wire._exactly(2) == b"\r\n"
            assert self.wire._until(b"\r\n") == b""
        else:
            try:
                while True:
                    if not self.wire._read:
                        self.wire._more()
                    piece, self.wire._read = self.wire._read, b""
                    yield piece
            except Closed:
                pass
        self.over = True

    def __iter__(self):
        rest = b""
        for piece in self.pieces():
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                yield from self._block(block)
        assert rest == b"", "the answer ends in the middle of an event"

    def _block(self, block):
        if block.startswith(b":"):
            if self.comments:
                yield None, block[1:].decode().strip()
            return
        event, data = block.decode("utf-8").split("\n")
        assert event.startswith("event: ") and data.startswith("data: "), block
        yield event[len("event: "):], json.loads(data[len("data: "):])


def open_stream(api, fields, path="/runner/run", comments=False, **headers):
    """Asks for a run's events; the wire is the caller's to close."""
    wire = api.wire()
    wire.send(api.bytes("POST", path, fields, Accept="text/event-stream", **headers))
    return wire, Events(wire, comments)


def stream(api, code, path="/runner/run", **fields):
    """A run to its end: the list of its events."""
    wire, events = open_stream(api, {"code": code, **fields}, path)
    with wire:
        assert events.status == 200, events.body()
        assert events.headers["content-type"] == "text/event-stream"
        return list(events)


def text_of(events, name):
    return "".join(data for event, data in events if event == name)
