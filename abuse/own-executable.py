#: group views
#: tries overwriting /proc/self/exe and the agent's (CVE-2019-5736)
#: holds the agent is a read-only mount, and PID 1's is nobody's to open
#: status ok
#: says-held yes

for path in "/proc/self/exe", "/proc/1/exe", "/usr/libexec/crunner":
    must_fail(path, lambda: os.open(path, os.O_WRONLY))
must_fail("PID 1's program", lambda: os.open("/proc/1/exe", os.O_RDONLY))
held()
