#: group memory
#: tries more memory than it may have
#: holds the cgroup's limit, and no swap
#: status memory timeout
#: memory-mib 48
#: time-ms 20000

hog = []
for _ in range(64):
    hog.append(bytearray(b"x" * (4 << 20)))
escaped("256 MiB")
