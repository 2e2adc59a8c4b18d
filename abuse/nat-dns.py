#: group network
#: tries name servers but its own, and as many questions as a tunnel needs
#: holds port 53 is open to the configured resolvers alone, and what is begun is bounded
#: status ok
#: says-held yes
#: optional yes
#: time-ms 60000
#: request {"network": "nat"}

import select
import socket
import time

own = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
QUESTION = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x04data\x06tunnel\x07example\x00\x00\x10\x00\x01"
# Addresses of documentation and of the well-known: closed before they leave the host.
others = [one for one in ("192.0.2.53", "198.51.100.53", "1.1.1.1", "8.8.8.8", "9.9.9.9") if one not in own]
for address in others:
    for port in 53, 853:
        with socket.socket() as tcp:
            tcp.settimeout(2)
            must_fail(f"{address} port {port}", lambda: tcp.connect((address, port)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(1)
            udp.connect((address, port))

            def ask():
                udp.send(QUESTION)
                return udp.recv(512)

            must_fail(f"{address} port {port} by UDP", ask)
bound = int(os.environ["ABUSE_CONNECTIONS"])
asked, answered, waiting = 0, 0, []
if own and bound <= 512:
    for _ in range(900):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setblocking(False)
        try:
            one.connect((own[0], 53))
            one.send(QUESTION)
            asked += 1
        except OSError:
            pass
        waiting.append(one)
    deadline = time.monotonic() + 3
    poller = select.poll()
    for one in waiting:
        poller.register(one, select.POLLIN)
    while time.monotonic() < deadline:
        for fd, events in poller.poll(200):
            poller.unregister(fd)
            answered += events & select.POLLIN != 0 and not events & select.POLLERR
print(asked, "asked,", answered, "answered")
if answered > bound + 64:
    escaped(f"{answered} answers, and {bound} connections may be open")
held()
