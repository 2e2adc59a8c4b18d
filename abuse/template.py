#: group disk
#: tries writing to the template
#: holds it is read-only below the overlay, and its files belong to others
#: status ok
#: says-held yes

for path in "/usr/bin/python3", "/bin/sh", "/etc/passwd", "/usr/libexec/crunner", "/etc/ld.so.preload":
    must_fail(path, lambda: os.open(path, os.O_WRONLY | os.O_CREAT))
must_fail("a new file", lambda: os.open("/usr/bin/mine", os.O_WRONLY | os.O_CREAT))
must_fail("another name", lambda: os.rename("/etc/passwd", "/etc/passwd2"))
must_fail("a link", lambda: os.link("/etc/passwd", "/tmp/passwd"))
held()
