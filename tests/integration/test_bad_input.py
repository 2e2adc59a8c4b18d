"""What nobody should send. Each answer says what is wrong, nothing is done, and life goes on."""

import json

import pytest

from harness.check import check_error
from harness.http import Closed, request_bytes

RUN = "/api/v1/runner/run"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def life_goes_on(stack):
    yield
    assert stack.api.run("echo fine")["stdout"] == "fine\n"


def raw(api, body, path=RUN, method="POST", **headers):
    return api.plain(method, path, body, api.headers(**headers))


# ---- the body's text ----


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"code": ',
        b'{"code": "a" "b"}',
        b'{"code": "a",}',
        b"{'code': 'a'}",
        b"not json",
        b'{"code": "a"} trailing',
        b'{"code": "a"}{"code": "b"}',
        b'{"code": "a\nb"}',
        b'{"code": "a\tb"}',
        b'{"code": "\\x"}',
        b'{"code": "\\u12"}',
        b'{"code": "\\ud800"}',
        b'{"code": "\\udc00\\ud800"}',
        b'{"code": "\xff\xfe"}',
        b'{"code": "\xc3("}',
        b'{"code": "\xed\xa0\x80"}',
        b'{"code": "\xc0\x80"}',
        b'\xef\xbb\xbf{"code": "a"}',
        b'{"code": "a", "time": 01}',
        b'{"code": "a", "time": +1}',
        b'{"code": "a", "time": NaN}',
        b'{"code": "a", "time": 1e999}',
        b'{"code": "a", "memory": 99999999999999999999}',
        b'{"code": "a", "code": "b"}',
        b'{"code": "unfinished',
        b'{"code": "a"}\0',
    ],
)
def test_malformed_json(api, body):
    error = check_error(raw(api, body), 400, "badRequest")
    assert any(word in error["message"] for word in ("line", "position", "byte")), error
    assert any(char.isdigit() for char in error["message"]), error


def test_where_json_is_malformed(api):
    """The place is that of the mistake, so that a person finds it."""
    error = check_error(raw(api, b'{\n  "code": "a",\n  "time": oops\n}'), 400, "badRequest")
    assert "3" in error["message"], error


@pytest.mark.parametrize("body", [b"[]", b"[1, 2]", b'"text"', b"null", b"true", b"5", b" "])
def test_json_that_is_no_object(api, body):
    check_error(raw(api, body), 400, "badRequest")


def test_deep_nesting(api):
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"code": "a", "env": ' + opening * 100_000 + b"1" + closing * 100_000 + b"}"
        check_error(raw(api, body), 400, "badRequest")


@pytest.mark.parametrize("body", [None, b""])
def test_no_body(api, body):
    for path in (RUN, "/api/v1/runner"):
        check_error(raw(api, body, path), 400, "badRequest", "code")


# ---- fields ----

BAD_FIELDS = [
    ({}, "code.*missing"),
    ({"code": None}, "code"),
    ({"code": 1}, "code.*string"),
    ({"code": []}, "code.*string"),
    ({"code": {}}, "code.*string"),
    ({"code": True}, "code.*string"),
    ({"code": "a", "stdin": 1}, "stdin.*string"),
    ({"code": "a", "stdin": ["a"]}, "stdin.*string"),
    ({"code": "a", "args": "a"}, "args.*array"),
    ({"code": "a", "args": {}}, "args.*array"),
    ({"code": "a", "args": ["a", 1]}, r"args.*1.*string"),
    ({"code": "a", "args": [None]}, "args.*string"),
    ({"code": "a", "args": ["a\0b"]}, "args.*NUL"),
    ({"code": "a", "args": ["x"] * 100_000}, r"args.*100000.*\d+"),
    ({"code": "a", "args": ["x" * 300_000]}, r"args.*300000.*\d+"),
    ({"code": "a", "env": []}, "env.*object"),
    ({"code": "a", "env": "A=B"}, "env.*object"),
    ({"code": "a", "env": {"A": 1}}, "env.*A.*string"),
    ({"code": "a", "env": {"A": None}}, "env.*A"),
    ({"code": "a", "env": {"": "a"}}, "env"),
    ({"code": "a", "env": {"A=B": "a"}}, "env.*A=B"),
    ({"code": "a", "env": {"1A": "a"}}, "env.*1A"),
    ({"code": "a", "env": {"A\0": "a"}}, "env|NUL|\\\\u0000"),
    ({"code": "a", "env": {"A": "a\0b"}}, "env.*A.*NUL"),
    ({"code": "a", "env": {f"A{i}": "a" for i in range(5000)}}, r"env.*5000.*\d+"),
    ({"code": "a", "env": {"A": "x" * 300_000}}, r"env.*A.*\d+"),
    ({"code": "a", "time": "5"}, "time.*number"),
    ({"code": "a", "time": True}, "time.*number"),
    ({"code": "a", "time": [1]}, "time.*number"),
    ({"code": "a", "time": 0}, "time.*600"),
    ({"code": "a", "time": -1}, "time.*600"),
    ({"code": "a", "time": 600.001}, "time.*600"),
    ({"code": "a", "time": 1e300}, "time.*600"),
    ({"code": "a", "memory": "64M"}, "memory.*number"),
    ({"code": "a", "memory": 64.5}, "memory.*number"),
    ({"code": "a", "memory": -1}, "memory.*4194304.*2147483648"),
    ({"code": "a", "memory": 0}, "memory.*4194304.*2147483648"),
    ({"code": "a", "memory": 4194303}, "memory.*4194304.*2147483648"),
    ({"code": "a", "memory": 2147483649}, "memory.*4194304.*2147483648"),
    ({"code": "a", "language": 5}, "language.*string"),
    ({"code": "a", "wrong": 1}, "wrong"),
    ({"code": "a", "Code": "b"}, "Code"),
    ({"code": "a", "name": "b"}, "name"),
    ({"code": "a", "": 1}, 'unknown|field|""'),
    ({"code": "a", "a\nb\x1b[31m": 1}, "a"),
    ({"code": "a", "x" * 100_000: 1}, "x"),
]


