"""Programs with live input, signals and output over a WebSocket."""

import asyncio
import base64
import contextlib
import json
import os
import time

import pytest
import websockets
from harness import host
from harness.http import request_bytes
from harness.wait import Task, eventually
from harness.ws import RawSocket, connect, conversation

MIB = 1024 * 1024


def start(code, **fields):
    return json.dumps({"start": {"code": code, **fields}})


def converse(api, messages, path="/runner/run/exec"):
    """Sends the messages at once and listens to the end."""

    async def go():
        async with connect(api, path) as socket:
            with contextlib.suppress(websockets.ConnectionClosed):
                for message in messages:
                    await socket.send(message)
            seen = await conversation(socket)
            return seen, socket.close_code

    return asyncio.run(go())


def test_output_and_end(api):
    seen, code = converse(api, [start("echo out; echo err >&2; exit 3")])
    assert (seen["stdout"], seen["stderr"], code) == (b"out\n", b"err\n", 1000)
    started, end = seen["texts"][0]["started"], seen["texts"][-1]["end"]
    assert len(seen["texts"]) == 2
    assert (end["status"], end["exit"]) == ("exit", 3)
    assert started["runner"] == end["runner"] and started["requestId"] == end["requestId"]
    assert not {"res", "stdout", "stderr"} & set(end)


def test_input_and_its_end(api):
    messages = [start("cat; echo over", stdin="first "), b"\0second ", b"\0", b"\0third ",
                json.dumps({"eof": True})]
    seen, _ = converse(api, messages)
    assert seen["stdout"] == b"first second third over\n"
    assert seen["texts"][-1]["end"]["status"] == "ok"


def test_a_dialogue(api):
    """Each answer comes before the next question is asked."""

    async def go():
        async with connect(api) as socket:
            await socket.send(start("while read -r word; do echo \"<$word>\"; done"))
            assert "started" in json.loads(await socket.recv())
            for word in ("one", "two", "three"):
                await socket.send(b"\0" + word.encode() + b"\n")
                assert await socket.recv() == f"\1<{word}>\n".encode()
            await socket.send('{"eof": true}')
            assert json.loads(await socket.recv())["end"]["status"] == "ok"

    asyncio.run(go())


@pytest.mark.parametrize("name, number", [("SIGINT", 2), ("SIGTERM", 15), ("SIGUSR1", 10)])
def test_signals(api, name, number):
    async def go():
        async with connect(api) as socket:
            await socket.send(start("echo ready; exec sleep 1000"))
            await socket.recv()
            assert await socket.recv() == b"\1ready\n"
            await socket.send(json.dumps({"signal": name}))
            end = json.loads(await socket.recv())["end"]
            assert (end["status"], end["signal"], end["exit"]) == ("signal", name, None)

    asyncio.run(go())


def test_a_signal_that_is_caught_goes_to_the_children_too(api):
    async def go():
        async with connect(api) as socket:
            # Short sleeps: a signal between the shell's fork and its exec of one is lost on it.
            child = 'trap "echo child; exit" INT; echo ready; while :; do sleep 0.05; done'
            code = f"trap 'echo caught' INT; sh -c '{child}'; echo after"
            await socket.send(start(code))
            await socket.recv()
            assert await socket.recv() == b"\1ready\n"
            await socket.send('{"signal": "SIGINT"}')
            seen = await conversation(socket)
            assert sorted(seen["stdout"].decode().split()) == ["after", "caught", "child"], seen

    asyncio.run(go())


def test_on_a_named_runner(api):
    seen, _ = converse(api, [start("echo kept >file", name="talk")], "/runner/new/exec")
    assert seen["texts"][-1]["end"]["runner"] == "talk"
    seen, _ = converse(api, [start("cat file")], "/runner/talk/exec")
    assert seen["stdout"] == b"kept\n"
    assert api.delete("/runner/talk").status == 200


def test_a_new_runner_without_code(api):
    seen, code = converse(api, [json.dumps({"start": {"name": "mute"}})], "/runner/new/exec")
    assert (seen["texts"][-1]["end"]["runner"], code) == ("mute", 1000)
    assert api.delete("/runner/mute").status == 200


