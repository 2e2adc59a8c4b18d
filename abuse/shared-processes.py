#: group neighbours
#: tries two runners that look for each other in /proc
#: holds each has a pid namespace
#: status ok
#: says-held yes
#: runs 2

def both(seconds=0.6):
    """The other does the same at the same time: what is taken is held while it tries."""
    import time
    time.sleep(seconds)


import ctypes

mine = b"neighbour-" + sys.argv[1].encode()
_libc.prctl(15, ctypes.c_char_p(mine))
both()
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        name = open(f"/proc/{pid}/comm", "rb").read().strip()
    except OSError:
        continue
    if name.startswith(b"neighbour-") and name != mine:
        escaped(name.decode())
held()