@pytest.mark.parametrize("fields,says", BAD_FIELDS, ids=[str(i) for i in range(len(BAD_FIELDS))])
def test_bad_fields(api, fields, says):
    error = check_error(api.post("/runner/run", fields), 400, "badRequest", says)
    assert len(error["message"]) < 1000


def test_unknown_languages(api):
    for name in ("", "SH", "sh ", "python\0", "../sh", "x" * 10_000, "€"):
        answer = api.post("/runner/run", {"code": "a", "language": name})
        check_error(answer, 400, "UnknownLanguage", r"\bsh\b")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "1a",
        "-a",
        "a_b",
        "a.b",
        "a/b",
        "../a",
        "a b",
        "ä",
        "a\n",
        "a\0",
        "a" * 42,
        "run",
        "new",
        5,
        ["a"],
        {},
    ],
)
def test_bad_names(api, name):
    def kept():
        return {one["name"] for one in api.get("/runner").json["runners"] if one["owner"]}

    before = kept()
    check_error(api.post("/runner/new", {"name": name}), 400, "badRequest", "name")
    assert kept() == before


@pytest.mark.parametrize("fields", [{"stdin": "a"}, {"args": ["a"]}, {"env": {}}, {"time": 5}])
def test_fields_that_need_code(api, fields):
    (field,) = fields
    check_error(api.post("/runner/new", fields), 400, "badRequest", f"{field}.*code")


@pytest.mark.parametrize(
    "value",
    [
        "abc",
        "",
        "-1",
        "0",
        "601",
        "1e9",
        "nan",
        "inf",
        "0x10",
        "1s",
        "%00",
        "%",
        "%zz",
        "1,5",
        "9" * 200,
    ],
)
def test_bad_time_in_the_query(api, value):
    answer = api.post(f"/runner/run?time={value}", {"code": "echo ran"})
    check_error(answer, 400, "badRequest", "time")


def test_memory_on_a_named_runner_cannot_be_asked_for(api):
    api.post("/runner/new", {"name": "mem"})
    answer = api.post("/runner/mem", {"code": "a", "memory": 64 * MIB})
    check_error(answer, 400, "badRequest", "memory")
    api.delete("/runner/mem")


# ---- how much ----


def test_a_body_over_the_cap(api):
    """Said before it is read: the client need not send it all."""
    with api.wire() as wire:
        head = api.headers(Content_Length=4 * MIB + 1)
        wire.send(request_bytes("POST", RUN, headers=head))
        check_error(wire.response(), 413, "bodyTooLarge", str(4 * MIB))
        assert wire.at_end()


def test_a_body_over_the_cap_that_is_sent(api):
    body = json.dumps({"code": "echo ran", "stdin": "x" * (5 * MIB)}).encode()
    check_error(raw(api, body), 413, "bodyTooLarge", str(4 * MIB))


def test_a_body_of_nearly_the_cap(api):
    overhead = len(json.dumps({"code": "wc -c", "stdin": ""}))
    stdin = "x" * (4 * MIB - overhead)
    assert api.run("wc -c", stdin=stdin)["stdout"].strip() == str(len(stdin))


def test_a_body_over_the_cap_of_unknown_length(api):
    with api.wire() as wire:
        wire.send(request_bytes("POST", RUN, headers=api.headers(Transfer_Encoding="chunked")))
        wire.send(b'd\r\n{"code": ":;#\r\n')
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            for _ in range(100):
                wire.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        check_error(wire.response(), 413, "bodyTooLarge", str(4 * MIB))


