#: group kernel
#: tries SCTP, DCCP, MPTCP and the like, and netlink but for routes
#: holds the filter refuses what the kernel would load for it
#: status ok
#: says-held yes

import socket

for protocol in 33, 115, 132, 136, 256, 262:
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET:
        error = must_fail(f"protocol {protocol}", lambda: socket.socket(socket.AF_INET, kind, protocol))
        if error != errno.EPROTONOSUPPORT:
            escaped(f"protocol {protocol} is asked for: {os.strerror(error)}")
for protocol in 2, 4, 6, 9, 12, 15, 16, 21:
    must_fail(f"netlink {protocol}", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))
held()
