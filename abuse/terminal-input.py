#: group kernel
#: tries typing into its own terminal, as if its owner did (TIOCSTI)
#: holds the filter refuses it
#: status ok
#: says-held yes

import fcntl

main, other = os.openpty()
error = must_fail("TIOCSTI", lambda: fcntl.ioctl(other, 0x5412, b"x"))
if error != errno.EPERM:
    escaped(f"TIOCSTI is asked for: {os.strerror(error)}")
must_fail("TIOCLINUX", lambda: fcntl.ioctl(other, 0x541C, b"\x03"))
held()
