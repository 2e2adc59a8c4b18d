#: group kernel
#: tries mount, umount, pivot_root, the new mount calls, open_by_handle_at
#: holds the filter refuses them, also for the runner's root
#: status ok
#: says-held yes

must_refuse("mount", b"none", b"/mnt", b"tmpfs", 0, 0)
must_refuse("mount", b"none", b"/proc/sys", b"", 32, 0)
must_refuse("umount2", b"/proc/cmdline", 2)
must_refuse("pivot_root", b"/", b"/")
must_refuse("fsopen", b"tmpfs", 0)
must_refuse("open_tree", -100, b"/", 1)
must_refuse("open_by_handle_at", -100, b"\0" * 64, 0)
if call("chroot", b"/tmp") >= 0:
    escaped("chroot")
held()
