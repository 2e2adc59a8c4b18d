#: group objects
#: tries terminals until there are no more
#: holds the runner has its own, and a bounded number of them
#: status ok
#: says-held yes
#: time-ms 60000

kept = []
try:
    for _ in range(1000):
        kept.append(os.openpty())
except OSError:
    held()
escaped("1000 terminals")
