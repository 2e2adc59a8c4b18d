#include "sandbox.h"

#include "../common/agent_wire.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"

/* What is the same for every runner of a host and nobody's business. What only the host's root may
 * read is not here but for kernels that forget to ask; what programs size themselves by stays:
 * cpuinfo, meminfo, /sys/devices/system/cpu.
 */
static const char *const masked[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/cmdline",
    "/proc/driver",
    "/proc/interrupts",
    "/proc/irq",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/pressure", /* anybody could make triggers there */
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/module",
};

static int mask(const char *path)
{
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    struct stat what;
    if (stat(path, &what) != 0)
        return errno == ENOENT || errno == EACCES ? 0 : -1;
    if (S_ISDIR(what.st_mode))
        return mount("none", path, "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555");
    return mount("/dev/null", path, NULL, MS_BIND, NULL);
}

int sandbox_mask(void)
{
    for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
        if (mask(masked[i]) != 0)
            return -1;
    return 0;
}

int sandbox_deny(void)
{
    const struct sock_fprog program = {
        .len = sizeof(filter) / sizeof(filter[0]),
        .filter = (struct sock_filter *)filter,
    };
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int sandbox_confine(void)
{
    static const char current[] = "/proc/self/attr/apparmor/current";
    char label[64]; /* "PROFILE (MODE)" */
    if (fd_read_file(AT_FDCWD, current, label, sizeof(label)) <= 0 ||
        !str_starts_with(label, AGENT_PROFILE))
        return 0;
    return fd_write_file(AT_FDCWD, current, "changeprofile " AGENT_RUNNER_PROFILE);
}
