#: group kernel
#: tries system calls that are younger than the filter
#: holds it answers them as an older kernel would
#: status ok
#: says-held yes

for number in range(457, 520):
    result = _libc.syscall(ctypes.c_long(number), -1, -1, -1, -1, -1, -1)
    if result != -1 or ctypes.get_errno() != errno.ENOSYS:
        escaped(f"call {number}")
held()
