#: group files
#: tries swapping files and folders with links, FIFOs and others' while they are collected
#: holds each step is opened below the one before, and what was opened is what is read
#: status ok
#: says-held yes
#: request {"collect": ["loot/*", "box/*", "box/passwd", "grows"]}

# It goes on when the program is over, which is when files are collected.
def swap():
    kinds = (
        lambda at: os.symlink("/etc/passwd", at),
        lambda at: os.symlink("/proc/self/environ", at),
        lambda at: os.mkfifo(at),
        lambda at: os.mkdir(at),
        lambda at: os.link("mine", at),
    )
    folders = lambda: os.symlink("/etc", "next-box"), lambda: os.mkdir("next-box")
    grows = os.open("grows", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for turn in range(10**9):
        at = f"loot/{turn % 50}"
        try:
            kinds[turn % len(kinds)](f"{at}.next")
            if os.path.isdir(at) and not os.path.islink(at):
                os.rmdir(at)
            os.rename(f"{at}.next", at)
        except OSError:
            pass
        for remove in os.unlink, os.rmdir:
            try:
                remove("box")
            except OSError:
                pass
        folders[turn % 2]()
        os.rename("next-box", "box")
        if turn % 100 == 0 and os.fstat(grows).st_size < 1 << 22:
            os.write(grows, b"mine" * 1000)


os.mkdir("loot")
open("mine", "w").write("mine")
os.mkdir("box")
if os.fork() == 0:
    for fd in range(3):
        os.close(fd)
    try:
        swap()
    finally:
        os._exit(0)
held()
