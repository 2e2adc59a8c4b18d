#: group output
#: tries 100 MB of input, as a stream, that nobody reads
#: holds what is not read is not sent: nothing but a pipe and a few buffers is full of it
#: status timeout
#: time-ms 2000
#: stream-bytes 104857600

import time

time.sleep(1000)
