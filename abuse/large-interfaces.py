#: group kernel
#: tries bpf, perf, userfaultfd, io_uring and fanotify
#: holds the filter refuses them
#: status ok
#: says-held yes

must_refuse("bpf", 0, 0, 0)
must_refuse("perf_event_open", b"\0" * 128, 0, -1, -1, 0)
must_refuse("userfaultfd", 1)
must_refuse("io_uring_setup", 8, ctypes.create_string_buffer(256), by=errno.ENOSYS)
must_refuse("fanotify_init", 0x200, 0)
held()
