#: group processes
#: tries daemons that fork twice, leave their session and close everything
#: holds the runner's end is the end of its pid namespace
#: status ok pids timeout
#: says-held yes
#: time-ms 60000

import time

for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            time.sleep(31536000)
        os._exit(0)
held()
