#: group output
#: tries stdin, stdout and stderr closed while it works
#: holds what a program does with them is its affair
#: status ok

for fd in range(3):
    os.close(fd)
sum(range(1000000))
os._exit(0)
