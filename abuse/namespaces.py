#: group kernel
#: tries namespaces within the runner's: unshare, clone and clone3 with every flag
#: holds the filter refuses them
#: status ok
#: says-held yes

FLAGS = 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
for flag in FLAGS:
    must_refuse("unshare", flag)
    must_refuse("clone", flag | 17, 0, 0, 0, 0)
must_refuse("unshare", 0x10000000 | 0x00020000)
must_refuse("clone3", 0, 0, by=errno.ENOSYS)
held()
