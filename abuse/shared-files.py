#: group neighbours
#: tries two runners that signal by locks and leases on the template's files
#: holds each overlay has inodes of its own
#: status ok
#: says-held yes
#: runs 2

def both(seconds=0.6):
    """The other does the same at the same time: what is taken is held while it tries."""
    import time
    time.sleep(seconds)


import fcntl

for path in "/usr/bin/python3", "/bin/sh", "/etc/passwd":
    file = open(path, "rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        escaped(f"{path} is locked by the neighbour")
    globals()[path] = file
both()
held()
