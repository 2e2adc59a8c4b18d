#: group memory
#: tries kernel memory by pipes that are filled
#: holds the kernel's objects count as the runner's memory
#: status ok memory timeout
#: memory-mib 48
#: time-ms 20000

import fcntl

total = 0
try:
    while total < 512 << 20:
        _, end = os.pipe2(os.O_NONBLOCK)
        try:
            fcntl.fcntl(end, 1031, 1 << 20)  # F_SETPIPE_SZ
        except OSError:
            pass
        try:
            while True:
                total += os.write(end, bytes(65536))
        except BlockingIOError:
            pass
except OSError:
    held()
escaped("512 MiB in pipes")
