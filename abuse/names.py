#: group disk
#: tries names with newlines, dashes, dots and bytes that are no text, as long as may be
#: holds a name of the runner's is never a name of the host's
#: status ok
#: says-held yes

for name in b"\n", b"-rf", b"...", b"\xff\xfe", b"$(reboot)", b"x" * 255, b"a\\b", b"\x01\x7f":
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    os.unlink(name)
must_fail("256 bytes", lambda: os.open(b"x" * 256, os.O_CREAT | os.O_WRONLY))
must_fail("over PATH_MAX", lambda: os.open(b"x/" * 4096, os.O_RDONLY))
held()
