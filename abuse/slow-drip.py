#: group output
#: tries a byte now and then for ever
#: holds output does not lengthen a run
#: status timeout
#: time-ms 800

import time

while True:
    os.write(1, b".")
    time.sleep(0.02)
