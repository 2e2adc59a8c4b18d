"""`network: nat`: what a runner reaches, what it does not, and that nothing stays behind. The
worker is on a host of the test's own, and so is the internet (harness/world.py).
"""

import json
import os
import signal
import time

import pytest

from harness import host, world
from harness.check import check_error
from harness.link import frame, run_fields
from harness.wait import eventually, workers
from harness.world import NetworkStack, World

# Tries (protocol, address, port) one beside the other; says for each what came of it.
PROBE = r"""
import json, socket, sys, threading
def attempt(what):
    protocol, address, port = what
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(WAIT)
        try:
            one.connect((address, port))
            one.send(b"hello\n")
            return one.recv(100).decode().split()[0]
        except TimeoutError:
            return "silence"
        except OSError as error:
            return error.strerror
found = {}
def note(what):
    found[" ".join(map(str, what))] = attempt(what)
threads = [threading.Thread(target=note, args=(what,)) for what in TARGETS]
[one.start() for one in threads]
[one.join() for one in threads]
print(json.dumps(found))
"""
REFUSED = "Connection refused"


def script(text, **values):
    """A shell script that runs Python."""
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    return f"cat >/tmp/probe.py <<'END'\n{head}{text}\nEND\npython3 /tmp/probe.py"


@pytest.fixture(scope="module")
def shared_world(template):
    one = World()
    yield one
    one.close()


@pytest.fixture(scope="module")
def shared_net(shared_world):
    """A stack that stays, for the tests that do no harm; at the end all is as it was before."""
    before = shared_world.host.everything()
    with NetworkStack(shared_world) as stack:
        yield stack.start()
    assert shared_world.host.everything() == before


@pytest.fixture
def net(shared_net):
    shared_net.check_alive()
    yield shared_net
    shared_net.check_alive()
    shared_net.check_logs()


@pytest.fixture
def new_net(template):
    """Stacks in worlds of the test's own."""
    made = []

    def make(settings=None):
        place = World()
        made.append((place, place.host.everything(), NetworkStack(place, settings)))
        return made[-1][2]

    yield make
    for place, before, stack in made:
        try:
            stack.close()
            assert place.host.everything() == before
        finally:
            place.close()


def run(stack, code, on=None, **fields):
    """What it printed."""
    if on is None:
        answer = stack.api.post("/runner/run", {"code": code, "network": "nat", **fields})
    else:
        answer = stack.api.post(f"/runner/{on}", {"code": code, **fields})
    assert answer.status == 200 and answer.json["status"] == "ok", answer.json
    return answer.json["stdout"]


def probe(stack, targets, wait=20, on=None):
    code = script(PROBE, TARGETS=targets, WAIT=wait)
    return json.loads(run(stack, code, on=on))


def keep(stack, name):
    answer = stack.api.post("/runner/new", {"name": name, "network": "nat"})
    assert answer.status == 200, answer.json
    return name


@pytest.fixture
def runner(net):
    name = keep(net, f"t{time.time_ns()}")
    yield name
    assert net.api.delete(f"/runner/{name}").status == 200


# ---- what is reached, and what is not ----


def test_the_internet_is_reached_as_the_host(net):
    found = probe(net, [("tcp", world.SERVER, 80), ("udp", world.SERVER, 8080)])
    assert found == {f"tcp {world.SERVER} 80": world.HOST, f"udp {world.SERVER} 8080": "hello"}


def test_without_it_there_is_loopback_alone(net):
    code = "cat /proc/net/dev | wc -l; ls /sys/class/net"
    for fields in ({}, {"network": "none"}, {"network": None}):
        answer = net.api.post("/runner/run", {"code": code, **fields})
        assert answer.json["stdout"] == "3\nlo\n", answer.json


