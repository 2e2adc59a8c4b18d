#: group kernel
#: tries sockets of odd families: VSOCK, ALG, PACKET, CAN, TIPC, Bluetooth and the rest
#: holds the filter lets through four
#: status ok
#: says-held yes

import socket

for family in range(64):
    if family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        continue
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET:
        error = must_fail(f"family {family}", lambda: socket.socket(family, kind, 0))
        if error != errno.EAFNOSUPPORT:
            escaped(f"family {family} is known: {os.strerror(error)}")
held()
