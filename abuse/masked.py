#: group views
#: tries what tells about the host: its kernel's command line, keys, modules, interrupts, firmware
#: holds covered by nothing
#: status ok
#: says-held yes

for path in "cmdline", "interrupts", "kallsyms", "kcore", "key-users", "keys", "modules", "timer_list":
    path = "/proc/" + path
    try:
        with open(path, "rb") as file:
            if file.read(1):
                escaped(path)
    except OSError:
        pass
for path in "/proc/bus", "/proc/irq", "/sys/module", "/sys/firmware", "/sys/kernel/debug":
    if os.path.isdir(path) and os.access(path, os.R_OK) and os.listdir(path):
        escaped(path)
held()
