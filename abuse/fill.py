#: group disk
#: tries a file system that is filled
#: holds it has a size of its own
#: status ok memory disk timeout
#: memory-mib 512
#: time-ms 30000

try:
    with open("hog", "wb", buffering=0) as file:
        for _ in range(4096):
            if file.write(bytes(1 << 20)) < 1 << 20:
                break
        else:
            escaped("4 GiB")
except OSError:
    pass
held()
