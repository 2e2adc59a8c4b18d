#: group files
#: tries links, a hard link, a FIFO, a socket, a set-uid file and a device where results are collected
#: holds no link is followed, what was opened is judged, and special modes stay behind
#: status ok
#: says-held yes
#: request {"collect": ["loot/*", "link-folder/*", "link-link/passwd", "*/*/*"]}
#: refused {"collect": ["../*"]}
#: refused {"collect": ["/etc/passwd"]}
#: refused {"collect": ["loot/../../etc/*"]}
#: refused {"collect": [""]}
#: refused {"collect": ["loot//x"]}
#: refused {"collect": ["loot/\u0000"]}
#: collected loot/link=link loot/fifo=special loot/socket=special loot/suid=ok loot/hard=ok loot/shut=unreadable

import socket

os.mkdir("loot")
for name, mode in ("plain", 0o644), ("suid", 0o6755), ("shut", 0):
    with open(f"loot/{name}", "w") as file:
        file.write("mine")
    os.chmod(f"loot/{name}", mode)
os.link("loot/plain", "loot/hard")
must_fail("another's file by a hard link", lambda: os.link("/etc/shadow", "loot/shadow"))
must_fail("a device", lambda: os.mknod("loot/device", 0o60666, os.makedev(8, 0)))
os.symlink("/etc/passwd", "loot/link")
os.symlink("/proc/self/environ", "loot/environ")
os.symlink("/etc", "link-folder")
os.symlink("link-folder", "link-link")
os.mkdir("loot/deep")
os.symlink("/etc", "loot/deep/folder")
os.symlink("/etc/passwd", "loot/deep/passwd")
os.mkfifo("loot/fifo")
socket.socket(socket.AF_UNIX).bind("loot/socket")
with open("loot/hole", "w") as file:
    file.truncate(1 << 41)
held()
