#: group kernel
#: tries modules, kexec, swap, the clock, reboot and the kernel's log
#: holds the filter refuses them
#: status ok
#: says-held yes

must_refuse("init_module", 0, 0, b"")
must_refuse("finit_module", -1, b"", 0)
must_refuse("delete_module", b"none", 0)
must_refuse("kexec_load", 0, 0, 0, 0)
must_refuse("swapon", b"/tmp/none", 0)
must_refuse("clock_settime", 0, 0)
must_refuse("settimeofday", 0, 0)
must_refuse("adjtimex", ctypes.create_string_buffer(512))
must_refuse("reboot", 0, 0, 0, 0)
must_refuse("syslog", 10, 0, 0)
held()
