#: group kernel
#: tries any privilege: capabilities, set-uid programs, device nodes, other users
#: holds none is there, and none can be gained
#: status ok
#: says-held yes

status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
for name in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
    if int(status[name], 16):
        escaped(f"{name} {status[name]}")
if status["NoNewPrivs"] != "1" or status["Seccomp"] != "2":
    escaped("no no_new_privs, or no filter")
for action in lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]):
    must_fail("another user", action)
must_fail("a device", lambda: os.mknod("null", 0o020666, os.makedev(1, 3)))
import shutil
shutil.copy("/usr/bin/id", "id")
os.chmod("id", 0o6755)
import subprocess
if subprocess.run(["./id", "-u"], capture_output=True).stdout.strip() != b"1000":
    escaped("a set-uid program")
held()
