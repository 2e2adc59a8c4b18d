#include "init.h"

#include "../common/fd.h"
#include "../common/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __SANITIZE_ADDRESS__
#define KEEP_STDIO true /* for its report */
#else
#define KEEP_STDIO false
#endif

/* Descriptors 0, 1 and 2 are whatever the container was started with, perhaps the worker's log, and
 * the runner's root could reach them through /proc. They are replaced by something of no use, for a
 * descriptor of ours with such a number would have a program's pipe made over it.
 */
static int replace_stdio(void)
{
    for (int fd = 0; fd < 3 && !KEEP_STDIO; fd++)
        close(fd);
    int fd;
    do
        fd = open("/", O_PATH);
    while (fd >= 0 && fd <= 2);
    return fd < 0 ? -1 : close(fd);
}

/* The kernel drops every signal for the init of a pid namespace that has no handler for it, even
 * SIGKILL, unless it comes from outside. So all have their standard meaning here, which the
 * programs inherit; SIGPIPE is ignored for when the agent is no init, and SIGCHLD is read from a
 * descriptor.
 */
static int set_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t blocked;
    signals_reset();
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    if (sigaction(SIGPIPE, &ignore, NULL) != 0)
        return -1;
    return sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* Without inheritable capabilities there are no ambient ones either. */
static int clear_inheritable(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0)
        return -1;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        data[i].inheritable = 0;
    return (int)syscall(SYS_capset, &header, data);
}

/* No core dump, also where the host pipes them to a program: see denied.def. Where the worker was
 * started with none allowed, and could not change that, it is not for us to say so again.
 */
static int forbid_cores(void)
{
    struct rlimit limit = {1, 1};
    if (setrlimit(RLIMIT_CORE, &limit) == 0)
        return 0;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? 0 : -1;
}

int init_join_groups(char *const *descriptors)
{
    for (; *descriptors; descriptors++)
        if (write((int)strtol(*descriptors, NULL, 10), "0", 1) != 1)
            return -1;
    return unshare(CLONE_NEWCGROUP);
}

int init_process(void)
{
    close_range(3, ~0U, 0);
    umask(022);
    if (replace_stdio() != 0 || set_signals() != 0 || clear_inheritable() != 0)
        return -1;
    /* Not dumpable: nobody but the runner's root may look into this process through /proc or
     * ptrace, nor into a child of it that has not executed its program yet.
     */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return -1;
    if (forbid_cores() != 0)
        return -1;
    if (syscall(SYS_setgroups, 0, NULL) != 0)
        return -1;
    return chdir("/");
}

int init_hide_folder(const char *path)
{
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0)
        umount2(path, MNT_DETACH); /* fails where it is a plain folder, in tests */
    return folder;
}

void init_loopback(void)
{
    cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0 || request.ifr_flags & IFF_UP)
        return;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    ioctl(fd, SIOCSIFFLAGS, &request);
}

int init_watch_children(void)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    return signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
}

void init_reap(int fd, void (*reaped)(pid_t pid, int status, const struct rusage *usage))
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof(info)) > 0)
        ; /* one signal may stand for many processes: what counts is what wait4 says */
    for (;;) {
        int status;
        struct rusage usage;
        pid_t pid = wait4(-1, &status, WNOHANG | __WALL, &usage);
        if (pid <= 0)
            return;
        reaped(pid, status, &usage);
    }
}
