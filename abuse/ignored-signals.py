#: group processes
#: tries a program that ignores every signal and runs on
#: holds the end is the kernel's: SIGKILL to the pid namespace
#: status timeout
#: time-ms 700

import signal
import time

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
time.sleep(31536000)
