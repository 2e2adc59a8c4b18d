#: group processes
#: tries processes that begin and end as fast as they can
#: holds the time is the whole runner's, not one process's
#: status timeout pids
#: time-ms 1500

while True:
    try:
        if os.fork() == 0:
            os.fork()
            os._exit(0)
        os.waitpid(-1, os.WNOHANG)
    except OSError:
        pass
