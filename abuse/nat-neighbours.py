#: group network
#: tries a neighbour with a network: its ports by TCP and UDP, also under another's address
#: holds ports of the bridge are isolated, and addresses are pinned
#: status ok
#: says-held yes
#: optional yes
#: runs 2
#: time-ms 60000
#: request {"network": "nat"}

import fcntl
import socket
import struct
import time

PORT = 47112
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", b"eth0"))[20:24]  # SIOCGIFADDR
first = int.from_bytes(own, "big")
near = [
    socket.inet_ntoa((first + step).to_bytes(4, "big"))
    for step in range(-40, 41)
    if step and 0 < (first + step) & 0xFF < 255
]
server = socket.create_server(("0.0.0.0", PORT))
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("0.0.0.0", PORT))
server.setblocking(False)
listener.setblocking(False)


def datagram(source, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: any source may be asked for
        try:
            one.bind((source, 0))
            one.sendto(b"neighbour", (address, PORT))
        except OSError:
            pass


deadline = time.monotonic() + 6
while time.monotonic() < deadline:  # both are there for most of it
    for address in near:
        with socket.socket() as knock:
            knock.settimeout(0.3)
            try:
                knock.connect((address, PORT))
                escaped(f"{address} is a neighbour, and answers")
            except OSError:
                pass
        for source in "0.0.0.0", near[0], "8.8.8.8":
            datagram(source, address)
        if time.monotonic() > deadline:
            break
    for one in server, listener:
        try:
            came = one.accept()[1] if one is server else one.recvfrom(100)[1]
        except BlockingIOError:
            continue
        escaped(f"something came from {came[0]}")
held()
