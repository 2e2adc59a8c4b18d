#: group network
#: tries metadata, private, multicast and the host's own addresses, from a runner with a network
#: holds the firewall: the internet alone is open, and of the host nothing
#: status ok
#: says-held yes
#: optional yes
#: time-ms 60000
#: request {"network": "nat"}

import ipaddress
import socket
import threading

host, port = sys.argv[2].rsplit(":", 1)
own = [address for address in os.environ["ABUSE_HOSTS"].split(",") if address]
gateway = next(
    socket.inet_ntoa(bytes.fromhex(line.split()[2])[::-1])
    for line in open("/proc/net/route").readlines()[1:]
    if line.split()[1] == "00000000"
)
SPECIAL = (
    "169.254.169.254 169.254.170.2 10.0.0.1 172.16.0.1 192.168.0.1 192.168.1.1 100.64.0.1 "
    "100.100.100.200 168.63.129.16 192.0.0.192 198.18.0.1 203.0.113.1 224.0.0.1 240.0.0.1"
).split()
servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
# A resolver may be private, or the host: its port 53 is open then, and nothing else of it.
resolvers = [one for one in servers if ipaddress.ip_address(one).is_private]
tries = [(address, number) for address in SPECIAL for number in (80, 443)]
tries += [(address, int(port)) for address in own]
tries += [(address, number) for address in own + [gateway] + resolvers for number in (22, 80, 111, 2375, 6443)]
tries += [("::1", int(port)), ("fe80::1%eth0", 80), ("2001:db8::1", 80), ("fd00:ec2::254", 80)]
reached = []


def knock(address, number):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one:
        one.settimeout(4)
        try:
            one.connect((address, number))
            reached.append(f"{address} port {number}")
        except OSError:
            pass


threads = [threading.Thread(target=knock, args=place) for place in tries]
for at in range(0, len(threads), 40):
    for thread in threads[at : at + 40]:
        thread.start()
    for thread in threads[at : at + 40]:
        thread.join()
if reached:
    escaped(", ".join(reached[:5]))
held()
