#: group disk
#: tries as many files as there can be
#: holds the number of files is bounded
#: status ok disk memory timeout
#: memory-mib 512
#: time-ms 30000

count = 0
try:
    while count < 100000:
        os.mknod(str(count))
        count += 1
except OSError:
    held()
escaped("100,000 files")
