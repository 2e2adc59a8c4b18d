#: group objects
#: tries System V semaphores and message queues until there are no more
#: holds an ipc namespace of its own, and kernel memory counts
#: status ok memory timeout
#: memory-mib 64
#: time-ms 50000

sets = 0
while _libc.semget(0, 250, 0o1600) >= 0 and sets < 200000:
    sets += 1
queues = 0
while _libc.msgget(0, 0o1600) >= 0 and queues < 200000:
    queues += 1
if sets == 200000 or queues == 200000:
    escaped("200,000 of them")
held()