def all_closed(found):
    """TCP is refused at once; of UDP only some is, as the kernel sends few ICMP messages."""
    said = {"tcp": {REFUSED}, "udp": {"No route to host", "silence"}}
    return found and all(said[what.split()[0]] >= {answer} for what, answer in found.items())


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_private_and_metadata_addresses_are_closed(net, protocol):
    open_too = [(protocol, world.SERVER, 80)]
    found = probe(net, [(protocol, address, 80) for address in world.CLOSED] + open_too, wait=3)
    assert found.pop(f"{protocol} {world.SERVER} 80") in (world.HOST, "hello")
    assert len(found) == len(world.CLOSED) and all_closed(found), found


def test_the_host_is_closed_by_every_address_of_its(net):
    """Whatever listens there: its manager, for one."""
    plan = json.loads(net.world.host.run("ip", "-j", "-4", "addr"))
    addresses = [entry["local"] for link in plan for entry in link["addr_info"]]
    own = [address for address in addresses if address != "127.0.0.1"]
    assert world.HOST in own and len(own) == 2  # and the gateway
    kinds = [(kind, port) for kind in ("tcp", "udp") for port in (80, 8080, 53)]
    found = probe(net, [(kind, one, port) for kind, port in kinds for one in own], wait=3)
    assert len(found) == 12 and all_closed(found), found


def test_mail_is_closed(net):
    found = probe(net, [("tcp", world.SERVER, 25), ("udp", world.SERVER, 25)], wait=3)
    assert all_closed(found), found


def test_names_are_asked_of_the_resolver_alone(net):
    assert run(net, "cat /etc/resolv.conf") == f"nameserver {world.RESOLVER}\n"
    asked = [world.RESOLVER, world.OTHER_RESOLVER, world.SERVER]
    found = probe(net, [(kind, one, 53) for kind in ("udp", "tcp") for one in asked], wait=3)
    assert found.pop(f"udp {world.RESOLVER} 53") == "hello"
    assert found.pop(f"tcp {world.RESOLVER} 53") == world.HOST
    assert len(found) == 4 and all_closed(found), found
    assert probe(net, [("tcp", world.RESOLVER, 853)]) == {f"tcp {world.RESOLVER} 853": REFUSED}


def address_of(stack, runner):
    link = json.loads(stack.inside(runner, "ip", "-j", "-4", "addr", "show", "eth0"))[0]
    return link["addr_info"][0]["local"]


def test_neighbours_do_not_reach_each_other(net, runner):
    other = keep(net, f"n{time.time_ns()}")
    listen = "python3 -m http.server 8000 >/dev/null 2>&1 & sleep 600 >/dev/null 2>&1 &"
    run(net, listen, on=other)
    eventually(lambda: ":1F40 " in net.inside(other, "cat", "/proc/net/tcp"), "it listens")
    target = address_of(net, other)
    assert probe(net, [("tcp", target, 8000)], on=runner) == {f"tcp {target} 8000": REFUSED}
    assert net.api.delete(f"/runner/{other}").status == 200


# ---- what a runner with every privilege in its namespace could send ----

# Sends frames, and shows those that come to an interface until the last one.
_SEND = r"""
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0))
for text in sys.argv[1:]:
    raw.send(bytes.fromhex(text))
"""
_WATCH = r"""
import json, socket, sys, time
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind((sys.argv[1], 0))
raw.settimeout(60)
print("ready", flush=True)
seen = []
while True:
    frame, source = raw.recvfrom(2048)
    if source[2] == 4 or b"codeland" not in frame:
        continue  # its own, or nobody's
    seen.append(frame.hex())
    if b"codeland-last" in frame:
        break
print(json.dumps(seen))
"""
GATEWAY_MAC = bytes.fromhex("02c1ff000001")
MARK = b"codeland-mark"


def checksum(data):
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def packed(address):
    return bytes(map(int, address.split(".")))


def datagram(source, target, text):
    """IPv4 and UDP, port 4000 to 8080."""
    udp = (4000).to_bytes(2, "big") + (8080).to_bytes(2, "big")
    udp += (8 + len(text)).to_bytes(2, "big") + b"\0\0" + text
    head = bytes.fromhex("4500") + (20 + len(udp)).to_bytes(2, "big")
    head += bytes.fromhex("0000400040110000")
    head += packed(source) + packed(target)
    return head[:10] + checksum(head) + head[12:] + udp


