#: group objects
#: tries inotify instances until there are no more
#: holds the kernel counts them by user, and a user of a runner is nobody else's
#: status ok
#: says-held yes
#: time-ms 60000
#: memory-mib 128

count = 0
while _libc.inotify_init1(0) >= 0:
    count += 1
    if count > 100000:
        escaped("100,000 instances")
held()
