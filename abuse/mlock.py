#: group memory
#: tries memory that cannot be reclaimed
#: holds it is bounded by the runner's limit like any other
#: status ok memory
#: memory-mib 64
#: time-ms 20000

import mmap

SIZE = 256 << 20
area = mmap.mmap(-1, SIZE)
locked = _libc.mlock(ctypes.byref(ctypes.c_char.from_buffer(area)), ctypes.c_size_t(SIZE))
if locked == 0:
    escaped("256 MiB are locked")
held()
