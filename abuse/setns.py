#: group kernel
#: tries entering another namespace
#: holds the filter refuses it, and there is none to be seen
#: status ok
#: says-held yes

must_refuse("setns", os.open("/proc/self/ns/user", os.O_RDONLY), 0)
must_fail("PID 1's namespaces", lambda: os.open("/proc/1/ns/mnt", os.O_RDONLY))
held()
