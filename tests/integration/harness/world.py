"""A host of the test's own and the internet around it, in two network namespaces that are gone with
the test: the machine's own interfaces, rules and settings are never touched, and nothing leaves it.

    runner ── bridge ── HOST 11.0.0.2 ── 11.0.0.1 WORLD: servers on every address of ADDRESSES
"""

import ctypes
import json
import os
import signal
import subprocess
import sys

from . import host
from .stack import Stack
from .wait import eventually

GATEWAY, HOST = "11.0.0.1", "11.0.0.2"
SERVER = "11.22.33.44"  # somewhere in the internet
RESOLVER, OTHER_RESOLVER = "11.53.53.53", "11.8.8.8"
LAN_RESOLVER = "192.168.53.53"
CLOSED = [  # none of them leaves a host; here all of them would answer
    "10.0.0.5",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
]
ADDRESSES = [SERVER, RESOLVER, OTHER_RESOLVER, LAN_RESOLVER, *CLOSED]
PORTS = [25, 53, 80, 853, 8080]  # of TCP and of UDP

_libc = ctypes.CDLL(None, use_errno=True)

# Says to each TCP client who it is, and then what it says; sends each datagram back.
_SERVE = """
import selectors, socket, sys
ready = selectors.DefaultSelector()
for port in map(int, sys.argv[2:]):
    server = socket.create_server(("0.0.0.0", port), backlog=512)
    ready.register(server, selectors.EVENT_READ, "tcp")
    for address in sys.argv[1].split():  # so that answers come from there
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, port))
        ready.register(udp, selectors.EVENT_READ, "udp")
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        if key.data == "tcp":
            client, address = key.fileobj.accept()
            client.sendall(address[0].encode() + b"\\n")
            ready.register(client, selectors.EVENT_READ, "client")
        elif key.data == "udp":
            data, address = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(data, address)
        else:
            try:
                data = key.fileobj.recv(65536)
                key.fileobj.sendall(data)
            except OSError:
                data = b""
            if not data:
                ready.unregister(key.fileobj)
                key.fileobj.close()
"""


def _die_with_us():
    _libc.prctl(1, signal.SIGKILL)


class Namespace:
    """A network namespace that a process of its own holds."""

    def __init__(self):
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"],
            stdout=subprocess.PIPE,
            preexec_fn=_die_with_us,
        )
        self._holder.stdout.readline()
        self._helpers = []

    @property
    def pid(self):
        return self._holder.pid

    def command(self, *words):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *words]

    def run(self, *words, check=True):
        """What a command in there says."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def python(self, text, *words):
        return self.run(sys.executable, "-c", text, *words)

    def start_python(self, text, *words):
        """Starts it, waits until it says that it is ready; what comes back waits for its end and
        gives the rest of what it said.
        """
        process = subprocess.Popen(
            self.command(sys.executable, "-c", text, *words),
            stdout=subprocess.PIPE,
            preexec_fn=_die_with_us,
        )
        assert process.stdout.readline() == b"ready\n"
        return lambda: process.communicate(timeout=60)[0]

    def serve(self, addresses):
        helper = subprocess.Popen(
            self.command(sys.executable, "-c", _SERVE, " ".join(addresses), *map(str, PORTS)),
            stdout=subprocess.PIPE,
            preexec_fn=_die_with_us,
        )
        assert helper.stdout.readline() == b"ready\n"
        self._helpers.append(helper)

    def close(self):
        for process in (*self._helpers, self._holder):
            process.kill()
            process.wait()
            process.stdout.close()

    # ---- what is there ----

    def links(self):
        return sorted(link["ifname"] for link in json.loads(self.run("ip", "-j", "link")))

    def rules(self):
        return self.run("nft", "list", "ruleset")

    def forwarding(self):
        """{interface: "0" or "1"} and what is so for all."""
        files = self.run("sh", "-c", "grep -s . /proc/sys/net/ipv4/conf/*/forwarding || true")
        return {line.split("/")[6]: line.split(":")[1] for line in files.splitlines()}

    def connections(self):
        return self.python("print(open('/proc/net/nf_conntrack').read())")

    def everything(self):
        """All of it that a worker may change."""
        return {
            "links": self.links(),
            "rules": self.rules(),
            "forwarding": self.forwarding(),
            "routes": self.run("ip", "route", "show", "table", "all"),
            "neighbours": self.run("ip", "neigh", "show", "nud", "permanent"),
        }


class World:
    def __init__(self):
        self.host, self.world = Namespace(), Namespace()
        host, world = self.host, self.world
        for where in (host, world):  # Debian's lxc-net may have turned it on, which a new one inherits
            where.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
        host.run("ip", "link", "add", "up0", "type", "veth", "peer", "in0", "netns", str(world.pid))
        for where, name, address in ((host, "up0", HOST), (world, "in0", GATEWAY)):
            where.run("ip", "link", "set", "lo", "up")
            where.run("ip", "addr", "add", f"{address}/24", "dev", name)
            where.run("ip", "link", "set", name, "up")
        for address in ADDRESSES:
            world.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
        host.run("ip", "route", "add", "default", "via", GATEWAY)
        # Its own IPv6 address comes with routes, a second after the interface.
        settled = "ip -6 addr show dev up0 scope link -tentative | grep fe80"
        eventually(lambda: host.run("sh", "-c", settled, check=False), "the host is settled")
        world.serve(ADDRESSES)
        host.serve([HOST])  # what the host itself listens with, its manager for one

    def close(self):
        self.host.close()
        self.world.close()


class NetworkStack(Stack):
    """A stack whose worker is on the host of a world."""

    def __init__(self, world, settings=None):
        super().__init__({"network.resolvers": RESOLVER, **(settings or {})})
        self.world = world
        self.worker.argv = world.host.command(*self.worker.argv)

    def init_pid(self, runner):
        """Its first process, on this machine."""

        def find():
            detail = self.api.get(f"/runner/{runner}").json
            return detail.get("pid")

        return eventually(find, f"the pid of {runner} is known")

    def inside(self, runner, *words):
        """A command of the machine's, by its root, in the runner's network namespace: what a
        runner could send that had every privilege there.
        """
        namespace = f"--net=/proc/{self.init_pid(runner)}/ns/net"
        done = subprocess.run(
            ["nsenter", namespace, *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def bridge(self):
        return next(name for name in self.world.host.links() if name.endswith("_br"))

    def helper(self):
        """The worker's process for its network; the kernel keeps 15 characters of its name."""
        names = {host.status_field(pid, "Name"): pid for pid in host.children(self.worker.pid)}
        return names["codeland-networ"]

    def port_of(self, runner):
        """The host's end of its cable."""
        link = json.loads(self.inside(runner, "ip", "-j", "link", "show", "eth0"))[0]
        links = json.loads(self.world.host.run("ip", "-j", "link"))
        return next(one["ifname"] for one in links if one["ifindex"] == link["link_index"])
