#include "process.h"

#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/signals.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

_Noreturn static void child(const struct process_spec *spec, pid_t parent, int report)
{
    signals_reset();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0 && setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, spec->death_signal) == 0 &&
        dup2(null, STDIN_FILENO) >= 0 && dup2(spec->output, STDOUT_FILENO) >= 0 &&
        dup2(spec->output, STDERR_FILENO) >= 0) {
        if (getppid() != parent) /* it died before the signal was asked for */
            _exit(1);
        execvp(spec->argv[0], (char *const *)spec->argv);
    }
    int failure = errno;
    ssize_t written = write(report, &failure, sizeof(failure));
    (void)written;
    _exit(127);
}

pid_t process_start(const struct process_spec *spec, struct err *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot start %s", spec->argv[0]);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child(spec, parent, report[1]);
    int failure = errno;
    close(report[1]);
    if (pid > 0) {
        ssize_t got;
        do
            got = read(report[0], &failure, sizeof(failure));
        while (got < 0 && errno == EINTR);
        if (got == (ssize_t)sizeof(failure)) {
            waitpid(pid, NULL, 0);
            pid = -1;
        }
    }
    close(report[0]);
    return pid > 0 ? pid : err_sys(err, ERR_INTERNAL, failure, "cannot start %s", spec->argv[0]);
}

void process_describe(int status, char *text, size_t room)
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        str_format(text, room, "killed by SIG%s", name ? name : "?");
    } else {
        str_format(text, room, "exit code %d", WEXITSTATUS(status));
    }
}

int process_catch_stop(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    int fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0 || sigprocmask(SIG_BLOCK, &stop, NULL) != 0)
        abort();
    signal(SIGPIPE, SIG_IGN);
    return fd;
}

bool process_stop_came(int stop_fd)
{
    struct signalfd_siginfo info;
    bool came = false;
    while (read(stop_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        came = true;
    return came;
}

bool process_kill_children(int timeout_ms)
{
    mono_us deadline = clock_now(&clock_system) + (mono_us)timeout_ms * US_PER_MS;
    char path[64], list[65536];
    str_format(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        if (fd_read_file(AT_FDCWD, path, list, sizeof(list) - 1) > 0) {
            char *end, *at = list;
            for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
                kill((pid_t)pid, SIGKILL);
        }
        pid_t reaped;
        while ((reaped = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (reaped < 0 && errno == ECHILD)
            return true;
        if (clock_now(&clock_system) > deadline)
            return false;
        poll(NULL, 0, 10); /* killed processes hand their own children to us meanwhile */
    }
}
