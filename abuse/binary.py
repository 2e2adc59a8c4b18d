#: group output
#: tries output that is no text, and all that moves a terminal
#: holds bytes are carried as bytes, text is made valid
#: status ok
#: says-held yes

os.write(1, bytes(range(256)) * 100 + b"\x1b]0;title\x07\x1b[2J\xff\xfe\n")
held()
