#: group views
#: tries every file of /proc/sys, /proc and /sys, opened to be written
#: holds none opens but a process's own
#: status ok
#: says-held yes
#: time-ms 60000

OWN = "/proc/self", "/proc/thread-self", f"/proc/{os.getpid()}", f"/proc/{os.getppid()}"
HARMLESS = {"/proc/net", "/proc/mounts"}
tried = 0
masked = os.stat("/dev/null").st_rdev
for top in "/proc", "/sys":
    for root, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not os.path.islink(os.path.join(root, name))]
        if root == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        for name in names:
            path = os.path.join(root, name)
            if os.path.islink(path):
                continue
            tried += 1
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            if os.fstat(fd).st_rdev != masked:
                escaped(path)
            os.close(fd)
if tried < 500:
    escaped(f"only {tried} files were there to try")
held()
