#: group agent
#: tries the agent's memory, files, environment and descriptors, ptrace and signals
#: holds it is another user's and not dumpable
#: status ok
#: says-held yes

for name in "mem", "environ", "maps", "syscall", "stack":
    must_fail(name, lambda: open(f"/proc/1/{name}", "rb").read(1))
for name in "fd", "map_files", "task/1/fd":
    must_fail(name, lambda: os.listdir(f"/proc/1/{name}"))
for name in "root", "cwd", "exe":
    must_fail(name, lambda: os.readlink(f"/proc/1/{name}"))
for number in 9, 15, 19, 11:
    must_fail(f"signal {number}", lambda: os.kill(1, number))
if call("ptrace", 16, 1, 0, 0) >= 0 or call("ptrace", 0x4206, 1, 0, 0) >= 0:
    escaped("ptrace")
room = ctypes.create_string_buffer(64)
pieces = [(ctypes.c_size_t * 2)(at, 8) for at in (ctypes.addressof(room), 0x400000)]
if call("process_vm_readv", 1, pieces[0], 1, pieces[1], 1, 0) >= 0:
    escaped("process_vm_readv")
held()
