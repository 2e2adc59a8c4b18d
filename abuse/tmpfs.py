#: group memory
#: tries memory by files in /dev/shm and /tmp
#: holds the runner's file system counts as its memory
#: status ok memory disk timeout
#: memory-mib 64
#: time-ms 20000

try:
    for folder in "/dev/shm", "/tmp":
        with open(folder + "/hog", "wb", buffering=0) as file:
            for _ in range(1024):
                file.write(bytes(1 << 20))
except OSError:
    held()
escaped("2 GiB of files")
