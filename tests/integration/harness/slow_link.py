"""A second way to a host that loses packets and takes its time: two tun devices, one here and one in
the host's network, and a process that carries each packet from one to the other, late or never.

    slow_link.py NETNS HERE THERE LOSS DELAY COUNT_FILE
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
CLONE_NEWNET = 0x40000000


def open_tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def configure(name, address, peer):
    subprocess.run(["ip", "addr", "add", address, "peer", peer, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up", "mtu", "1400"], check=True)


def carry(ends, loss, delay, count_file):
    chance = random.Random(1)
    late = []  # (when, order, to, packet)
    order = dropped = 0
    while True:
        now = time.monotonic()
        while late and late[0][0] <= now:
            _, _, to, packet = heapq.heappop(late)
            os.write(to, packet)
        wait = max(0, late[0][0] - now) if late else None
        for fd in select.select(ends, [], [], wait)[0]:
            packet = os.read(fd, 65536)
            if chance.random() < loss:
                dropped += 1
                with open(count_file, "w", encoding="ascii") as file:
                    file.write(str(dropped))
                continue
            order += 1
            to = ends[1] if fd == ends[0] else ends[0]
            heapq.heappush(late, (time.monotonic() + delay, order, to, packet))


def main():
    netns, here, there, loss, delay, count_file = sys.argv[1:]
    name = f"clt{here.split('.')[2]}"
    outside = open_tun(name)
    configure(name, here, there)
    with open(f"/run/netns/{netns}", "rb") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET) != 0:
            sys.exit("setns failed")
    inside = open_tun("slow0")
    configure("slow0", there, here)
    with open(count_file, "w", encoding="ascii") as file:
        file.write("0")
    carry([outside, inside], float(loss), float(delay), count_file)


class SlowLink:
    def __init__(self, host, loss, delay):
        here, self.address = (f"198.19.{host.slot.number}.{last}" for last in (1, 2))
        self._count = os.path.join(host.folder, "dropped")
        words = ["/usr/bin/python3", __file__, host.name, here, self.address, str(loss), str(delay), self._count]
        self._host, self._words, self._process = host, words, None

    def __enter__(self):
        from .wait import eventually

        self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL)
        eventually(lambda: os.path.exists(self._count), "the slow link is there")
        return self

    def dropped(self):
        with open(self._count, encoding="ascii") as file:
            return int(file.read() or 0)

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


if __name__ == "__main__":
    main()
