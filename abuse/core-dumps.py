#: group kernel
#: tries a core dump, which a host may hand to a program of root's
#: holds none is made, and nobody may change that
#: status ok
#: says-held yes

import resource

must_fail("core_pattern", lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
for limit in (0, 0), (resource.RLIM_INFINITY,) * 2:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, limit)
    except (OSError, ValueError):
        pass
if resource.getrlimit(resource.RLIMIT_CORE) != (1, 1):
    escaped("the limit is not 1, which alone stops a dump into a pipe")
child = os.fork()
if child == 0:
    os.abort()
_, status = os.waitpid(child, 0)
if os.WCOREDUMP(status):
    escaped("a core dump")
held()