@pytest.mark.parametrize("length", ["99999999999999999999", "-1", "1x", "0x10", "", "1, 1", "1 1"])
def test_bad_lengths(api, length):
    head = api.headers(Content_Length=length)
    with api.wire() as wire:
        wire.send(request_bytes("POST", RUN, headers=head) + b"{}")
        answer = wire.response()
        if answer.status == 413:
            check_error(answer, 413, "bodyTooLarge")
        else:
            check_error(answer, 400, "badRequest", "Content-Length")
        assert wire.at_end()


def head_of(api, *lines):
    """A request's bytes whose headers may be any lines at all."""
    token = f"auth-token: {api.token}"
    return "\r\n".join([f"POST {RUN} HTTP/1.1", token, *lines, "", ""]).encode("latin-1")


def check_refused(api, data, status=400, name="badRequest", says=""):
    """The connection ends with that answer: where the next request begins, nobody knows."""
    with api.wire() as wire:
        try:
            wire.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        error = check_error(wire.response(), status, name, says)
        assert wire.at_end()
    return error


CHUNKED = ("Host: x", "Transfer-Encoding: chunked")


def test_requests_that_two_programs_could_read_differently(api):
    """What request smuggling is made of."""
    body = b'{"code": ":"}'
    length = f"Content-Length: {len(body)}"
    for lines in (
        [*CHUNKED, length],
        ["Host: x", length, length],
        ["Host: x", length, "Content-Length: 5"],
        ["Host: x", "Transfer-Encoding: gzip, chunked"],
        ["Host: x", "Transfer-Encoding: chunked, chunked"],
        ["Host: x", "Transfer-Encoding: identity"],
        [*CHUNKED, "Transfer-Encoding: chunked"],
        ["Host: x", "Host: y", length],
        [length],
        ["Host: x", length, "X : y"],
        ["Host: x", length, " folded"],
        ["Host: x", length, "no colon"],
        ["Host: x", length, ": empty"],
        ["Host: x", length, "X: a\0b"],
        ["Host: x", length, "X: a\rb"],
        ["Host: x", length, "X: a\nY: b"],
        ["Host: x", "Expect: the unexpected", length],
    ):
        check_refused(api, head_of(api, *lines) + body)


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"-1\r\n",
        b"\r\n",
        b"ffffffffffffffffff\r\n",
        b"5\nhello",
        b"5\r\nhelloXX",
        b"0x5\r\nhello\r\n",
        b"5;" + b"e" * 100_000,
    ],
)
def test_bad_chunks(api, chunks):
    with api.wire() as wire:
        wire.send(head_of(api, *CHUNKED) + chunks)
        answer = wire.response()
        assert answer.status in (400, 413, 431), answer
        assert answer.json["message"] and answer.json["requestId"]


def test_ten_thousand_headers(api):
    lines = [f"X-{i}: {i}" for i in range(10_000)]
    check_refused(api, head_of(api, "Host: x", *lines), 431, "headersTooLarge", r"\d+")


def test_a_few_headers_too_many(api):
    lines = [f"X-{i}: {i}" for i in range(200)]
    check_refused(api, head_of(api, "Host: x", *lines), 431, "headersTooLarge", r"100\b")


def test_a_header_of_a_megabyte(api):
    check_refused(api, head_of(api, "Host: x", "X: " + "y" * MIB), 431, "headersTooLarge", r"\d+")


def test_headers_that_never_end(api):
    """No blank line: the cap must hold all the same."""
    with api.wire() as wire:
        try:
            wire.send(f"GET {RUN} HTTP/1.1\r\n".encode())
            for i in range(20_000):
                wire.send(b"X-%d: y\r\n" % i)
        except (BrokenPipeError, ConnectionResetError):
            pass
        check_error(wire.response(), 431, "headersTooLarge")


def test_an_address_of_a_megabyte(api):
    data = f"GET /{'x' * MIB} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    check_refused(api, data, 431, "headersTooLarge")


# ---- what is asked for ----


