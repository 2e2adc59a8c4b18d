#: group objects
#: tries POSIX timers until there are no more
#: holds pending signals are bounded by user, and memory counts
#: status ok memory timeout
#: time-ms 8000
#: memory-mib 48

timer = ctypes.c_void_p()
count = 0
while _libc.timer_create(1, None, ctypes.byref(timer)) == 0:
    count += 1
    if count > 2000000:
        escaped("2 million timers")
held()
