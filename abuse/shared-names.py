#: group neighbours
#: tries two runners that take the same names: abstract sockets, ports, shared memory, queues, semaphores
#: holds each has namespaces of its own
#: status ok
#: says-held yes
#: runs 2

def both(seconds=0.6):
    """The other does the same at the same time: what is taken is held while it tries."""
    import time
    time.sleep(seconds)


import socket

KEY = 0x0C0DE1A2
unix = socket.socket(socket.AF_UNIX)
unix.bind("\0codeland-selftest")
port = socket.create_server(("127.0.0.1", 47111))
for what, taken in (
    ("shared memory", _libc.shmget(KEY, 4096, 0o3600)),
    ("a semaphore", _libc.semget(KEY, 1, 0o3600)),
    ("a queue", _libc.msgget(KEY, 0o3600)),
    ("POSIX shared memory", os.open("/dev/shm/codeland-selftest", os.O_CREAT | os.O_EXCL | os.O_RDWR)),
    ("a POSIX queue", ctypes.CDLL("librt.so.1").mq_open(b"/codeland", 0o302, 0o600, None)),
):
    if taken < 0:
        escaped(f"{what} is taken by the neighbour")
both()
held()
