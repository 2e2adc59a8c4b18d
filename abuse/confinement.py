#: group kernel
#: tries leaving the AppArmor profile that it runs under
#: holds the profile has no way out; a host without AppArmor has none to leave
#: status ok
#: says-held yes

import threading

ATTR = "/proc/thread-self/attr/apparmor/"
try:
    with open(ATTR + "current") as file:
        label = file.read().strip()
except OSError as error:
    if error.errno in (errno.ENOENT, errno.EINVAL):  # not in this kernel, or off
        held()
    escaped(f"its profile cannot be read: {error}")
if label != "codeland-runner (enforce)":
    escaped(f"its profile is {label}: see the worker's log and `codeland worker doctor`")


def write(name, text):
    with open(ATTR + name, "w", buffering=1) as file:
        file.write(text)


def leave():
    for profile in "unconfined", "codeland-agent", "lxc-container-default-cgns":
        must_fail("another profile", lambda: write("current", f"changeprofile {profile}\n"))
        must_fail("another profile for a child", lambda: write("exec", f"exec {profile}\n"))
        must_fail("a hat", lambda: write("current", f"changehat 0000000000000001^{profile}\n"))


leave()
thread = threading.Thread(target=leave)  # each thread has a profile of its own
thread.start()
thread.join()
held()
