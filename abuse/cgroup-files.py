#: group views
#: tries its own limits
#: holds no cgroup file can be written, wherever one may be seen
#: status ok
#: says-held yes

for line in open("/proc/self/mountinfo"):
    kind, point = line.split(" - ")[1].split()[0], line.split()[4]
    if not kind.startswith("cgroup"):
        continue
    for root, _, names in os.walk(point):
        for name in names:
            path = os.path.join(root, name)
            if os.access(path, os.W_OK):
                must_fail(path, lambda: os.open(path, os.O_WRONLY))
held()
