#: group disk
#: tries 10,000 levels of folders
#: holds they are removed with their file system, not by walking
#: status ok disk
#: says-held yes
#: time-ms 60000

try:
    for _ in range(10000):
        os.mkdir("d")
        os.chdir("d")
except OSError as error:
    if error.errno != errno.ENAMETOOLONG:  # AppArmor knows no path of more than 8 KiB
        raise
held()
