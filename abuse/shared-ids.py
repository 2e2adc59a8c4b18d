#: group neighbours
#: tries two runners that compare their users, hosts, homes and machine ids
#: holds each has ids, a name and files of its own
#: status ok
#: says-held yes
#: runs 2

def both(seconds=0.6):
    """The other does the same at the same time: what is taken is held while it tries."""
    import time
    time.sleep(seconds)


inside, outside, count = open("/proc/self/uid_map").read().split()
if int(outside) < 65536 or int(count) > 65536 or len(open("/proc/self/uid_map").readlines()) != 1:
    escaped("its users are the host's")
open("mine", "w").write(sys.argv[1])
open("/tmp/mine", "w").write(sys.argv[1])
both()
if open("mine").read() != sys.argv[1] or open("/tmp/mine").read() != sys.argv[1]:
    escaped("files are shared")
if open("/etc/machine-id").read().strip():
    escaped("there is a machine id")
held()