def test_what_is_not_its_own_is_dropped_at_its_port(net, runner):
    """Spoofed addresses and MACs, ARP, IPv6 with RA and NDP, VLANs, broadcast: none of them comes
    out of the bridge; the runner's own packet, sent last, does.
    """
    own = address_of(net, runner)
    link = json.loads(net.inside(runner, "ip", "-j", "link", "show", "eth0"))[0]
    mac = bytes.fromhex(link["address"].replace(":", ""))
    to_gateway = GATEWAY_MAC + mac
    good = datagram(own, world.SERVER, MARK)
    other_mac = bytes.fromhex("02c100000099")
    everybody = b"\xff" * 6
    arp = bytes.fromhex("08060001080006040002") + mac + packed("198.19.0.1")
    arp += everybody + packed(own)
    router = bytes.fromhex("86dd60000000001040ff") + b"\xfe\x80" + b"\0" * 13 + b"\x01"
    router += bytes.fromhex("ff020000000000000000000000000001") + b"\x86\0" + MARK
    frames = [
        to_gateway + b"\x08\x00" + datagram("198.19.0.77", world.SERVER, MARK),  # a neighbour's
        to_gateway + b"\x08\x00" + datagram(world.SERVER, world.HOST, MARK),  # a stranger's
        GATEWAY_MAC + other_mac + b"\x08\x00" + good,
        everybody + mac + b"\x08\x00" + good,
        everybody + mac + arp + MARK,
        to_gateway + arp + MARK,
        bytes.fromhex("333300000001") + mac + router,
        to_gateway + router,
        to_gateway + b"\x81\x00\x00\x01\x08\x00" + good,
        bytes.fromhex("0180c2000000") + mac + b"\x00\x26\x42\x42\x03" + MARK,  # a spanning tree
        to_gateway + b"\x08\x00" + datagram(own, world.SERVER, b"codeland-last"),
    ]
    watch = net.world.host.start_python(_WATCH, net.bridge())
    net.inside(runner, "/usr/bin/python3", "-c", _SEND, *[one.hex() for one in frames])
    seen = json.loads(watch())
    assert [bytes.fromhex(frame)[14:] for frame in seen] == [frames[-1][14:]], seen


def test_no_ipv6_at_either_end(net, runner):
    assert net.inside(runner, "ip", "-6", "addr", "show", "dev", "eth0") == ""
    for name in (net.port_of(runner), net.bridge()):
        assert net.world.host.run("ip", "-6", "addr", "show", "dev", name) == ""
    shown = net.world.host.run("bridge", "-j", "-d", "link", "show", "dev", net.port_of(runner))
    port = json.loads(shown)[0]
    assert port["isolated"]
    assert not any(port[name] for name in ("learning", "flood", "mcast_flood", "bcast_flood"))


# ---- bounds ----


def test_connections_at_once_are_bounded(new_net):
    stack = new_net({"network.connections": 8, "network.connection_rate": 1000}).start()
    code = script(
        r"""
import socket
kept, errors = [], []
for _ in range(20):
    one = socket.socket()
    one.settimeout(20)
    try:
        one.connect(TARGET)
        kept.append(one)
    except OSError as error:
        errors.append(error.strerror)
print(len(kept), set(errors))
""",
        TARGET=(world.SERVER, 80),
    )
    assert run(stack, code) == f"8 {{'{REFUSED}'}}\n"
    assert run(stack, code) == f"8 {{'{REFUSED}'}}\n"  # the next of that address has its own


def test_connections_begun_are_bounded(new_net):
    """Far fewer of a burst come through than were sent."""
    stack = new_net({"network.connection_rate": 5}).start()
    code = script(
        r"""
import socket
ones = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
for one in ones:
    one.sendto(b"x", TARGET)
answered = 0
for one in ones:
    one.settimeout(0.02)
    try:
        one.recv(10)
        answered += 1
    except TimeoutError:
        pass
print(answered)
""",
        TARGET=(world.SERVER, 8080),
    )
    assert 1 <= int(run(stack, code)) <= 50


