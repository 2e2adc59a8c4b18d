#: group objects
#: tries POSIX message queues until there are no more
#: holds their memory is bounded by user
#: status ok memory
#: says-held yes
#: time-ms 60000
#: memory-mib 64

library = ctypes.CDLL("librt.so.1", use_errno=True)
count = 0
while library.mq_open(b"/q%d" % count, os.O_CREAT | os.O_RDWR, 0o600, None) >= 0:
    count += 1
    if count > 100000:
        escaped("100,000 queues")
held()
