#: group output
#: tries one line of 1 GB on stdout
#: holds it is cut at the bound, the program lives on
#: status output timeout
#: truncated yes
#: time-ms 60000

piece = b"x" * (1 << 20)
for _ in range(1000):
    os.write(1, piece)