def test_packets_are_bounded(new_net):
    """The first hundred of a burst, and what a slow machine's seconds let through."""
    stack = new_net({"network.packets": 100, "network.connections": 10}).start()
    code = script(
        r"""
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(TARGET)
begin = time.monotonic()
for _ in range(5000):
    one.send(b"x")
took = time.monotonic() - begin
one.settimeout(1)
answered = 0
try:
    while True:
        one.recv(10)
        answered += 1
except TimeoutError:
    pass
print(answered, took)
""",
        TARGET=(world.SERVER, 8080),
    )
    answered, took = map(float, run(stack, code).split())
    assert 1 <= answered <= 100 + 100 * (took + 2), (answered, took)


# ---- settings ----


def test_switched_off_it_is_forbidden(new_net):
    stack = new_net({"network.nat": "no"}).start()
    answer = stack.api.post("/runner/run", {"code": "true", "network": "nat"})
    check_error(answer, 403, "forbidden", "network.nat")
    assert stack.world.host.links() == ["lo", "up0"]


def test_what_is_opened_is_open_and_no_more(new_net):
    stack = new_net({"network.open": "192.168.1.0/24", "network.closed_ports": ""}).start()
    targets = [("192.168.1.1", 80), ("10.0.0.5", 80), (world.SERVER, 25)]
    found = probe(stack, [("tcp", *target) for target in targets])
    assert list(found.values()).count(world.HOST) == 2 and found["tcp 10.0.0.5 80"] == REFUSED
    assert all_closed(probe(stack, [(kind, "192.168.1.1", 53) for kind in ("udp", "tcp")], wait=3))


def test_a_resolver_may_be_private_or_the_host_itself(new_net):
    resolvers = f"{world.LAN_RESOLVER} {world.HOST}"
    stack = new_net({"network.resolvers": resolvers}).start()
    found = probe(stack, [(kind, one, 53) for kind in ("udp", "tcp") for one in resolvers.split()])
    assert REFUSED not in found.values() and "silence" not in found.values(), found
    found = probe(stack, [("tcp", one, 80) for one in resolvers.split()])
    assert set(found.values()) == {REFUSED}


def test_a_subnet_that_is_in_use_is_refused(new_net):
    stack = new_net()
    stack.world.host.run("ip", "route", "add", "198.19.7.0/24", "via", world.GATEWAY)
    stack.start()
    answer = stack.api.post("/runner/run", {"code": "true", "network": "nat"})
    check_error(answer, 503, "RunnerNotAvailable", "198.19.7.0/24: choose another")
    stack.world.host.run("ip", "route", "del", "198.19.7.0/24")
    assert probe(stack, [("tcp", world.SERVER, 80)])


def test_without_a_way_out_it_says_so(new_net):
    stack = new_net()
    stack.world.host.run("ip", "route", "del", "default")
    stack.start()
    answer = stack.api.post("/runner/run", {"code": "true", "network": "nat"})
    check_error(answer, 503, "RunnerNotAvailable", "no default route")
    assert stack.world.host.links() == ["lo", "up0"]
    stack.world.host.run("ip", "route", "add", "default", "via", world.GATEWAY)
    assert probe(stack, [("tcp", world.SERVER, 80)])


# ---- what stays ----


def test_forwarding_is_turned_on_for_runners_alone(new_net):
    """The host hands on nothing for others that it did not before, and is as it was in the end."""
    stack = new_net().start()
    assert set(stack.world.host.forwarding().values()) == {"0"}
    run(stack, "true")
    after = stack.world.host.forwarding()
    assert after["all"] == "0" and after["lo"] == "0" and after["up0"] == "1"
    # Somebody in the world takes the host for a router: what it handed on would come back.
    stack.world.world.run("ip", "route", "add", "11.99.99.99/32", "via", world.HOST)
    watch = stack.world.world.start_python(_WATCH, "in0")
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(TEXT, TO)"
    stack.world.world.python(f"TEXT, TO = b'codeland-mark', ('11.99.99.99', 8080)\n{send}")
    run(stack, script(send, TEXT=b"codeland-last", TO=(world.SERVER, 8080)))
    seen = [bytes.fromhex(one) for one in json.loads(watch())]
    assert len(seen) == 1 and b"codeland-last" in seen[0]


