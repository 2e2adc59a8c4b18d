#: group views
#: tries devices of the host
#: holds null, zero, full, random, urandom, tty and terminals of its own
#: status ok
#: says-held yes
#: time-ms 60000

import stat

ALLOWED = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
for root, folders, names in os.walk("/"):
    if root in ("/proc", "/sys", "/dev/pts"):
        folders[:] = []
        continue
    for name in names:
        path = os.path.join(root, name)
        mode = os.lstat(path).st_mode
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) and not (root == "/dev" and name in ALLOWED):
            escaped(path)
held()
