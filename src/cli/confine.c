#include "confine.h"

#include "../common/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In a pid namespace of its own it has no parent to ask for: what reads its output tells. */
static int die_with_reader(int output)
{
    struct pollfd fd = {.fd = output};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || poll(&fd, 1, 0) < 0)
        return -1;
    return fd.revents & (POLLERR | POLLHUP) ? -1 : 0;
}

static int move_descriptors(const struct confine_spec *spec)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int output = fcntl(spec->output, F_DUPFD_CLOEXEC, CONFINE_OUTPUT + 1);
    if (null < 0 || output < 0 || dup2(spec->input, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 ||
        dup2(output, CONFINE_OUTPUT) < 0)
        return -1;
    return close_range(CONFINE_OUTPUT + 1, ~0u, 0);
}

static int give_up_rights(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return -1;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted = data[i].effective = (uint32_t)(keep >> (32 * i));
        data[i].inheritable = 0;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_capset, &header, data);
}

_Noreturn static void child(const struct confine_spec *spec)
{
    const struct rlimit none = {0, 0};
    signals_reset();
    signal(SIGPIPE, SIG_IGN);
    if (setpgid(0, 0) != 0 || die_with_reader(spec->output) != 0 || move_descriptors(spec) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0 || chdir(spec->folder) != 0 || chroot(".") != 0 ||
        give_up_rights(spec->keep) != 0)
        _exit(CONFINE_FAILED);
    _exit(spec->run(spec->data));
}

pid_t confine_start(const struct confine_spec *spec, struct err *err)
{
    const unsigned long flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
    if (pid == 0)
        child(spec);
    return pid > 0 ? pid : err_sys(err, ERR_INTERNAL, errno, "cannot start a confined process");
}