@pytest.mark.parametrize("first, words", [
    ("nonsense", "line 1"),
    ("{}", "start"),
    ('{"signal": "SIGINT"}', "signal"),
    ('{"start": 1}', "start: must be an object"),
    ('{"start": {"code": 1}}', "code: must be a string"),
    ('{"start": {"code": "echo", "wrong": 1}}', "wrong"),
    ('{"start": {"code": "echo", "tty": {"cols": 80, "rows": 24}}}', "tty: "),
    ('{"start": {"code": "echo"}, "more": 1}', "more"),
    (b"\0input", "the first message must be"),
])
def test_a_first_message_that_is_wrong(api, first, words):
    seen, code = converse(api, [first])
    assert code == 1008
    (error,) = [text["error"] for text in seen["texts"]]
    assert error["name"] == "badRequest" and words in error["message"] and error["requestId"]


@pytest.mark.parametrize("message, words", [
    ('{"resize": {"cols": 80, "rows": 24}}', "resize"),
    ('{"signal": "SIGNAL"}', 'signal: "SIGNAL" is no signal\'s name'),
    ('{"signal": 2}', "signal: must be a string"),
    ('{"eof": 1}', "eof: must be true or false"),
    ("{}", "a text must hold signal or eof"),
    ("[]", "object"),
    (b"\1output", "must begin with the byte 0"),
    (b"", "must begin with the byte 0"),
])
def test_a_later_message_that_is_wrong_ends_the_run(stack, message, words):
    marker = f"31536000.{time.time_ns()}"
    seen, code = converse(stack.api, [start(f"sleep {marker}", time=600), message])
    assert code == 1008
    error = seen["texts"][-1]["error"]
    assert error["name"] == "badRequest" and words in error["message"]
    eventually(lambda: not host.find_processes(marker), "the program is killed")
    stack.wait_oven(inUse=0, freeing=0)


def test_input_after_its_end(api):
    seen, code = converse(api, [start("sleep 1000"), '{"eof": true}', b"\0more"])
    assert code == 1008 and seen["texts"][-1]["error"]["message"] == "stdin has ended"


def test_input_that_the_program_does_not_want(api):
    """It closes its stdin, or ends: neither is an error."""
    seen, code = converse(api, [start("exec <&-; sleep 0.2; echo done"), b"\0" + b"x" * MIB])
    assert (seen["stdout"], code) == (b"done\n", 1000)


def test_a_timeout(api):
    seen, code = converse(api, [start("echo begun; sleep 1000", time=0.5)])
    end = seen["texts"][-1]["end"]
    assert (seen["stdout"], end["status"], end["name"]) == (b"begun\n", "timeout", "runnerTimedOut")
    assert code == 1000


def test_no_runner(new_stack):
    stack = new_stack({"oven.min_available": 1, "oven.max_runners": 1, "run.queue": "200ms"}).start()
    assert stack.api.post("/runner/new", {"name": "only"}).status == 200
    seen, code = converse(stack.api, [start("echo hi")])
    assert seen["texts"][-1]["error"]["name"] == "RunnerNotAvailable" and code == 1011


def test_a_worker_that_dies(new_stack):
    stack = new_stack().start()

    async def go():
        async with connect(stack.api) as socket:
            await socket.send(start("sleep 1000"))
            await socket.recv()
            stack.worker.kill()
            seen = await conversation(socket)
            assert seen["texts"][-1]["error"]["name"] == "workerBadGateway"
            assert socket.close_code == 1011

    asyncio.run(go())


@pytest.mark.parametrize("how", ["close", "hang_up", "reset"])
def test_a_client_that_leaves(stack, how):
    marker = f"31536000.{time.time_ns()}"
    with RawSocket(stack.api) as raw:
        raw.start(f"sleep {marker}", time=600)
        assert "started" in json.loads(raw.receive()[2])
        eventually(lambda: host.find_processes(marker), "the program runs")
        if how == "close":
            raw.send(8, b"\x03\xe8bye")
            assert raw.until_close() == ([], 1000, "")
            assert raw.wire.at_end()
        else:
            getattr(raw.wire, how)()
        eventually(lambda: not host.find_processes(marker), "the program is killed")
    stack.wait_oven(inUse=0, freeing=0)


