"""An HTTP/1.1 client that may also do what a good one never does: hang up in the middle, send half
a body, ten thousand headers, or several requests at once.
"""

import json
import socket
import struct

from .wait import eventually, patient

TIMEOUT = patient(60)


class Response:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


class Closed(Exception):
    """The server ended the connection before an answer was whole."""


class Wire:
    """One connection."""

    def __init__(self, address, timeout=TIMEOUT):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def hang_up(self):
        """The end by FIN."""
        self.socket.close()

    def reset(self):
        """The end by RST: what a program that crashed looks like."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed(self._read)
        self._read += data

    def _until(self, mark):
        while mark not in self._read:
            self._more()
        part, self._read = self._read.split(mark, 1)
        return part

    def _exactly(self, count):
        parts = [self._read[:count]]
        missing = count - len(parts[0])
        self._read = self._read[count:]
        while missing > 0:
            data = self.socket.recv(min(missing, 1 << 18))
            if not data:
                raise Closed(b"".join(parts))
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _chunks(self):
        body = b""
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        self._until(b"\r\n")
        return body

    def response(self, to_head=False):
        """The next answer; of an informational one nothing but its head."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value.strip()
        status = int(status)
        if to_head or status < 200 or status == 204:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self._exactly(int(headers["content-length"]))
        return Response(status, reason, headers, body)

    def at_end(self):
        """Whether the server has closed, too, and said nothing more; waits for it."""
        try:
            return not self._read and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def request_bytes(method, path, body=None, headers=(), host="codeland"):
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    head += [f"{name}: {value}" for name, value in dict(headers).items()]
    if body is not None:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + (body or b"")


class Client:
    """Speaks with one manager, as whoever the token belongs to."""

    API = "/api/v1"

    def __init__(self, address, token, timeout=TIMEOUT):
        self.address, self.token, self.timeout = address, token, timeout

    def wire(self):
        return Wire(self.address, self.timeout)

    def headers(self, **more):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        headers.update({name.replace("_", "-"): value for name, value in more.items()})
        return headers

    def bytes(self, method, path, fields=None, **headers):
        """A request with our token, as it goes over the wire."""
        body = None if fields is None else json.dumps(fields).encode()
        return request_bytes(method, self.API + path, body, self.headers(**headers))

    def ask(self, method, path, fields=None):
        """A request to the API on a connection of its own."""
        with self.wire() as wire:
            wire.send(self.bytes(method, path, fields, Connection="close"))
            return wire.response(to_head=method == "HEAD")

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, fields):
        return self.ask("POST", path, fields)

    def patch(self, path, fields):
        return self.ask("PATCH", path, fields)

    def delete(self, path):
        return self.ask("DELETE", path)

    def plain(self, method, path, body=None, headers=()):
        """Any request at all, without our token and below no base path."""
        with self.wire() as wire:
            wire.send(request_bytes(method, path, body, headers))
            return wire.response(to_head=method == "HEAD")

    def run(self, code, on="run", **fields):
        """A run that the manager accepts: its result."""
        answer = self.post(f"/runner/{on}", {"code": code, **fields})
        assert answer.status == 200, answer
        return answer.json

    def run_after_restart(self, code, on):
        """On a named runner: until it has come back to its new worker, the answer is 503."""

        def came_back():
            answer = self.post(f"/runner/{on}", {"code": code})
            if answer.status == 503:
                assert int(answer.headers["retry-after"]) >= 1
                return None
            if answer.status != 200:
                raise RuntimeError(answer)
            return answer.json

        return eventually(came_back, f"{on} has come back")
