#: group agent
#: tries unix sockets of the host: abstract names, and paths
#: holds its own network namespace and its own files
#: status ok
#: says-held yes

import socket

for line in open("/proc/net/unix").read().splitlines()[1:]:
    words = line.split()
    if len(words) > 7 and not words[7].endswith("/agent.sock"):
        escaped(words[7])
for path in "/run/docker.sock", "/run/systemd/private", "/run/dbus/system_bus_socket", "\0/org/kernel/udev":
    must_fail(path, lambda: socket.socket(socket.AF_UNIX).connect(path))
held()