@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_a_client_that_leaves_while_its_input_waits(new_stack, how):
    """For a program that does not read it, so that nobody reads on to where it has left."""
    stack = new_stack({"http.heartbeat": "300ms"}).start()
    marker = f"31536000.{time.time_ns()}"
    with RawSocket(stack.api) as raw:
        raw.start(f"sleep {marker}", time=600)
        assert "started" in json.loads(raw.receive()[2])
        eventually(lambda: host.find_processes(marker), "the program runs")
        raw.wire.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                raw.send(2, b"\0" + b"x" * 65535)
        getattr(raw.wire, how)()
        eventually(lambda: not host.find_processes(marker), "the program is killed")
    stack.wait_oven(inUse=0, freeing=0)


def test_much_through_both_directions(stack):
    """More than all buffers hold, by a program that is slow to begin with reading."""
    data = os.urandom(MIB) * 40

    async def go():
        async with connect(stack.api) as socket:
            await socket.send(start("sleep 1; cat", time=300))

            async def feed():
                for at in range(0, len(data), 300_000):
                    await socket.send(b"\0" + data[at:at + 300_000])
                await socket.send('{"eof": true}')

            feeding = asyncio.ensure_future(feed())
            seen = await conversation(socket)
            await feeding
            assert seen["texts"][-1]["end"]["status"] == "ok"
            assert seen["stdout"] == data

    with host.PeakMemory(stack.programs) as memory:
        asyncio.run(go())
    assert max(memory.peaks.values()) < 64 * MIB, memory.peaks


def test_a_signal_overtakes_input_that_nobody_reads(stack):
    """8 MB lie before it, on the way of which no more than a few hundred KB fit."""

    async def go():
        async with connect(stack.api) as socket:
            await socket.send(start("echo ready; exec sleep 1000", time=600, stdin="x" * MIB))
            await socket.recv()
            assert await socket.recv() == b"\1ready\n"
            for _ in range(8):
                await socket.send(b"\0" + b"x" * 1_000_000)
            await socket.send('{"signal": "SIGTERM"}')
            end = json.loads(await socket.recv())["end"]
            assert (end["status"], end["signal"]) == ("signal", "SIGTERM")

    with host.PeakMemory(stack.programs) as memory:
        asyncio.run(go())
    assert max(memory.peaks.values()) < 64 * MIB, memory.peaks
    stack.wait_oven(inUse=0, freeing=0)


def test_signals_while_input_waits_are_caught_and_no_byte_is_lost(api):
    """Each signal is answered before the program begins to read what was sent before it."""
    data = os.urandom(MIB) * 6

    async def go():
        async with connect(api) as socket:
            code = ("import os, signal, sys, time\n"
                    "got = []\n"
                    "signal.signal(signal.SIGUSR1, lambda *_: got.append('usr1'))\n"
                    "signal.signal(signal.SIGUSR2, lambda *_: got.append('usr2'))\n"
                    "sys.stdout.write('ready\\n')\n"
                    "sys.stdout.flush()\n"
                    "while len(got) < 2: time.sleep(0.01)\n"
                    "print(*got, flush=True)\n"
                    "while piece := os.read(0, 4096):\n"
                    "    os.write(1, piece)\n")
            await socket.send(start(code, language="python3", time=600))
            await socket.recv()
            assert await socket.recv() == b"\1ready\n"
            for at in range(0, len(data), 100_000):
                await socket.send(b"\0" + data[at:at + 100_000])
            await socket.send('{"signal": "SIGUSR1"}')
            await socket.send('{"signal": "SIGUSR2"}')
            await socket.send('{"eof": true}')
            seen = await conversation(socket)
            words, _, rest = seen["stdout"].partition(b"\n")
            assert sorted(words.split()) == [b"usr1", b"usr2"]
            assert seen["texts"][-1]["end"]["status"] == "ok" and rest == data

    asyncio.run(go())


