#: group processes
#: tries zombies that their parent never waits for
#: holds they count as processes, and end with the runner
#: status ok pids timeout
#: time-ms 20000

count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            os._exit(0)
        count += 1
except OSError:
    pass
print(count, "zombies")
if count >= 5000:
    escaped("5000 zombies")
held()
