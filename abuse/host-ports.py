#: group network
#: tries the manager's own address, and every port of loopback that a host may have open
#: holds its loopback is its own
#: status ok
#: says-held yes
#: time-ms 60000

import socket

host, port = sys.argv[2].rsplit(":", 1)
host = host.strip("[]")
places = [(host, int(port))] + [("127.0.0.1", port) for port in range(1, 10000, 7)] + [
    ("127.0.0.1", port) for port in (22, 25, 53, 80, 111, 443, 631, 2375, 3306, 5432, 6379, 8080)]
for place in places:
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    with socket.socket(family) as knock:
        knock.settimeout(5)
        must_fail(str(place), lambda: knock.connect(place))
held()