def test_a_close_overtakes_input_that_nobody_reads(stack):
    marker = f"31536000.{time.time_ns()}"

    async def go():
        async with connect(stack.api) as socket:
            await socket.send(start(f"sleep {marker}", time=600))
            assert "started" in json.loads(await socket.recv())
            for _ in range(8):
                await socket.send(b"\0" + b"x" * 1_000_000)

    asyncio.run(go())
    eventually(lambda: not host.find_processes(marker), "the program is killed")
    stack.wait_oven(inUse=0, freeing=0)


def test_a_flood_of_signals(stack):
    """They are held back like everything else, and the program's end is seen behind them."""

    async def go():
        async with connect(stack.api) as socket:
            # Ignored: a signal overtakes input or not, and may come at the program's very end.
            code = "trap '' USR1; echo ready; read -r word; echo over $word"
            await socket.send(start(code, time=600))
            await socket.recv()
            assert await socket.recv() == b"\1ready\n"
            for _ in range(20_000):
                await socket.send('{"signal": "SIGUSR1"}')
            await socket.send(b"\0go\n")
            seen = await conversation(socket)
            assert seen["stdout"] == b"over go\n" and seen["texts"][-1]["end"]["status"] == "ok"

    asyncio.run(go())
    stack.wait_oven(inUse=0, freeing=0)


def test_a_client_that_does_not_read_pauses_the_program(stack):
    with host.PeakMemory(stack.programs) as memory, RawSocket(stack.api) as raw:
        raw.start("yes | head -c 50000000", time=300)
        time.sleep(2)
        total, last = 0, None
        while last is None:
            fin, opcode, payload = raw.receive()
            if opcode == 2:
                assert payload[0] == 1
                total += len(payload) - 1
            elif opcode == 1 and fin and b"end" in payload:
                last = json.loads(payload)["end"]
        assert total == 50_000_000 and last["status"] == "ok"
    assert max(memory.peaks.values()) < 64 * MIB, memory.peaks


# ---- the protocol ----


def test_fragments_pings_and_large_frames(api):
    with RawSocket(api) as raw:
        text = json.dumps({"start": {"code": "cat", "env": {"A": "€"}}}, ensure_ascii=False).encode()
        raw.send(1, text[:10], fin=False)
        raw.send(9, b"are you there")
        for byte in text[10:]:
            raw.send(0, bytes([byte]), fin=False)
        raw.send(0, b"")
        assert raw.receive() == (True, 10, b"are you there")
        assert "started" in json.loads(raw.receive()[2])
        raw.send(10, b"an unasked pong")
        raw.send(2, b"\0one ", fin=False)
        raw.send(0, b"", fin=False)
        raw.send(0, b"two ")
        raw.send(2, b"", fin=False)  # the channel's byte comes later
        assert json.loads(raw.until_close()[0][-1][2])["error"]["name"] == "badRequest"


@pytest.mark.parametrize("bad, code", [
    ({"opcode": 1, "masked": False, "payload": b"{}"}, 1002),
    ({"opcode": 1, "reserved": 4, "payload": b"{}"}, 1002),
    ({"opcode": 3}, 1002),
    ({"opcode": 11}, 1002),
    ({"opcode": 0, "payload": b"x"}, 1002),
    ({"opcode": 9, "fin": False}, 1002),
    ({"opcode": 9, "payload": b"x" * 126}, 1002),
    ({"opcode": 8, "payload": b"x"}, 1002),
    ({"opcode": 8, "payload": b"\x03\xed"}, 1002),
    ({"opcode": 8, "payload": b"\x03\xe8\xff"}, 1007),
    ({"opcode": 1, "payload": b"\xc3("}, 1007),
    ({"opcode": 1, "payload": b"x" * (5 * MIB)}, 1009),
])
def test_frames_that_are_none(api, bad, code):
    with RawSocket(api) as raw:
        raw.send(**bad)
        assert raw.until_close()[1] == code
        assert raw.wire.at_end()


