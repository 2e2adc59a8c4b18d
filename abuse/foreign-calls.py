#: group kernel
#: tries system calls of 32 bits and of x32
#: holds the filter ends the program, or there are none
#: status ok
#: says-held yes

import mmap

if not _X86:
    held()
result = _libc.syscall(ctypes.c_long(0x40000000 | 39))
if result != -1 or ctypes.get_errno() != errno.ENOSYS:
    escaped("an x32 call")
CODE = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov $20 (getpid), %eax; int $0x80; ret
child = os.fork()
if child == 0:
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(CODE)
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
    os._exit(run() == os.getpid())
_, status = os.waitpid(child, 0)
if not os.WIFSIGNALED(status):
    escaped("a call of 32 bits")
held()
