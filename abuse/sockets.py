#: group memory
#: tries kernel memory by sockets that are filled
#: holds the kernel's objects count as the runner's memory
#: status ok memory timeout
#: memory-mib 48
#: time-ms 20000

import socket

kept, total = [], 0
try:
    while total < 512 << 20:
        pair = socket.socketpair()
        kept.append(pair)
        pair[0].setblocking(False)
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        try:
            while True:
                total += pair[0].send(bytes(65536))
        except BlockingIOError:
            pass
except OSError:
    held()
escaped("512 MiB in sockets")
