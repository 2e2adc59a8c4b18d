#: group network
#: tries metadata, private, multicast and public addresses, by IPv4 and IPv6
#: holds there is no way to any
#: status ok
#: says-held yes

import socket

ADDRESSES = (
    "169.254.169.254 169.254.170.2 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 100.100.100.200 192.0.2.1 "
    "224.0.0.1 255.255.255.255 fd00:ec2::254 fe80::1 2001:db8::1 ff02::1"
).split()
for address in ADDRESSES:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        with socket.socket(family, kind) as knock:
            knock.settimeout(5)
            must_fail(address, lambda: knock.connect((address, 80)))
held()
