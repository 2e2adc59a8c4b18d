#: group views
#: tries the magic SysRq key, power, drop_caches
#: holds /proc/sys and /sys are read-only, and another user's
#: status ok
#: says-held yes

for path in /proc/sysrq-trigger /proc/sys/kernel/sysrq /proc/sys/vm/drop_caches /sys/power/state \
    /proc/sys/kernel/hostname /proc/sys/kernel/modprobe /proc/sys/fs/binfmt_misc/register; do
    (echo h >$path) 2>/dev/null && echo "it did not hold: $path" && exit 1
done
echo held
