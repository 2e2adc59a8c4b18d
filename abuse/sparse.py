#: group disk
#: tries files that are larger than the disk, and a hole that is read
#: holds a hole takes nothing, and what is written is counted
#: status ok
#: says-held yes

with open("sparse", "wb") as file:
    file.truncate(1 << 42)
    file.seek(1 << 41)
    file.write(b"x")
if os.stat("sparse").st_blocks > 1024:
    escaped("a hole has blocks")
held()
