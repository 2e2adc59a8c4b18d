#: group memory
#: tries System V and anonymous shared memory, and memfd
#: holds all of it counts as the runner's
#: status memory timeout
#: memory-mib 64
#: time-ms 20000

import mmap

SIZE = 64 << 20
shm = _libc.shmget(0, ctypes.c_size_t(SIZE), 0o1600)
if shm >= 0:
    _libc.shmat.restype = ctypes.c_void_p
    at = _libc.shmat(shm, None, 0)
    ctypes.memset(at, 1, SIZE)
area = mmap.mmap(-1, SIZE)
area.write(b"x" * SIZE)
fd = os.memfd_create("hog")
for _ in range(64):
    os.write(fd, b"x" * (1 << 20))
escaped("192 MiB of shared memory")
