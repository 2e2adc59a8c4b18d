#: group network
#: tries raw sockets: ARP, NDP, RA and forged addresses
#: holds no capability, and no packet sockets
#: status ok
#: says-held yes

import socket

must_fail("a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
must_fail("raw ICMPv6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
must_fail("a packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0806))
held()
