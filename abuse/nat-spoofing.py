#: group network
#: tries ARP, NDP, RA and forged MACs and addresses from a runner with a network
#: holds no capability to make such packets or to change its interface, and no IPv6
#: status ok
#: says-held yes
#: optional yes
#: request {"network": "nat"}

import fcntl
import socket
import struct

for family in (socket.AF_PACKET,):
    for protocol in 0x0003, 0x0806, 0x86DD, 0x888E, 0x88CC:
        must_fail("a packet socket", lambda: socket.socket(family, socket.SOCK_RAW, socket.htons(protocol)))
for protocol in 1, 2, 255:
    must_fail("a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol))
must_fail("raw ICMPv6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
name = struct.pack("16s", b"eth0")
for what, number in ("the MAC", 0x8924), ("the address", 0x8916), ("its state", 0x8914), ("its size", 0x8922), ("ARP", 0x8955):
    must_fail(what, lambda: fcntl.ioctl(plain.fileno(), number, name + bytes(24)))
must_fail("a transparent socket", lambda: plain.setsockopt(socket.IPPROTO_IP, 19, 1))
must_fail("a mark", lambda: plain.setsockopt(socket.SOL_SOCKET, 36, 1))
must_fail("a receive buffer beyond its bound", lambda: plain.setsockopt(socket.SOL_SOCKET, 33, 1 << 28))
# RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH, RTM_NEWLINK, RTM_NEWQDISC
index = socket.if_nametoindex("eth0")
route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
route.settimeout(10)
for kind, body in (
    (20, struct.pack("BBBBI", 2, 24, 0, 0, index) + struct.pack("HH", 8, 2) + socket.inet_aton("198.19.0.77")),
    (24, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + struct.pack("HHI", 8, 4, index)),
    (28, struct.pack("BxxxiHBB", 2, index, 0x80, 0, 0) + struct.pack("HH", 8, 1) + socket.inet_aton("198.19.0.1")),
    (16, struct.pack("BxHiII", 0, 0, index, 1, 1) + struct.pack("HH6s2x", 10, 1, b"\2\0\0\0\0\1")),
    (36, struct.pack("BxxxiIII", 0, index, 0, 0xFFFFFFFF, 0)),
):
    route.send(struct.pack("IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
    answer = route.recv(65536)
    if struct.unpack_from("i", answer, 16)[0] != -errno.EPERM:
        escaped(f"netlink message {kind}: {struct.unpack_from('i', answer, 16)[0]}")
if any(line.split()[5] != "lo" for line in open("/proc/net/if_inet6")):
    escaped("its interface has IPv6")
held()