@pytest.mark.parametrize(
    "method,path,allowed",
    [
        ("GET", RUN, {"POST"}),
        ("PUT", RUN, {"POST"}),
        ("DELETE", RUN, {"POST"}),
        ("GET", "/api/v1/runner/new", {"POST"}),
        ("DELETE", "/api/v1/runner", {"GET", "HEAD", "POST"}),
        ("PUT", "/api/v1/runner/demo", {"GET", "HEAD", "POST", "DELETE"}),
        ("POST", "/api/v1/worker", {"GET", "HEAD"}),
        ("POST", "/api/v1/worker/zombies", {"GET", "HEAD", "DELETE"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("BREW", RUN, {"POST"}),
        ("get", "/api/v1/runner", {"GET", "HEAD", "POST"}),
    ],
)
def test_wrong_methods(api, method, path, allowed):
    answer = raw(api, None, path, method)
    check_error(answer, 405, "methodNotAllowed")
    assert set(answer.headers["allow"].split(", ")) == allowed | {"OPTIONS"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/x",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/runner",
        "/api/v1/runner/a/b",
        "/api/v1/runner/run/x",
        "//api/v1/runner",
        "/api/v1/runner//",
        "/api/v1//runner",
        "/api/v1/../v1/nothing",
        "/API/v1/runner",
        "/api/v1/Runner",
        "/%00",
        "/api/v1/worker/nothing",
        "/etc/passwd",
        "/../../etc/passwd",
        "/healthz/x",
        "/" + "x" * 10_000,
    ],
)
def test_unknown_paths(api, path):
    check_error(raw(api, None, path, "GET"), 404, "notFound")


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "Upper",
        "a.b",
        "..",
        "...",
        "%2e%2e",
        "..%2f..%2fetc",
        "a%00b",
        "%ff",
        "a%0ab",
        "a+b",
        "a" * 42,
        "a" * 5000,
        "%zz",
        "%",
        "'",
        "%22",
        "$(id)",
    ],
)
def test_unknown_runners(api, name):
    for method, body in (("GET", None), ("DELETE", None), ("POST", b'{"code": ":"}')):
        answer = raw(api, body, f"/api/v1/runner/{name}", method)
        assert answer.status in (400, 404), answer
        wanted = "runnerNotFound" if answer.status == 404 else "badRequest"
        check_error(answer, answer.status, wanted)


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "image/png",
    ],
)
def test_wrong_content_types(api, kind):
    answer = raw(api, b'{"code": "echo ran"}', Content_Type=kind)
    check_error(answer, 415, "unsupportedMediaType", "JSON")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"\0\0\0\0",
        b"hello\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
def test_what_is_no_http(api, data):
    check_refused(api, data)


def test_no_answer_to_nothing(api):
    """A client that connects and leaves is no error and no log line of one."""
    for _ in range(20):
        with api.wire() as wire:
            wire.hang_up()
        with api.wire() as wire:
            wire.send(b"GET /heal")
            wire.reset()


def test_half_a_body(api):
    """Nothing runs of a request that was not sent whole."""
    whole = api.bytes("POST", "/runner/new", {"name": "half"})
    for end in ("hang_up", "reset"):
        with api.wire() as wire:
            wire.send(whole[:-3])
            getattr(wire, end)()
    with api.wire() as wire:
        wire.send(whole[:-3])
        wire.socket.shutdown(1)
        with pytest.raises((Closed, ConnectionResetError)):
            assert wire.response().status == 400
            raise Closed
    assert api.get("/runner/half").status == 404


def test_head(api):
    """As GET, and nothing after the head."""
    with api.wire() as wire:
        for path in ("/runner", "/worker"):
            wire.send(api.bytes("HEAD", path))
            answer = wire.response(to_head=True)
            assert answer.status == 200 and int(answer.headers["content-length"]) > 0
        wire.send(api.bytes("HEAD", "/runner/nothing"))
        assert wire.response(to_head=True).status == 404
        wire.send(api.bytes("GET", "/runner"))
        assert wire.response().json["runners"]


def test_an_error_does_not_end_the_connection(api):
    """Where the next request begins is known after most of them."""
    with api.wire() as wire:
        for _ in range(3):
            wire.send(api.bytes("POST", "/runner/run", {"wrong": 1}))
            check_error(wire.response(), 400, "badRequest", "wrong")
            wire.send(api.bytes("GET", "/runner/nothing"))
            check_error(wire.response(), 404, "runnerNotFound")
        wire.send(api.bytes("POST", "/runner/run", {"code": "echo hi"}))
        assert wire.response().json["stdout"] == "hi\n"


def test_text_in_errors_and_logs_is_escaped(stack, api):
    """What came from outside moves no terminal's cursor and begins no line of the log."""
    trick = "x\nlevel=error event=forged \x1b[2J"
    answer = api.post("/runner/run", {"code": "a", trick: 1})
    check_error(answer, 400, "badRequest")
    assert b"\x1b" not in answer.body and b"\n" not in answer.body.rstrip(b"\n")
    raw(api, None, "/%0alevel=error%20event=forged", "GET")
    assert not stack.manager.events("forged")


def test_many_bad_requests(api):
    """A thousand, on few connections; none of them leaves anything behind."""
    with api.wire() as wire:
        for _ in range(1000):
            wire.send(api.bytes("POST", "/runner/run", {"code": 1}))
            assert wire.response().status == 400
