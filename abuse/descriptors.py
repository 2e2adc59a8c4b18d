#: group objects
#: tries open files until there are no more
#: holds their number and their memory are bounded
#: status ok memory timeout
#: memory-mib 48
#: time-ms 50000

import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
count = 0
try:
    while count < 3000000:
        os.open("/dev/null", os.O_RDONLY)
        count += 1
except OSError:
    held()
escaped("3 million files")
