#: group memory
#: tries memory by the cache of files that it reads again and again
#: holds the cache counts, and gives way within the limit
#: status ok memory timeout
#: memory-mib 48
#: time-ms 20000

read = 0
for root, _, names in os.walk("/usr/lib"):
    for name in names:
        path = os.path.join(root, name)
        if read < 64 << 20 and os.path.isfile(path):
            with open(path, "rb") as file:
                read += len(file.read(8 << 20))
held()
