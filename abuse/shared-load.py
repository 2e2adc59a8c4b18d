#: group neighbours
#: tries a neighbour that computes, forks and writes as much as it can
#: holds shares of processor time and own file systems: the other's run is served
#: status ok timeout cpu_timeout pids memory disk
#: runs 2
#: time-ms 2000

if sys.argv[1] == "1":
    for _ in range(100):
        if os.fork() == 0:
            while True:
                with open(f"hog-{os.getpid()}", "wb") as file:
                    file.write(bytes(1 << 20))
                os.unlink(file.name)
    while True:
        pass
print("held")
