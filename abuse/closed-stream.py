#: group output
#: tries 100 MB of input, as a stream, to a program that has closed it
#: holds it is dropped as it comes, and the program's end is the run's
#: status ok
#: says-held yes
#: time-ms 30000
#: stream-bytes 104857600

import time

os.close(0)
time.sleep(0.3)
held()