def test_a_message_inside_another(api):
    with RawSocket(api) as raw:
        raw.send(1, b"{", fin=False)
        raw.send(1, b"}")
        assert raw.until_close()[1] == 1002


def test_a_length_in_too_many_bytes(api):
    with RawSocket(api) as raw:
        raw.wire.send(b"\x81\xfe\x00\x02aaaa{}")
        assert raw.until_close()[1] == 1002


def test_pings_of_the_server(new_stack):
    stack = new_stack({"http.heartbeat": "100ms"}).start()
    with RawSocket(stack.api) as raw:
        raw.start("sleep 1000", time=600)
        assert "started" in json.loads(raw.receive()[2])
        assert raw.receive()[1] == 9
        assert raw.wire.at_end() or eventually(lambda: raw.wire.socket.recv(100) == b"", "given up")
    stack.wait_oven(inUse=0, freeing=0)


# ---- the way in ----

KEY = base64.b64encode(bytes(16)).decode()


def upgrade(**changes):
    headers = {"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket",
               "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize("changes, status", [
    ({"Upgrade": None}, 426),
    ({"Connection": "keep-alive"}, 426),
    ({"Upgrade": "h2c"}, 426),
    ({"Sec_WebSocket_Version": "8"}, 426),
    ({"Sec_WebSocket_Version": None}, 426),
    ({"Sec_WebSocket_Key": None}, 400),
    ({"Sec_WebSocket_Key": "short"}, 400),
    ({"Sec_WebSocket_Key": "!" * 24}, 400),
])
def test_requests_that_are_no_websocket(api, changes, status):
    headers = {**api.headers(), **upgrade(**changes)}
    answer = api.plain("GET", "/api/v1/runner/run/exec", None, headers)
    assert answer.status == status
    if status == 426:
        assert answer.headers["upgrade"] == "websocket"
        assert answer.headers["sec-websocket-version"] == "13"
        assert answer.json["name"] == "upgradeRequired"


def test_a_runner_that_is_none(api):
    answer = api.plain("GET", "/api/v1/runner/nobody/exec", None, {**api.headers(), **upgrade()})
    assert (answer.status, answer.json["name"]) == (404, "runnerNotFound")


def test_no_token(api):
    assert api.plain("GET", "/api/v1/runner/run/exec", None, upgrade()).status == 401
    wrong = upgrade(Sec_WebSocket_Protocol="codeland.exec, codeland.token.cl_" + "0" * 40)
    assert api.plain("GET", "/api/v1/runner/run/exec", None, wrong).status == 401


def test_a_token_as_a_browser_can_send_it(api):
    """Its subprotocols are all that a page can choose; one of them must be chosen in return."""

    async def go():
        address = "ws://{}:{}/api/v1/runner/run/exec".format(*api.address)
        offered = ["codeland.exec", f"codeland.token.{api.token}"]
        async with websockets.connect(address, subprotocols=offered, open_timeout=60) as socket:
            assert socket.subprotocol == "codeland.exec"
            await socket.send(start("echo hi"))
            return await conversation(socket)

    assert asyncio.run(go())["stdout"] == b"hi\n"


def test_a_token_in_a_subprotocol_is_for_websockets_alone(api):
    headers = {"Sec-WebSocket-Protocol": f"codeland.token.{api.token}"}
    assert api.plain("GET", "/api/v1/runner", None, headers).status == 401


def test_bytes_right_behind_the_request(api):
    """They are read as frames, not as another request."""
    with api.wire() as wire:
        raw = RawSocket.__new__(RawSocket)
        raw.wire = wire
        request = request_bytes("GET", "/api/v1/runner/run/exec", None, {**api.headers(), **upgrade()})
        wire.send(request + raw.frame(1, start("echo early").encode()))
        assert wire.response(to_head=True).status == 101
        frames, code, _ = raw.until_close()
        assert (True, 2, b"\1early\n") in frames and code == 1000


def test_many_at_once(api):
    tasks = [Task(converse, api, [start("cat"), b"\0%d" % i, '{"eof": true}']) for i in range(16)]
    for i, task in enumerate(tasks):
        assert task.result()[0]["stdout"] == b"%d" % i