def test_forwarding_that_was_on_stays_on(new_net):
    stack = new_net()
    stack.world.host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    before = stack.world.host.everything()
    stack.start()
    run(stack, "true")
    assert "elements = { \"up0\" }" not in stack.world.host.rules()
    stack.stop()
    assert stack.world.host.everything() == before
    stack.world.host.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")


def test_a_hundred_come_and_go_without_a_trace(net):
    keep(net, "resident")
    before = net.world.host.everything()
    descriptors = host.descriptors(net.helper())
    connect = "import socket; print(socket.create_connection(TARGET, 20).recv(99))"
    target = script(connect, TARGET=(world.SERVER, 80))
    workers(4, [lambda: run(net, target)] * 100)
    eventually(lambda: net.world.host.everything() == before, "all is as it was")
    assert host.descriptors(net.helper()) == descriptors
    address = address_of(net, "resident")
    mine = [line for line in net.world.host.connections().splitlines() if "src=198.19." in line]
    left = [line for line in mine if f"src={address} " not in line]
    assert left == []
    assert net.api.delete("/runner/resident").status == 200


def test_a_deleted_runner_has_no_port_when_the_answer_comes(net):
    keep(net, "short")
    port = net.port_of("short")
    assert port in net.world.host.links()
    assert net.api.delete("/runner/short").status == 200
    assert port not in net.world.host.links()


# ---- the worker's own ends ----


def test_named_runner_keeps_its_network_when_the_worker_is_killed(new_net):
    stack = new_net().start()
    keep(stack, "demo")
    pid = stack.init_pid("demo")
    # A fresh one, another manager's, is in use when the worker dies, and its port is left.
    before = set(stack.world.host.links())
    with stack.link() as link:
        fields = run_fields(argv=["sleep", "600"], network="nat", queueMs=30000)
        link.send(frame("RUN", fields), frame("STDIN_EOF"))
        next(answer for kind, answer in link.answers() if kind == "STARTED")
        (port,) = set(stack.world.host.links()) - before
        stack.worker.kill()
    assert port in stack.world.host.links()
    stack.worker.start()
    stack.wait_ready()
    eventually(lambda: stack.init_pid("demo") == pid, "demo is back")
    eventually(lambda: probe(stack, [("tcp", world.SERVER, 80)], on="demo"), "demo runs")
    assert probe(stack, [("tcp", world.SERVER, 80), ("tcp", "10.0.0.5", 80)], on="demo") == {
        f"tcp {world.SERVER} 80": world.HOST,
        "tcp 10.0.0.5 80": REFUSED,
    }
    eventually(lambda: port not in stack.world.host.links(), "the dead one's port is gone")
    assert stack.api.delete("/runner/demo").status == 200


def test_killed_worker_without_named_runners_leaves_nothing_for_long(new_net):
    stack = new_net().start()
    clean = stack.world.host.everything()
    run(stack, "true")
    stack.worker.kill()
    assert stack.world.host.everything() != clean
    stack.worker.start()
    stack.wait_ready()
    eventually(lambda: stack.world.host.everything() == clean, "all is as it was")


def test_dead_helper_ends_the_worker_and_the_next_goes_on(new_net):
    stack = new_net().start()
    run(stack, "true")
    helper = stack.helper()
    stack.expect_error("network's process died")
    os.kill(helper, signal.SIGKILL)
    assert stack.worker.wait() == 1
    stack.worker.start()
    stack.wait_ready()
    assert probe(stack, [("tcp", world.SERVER, 80)])
