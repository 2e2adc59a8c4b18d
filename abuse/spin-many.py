#: group processor
#: tries a hundred processes that compute for ever
#: holds a runner has its share of the processors, whatever their number
#: status timeout cpu_timeout pids
#: time-ms 1200

for _ in range(99):
    if os.fork() == 0:
        break
while True:
    pass
