#include "supervise.h"

#include "process.h"

#include "../common/fd.h"
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

void supervise_init(struct supervisor *supervisor, struct screen *screen, struct logs *logs,
                    int stop_fd)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    *supervisor = (struct supervisor){.screen = screen, .logs = logs, .stop_fd = stop_fd};
    supervisor->child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->child_fd < 0 || sigprocmask(SIG_BLOCK, &child, NULL) != 0 ||
        prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        abort();
    /* A supervisor that Ctrl-Z halts reads no log lines, and that halts the daemons. */
    signal(SIGTSTP, SIG_IGN);
}

static void on_line(const char *line, void *data)
{
    struct daemon *daemon = data;
    char text[LOGS_TEXT_MAX];
    if (logs_shorten(line, text, sizeof(text))) {
        memcpy(daemon->last_line, text, sizeof(text));
        daemon->spoke = true;
    }
    logs_take(daemon->supervisor->logs, daemon->name, line);
}

static void died(struct daemon *daemon, mono_us now)
{
    restart_died(&daemon->restart, daemon->started, now);
    if (daemon->supervisor->stopping)
        return;
    char pause[24] = "at once";
    if (daemon->restart.due > now) {
        char duration[16];
        progress_duration(duration, sizeof(duration), daemon->restart.due - now);
        str_format(pause, sizeof(pause), "in %s", duration);
    }
    char how[64];
    process_describe(daemon->status, how, sizeof(how));
    screen_event(daemon->supervisor->screen, SCREEN_BAD, "the %s died (%s); starting it again %s",
                 daemon->name, how, pause);
    if (daemon->spoke)
        screen_event(daemon->supervisor->screen, SCREEN_NOTE, "its last words: %s",
                     daemon->last_line);
}

static bool start(struct daemon *daemon)
{
    struct supervisor *supervisor = daemon->supervisor;
    struct process_spec spec = {
        .argv = daemon->argv,
        .output = daemon->output[1],
        .death_signal = daemon->stop_signal,
    };
    struct err err;
    bool again = daemon->restart.deaths > 0;
    daemon->started = clock_now(&clock_system);
    restart_started(&daemon->restart);
    daemon->spoke = false;
    daemon->pid = process_start(&spec, &err);
    if (daemon->pid < 0) {
        daemon->pid = 0;
        daemon->status = 127 << 8;
        str_format(daemon->last_line, sizeof(daemon->last_line), "%s", err.msg);
        daemon->spoke = true;
        died(daemon, daemon->started);
        return false;
    }
    if (again && !supervisor->stopping)
        screen_event(supervisor->screen, SCREEN_GOOD, "the %s runs again, pid %d", daemon->name,
                     (int)daemon->pid);
    return true;
}

void supervise_add(struct supervisor *supervisor, struct daemon *daemon)
{
    if (supervisor->count == SUPERVISE_MAX || pipe2(daemon->output, O_CLOEXEC) != 0)
        abort();
    fd_set_nonblock(daemon->output[0], true);
    daemon->supervisor = supervisor;
    supervisor->daemons[supervisor->count++] = daemon;
    start(daemon);
}

/* Our own daemons, and orphans that came to us. */
static void reap(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->child_fd, &info, sizeof(info)) > 0)
        ;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (size_t i = 0; i < supervisor->count; i++) {
            struct daemon *daemon = supervisor->daemons[i];
            if (daemon->pid != pid)
                continue;
            lines_read(&daemon->lines, daemon->output[0], on_line, daemon);
            daemon->pid = 0;
            daemon->status = status;
            died(daemon, clock_now(&clock_system));
        }
    }
}

static int until_next_start(const struct supervisor *supervisor, int timeout_ms)
{
    mono_us now = clock_now(&clock_system);
    for (size_t i = 0; i < supervisor->count && !supervisor->stopping; i++) {
        const struct daemon *daemon = supervisor->daemons[i];
        mono_us left = daemon->restart.due - now;
        if (daemon->restart.due == 0)
            continue;
        if (left < (mono_us)timeout_ms * US_PER_MS)
            timeout_ms = left > 0 ? (int)(left / US_PER_MS) + 1 : 0;
    }
    return timeout_ms;
}

void supervise_turn(struct supervisor *supervisor, int timeout_ms)
{
    struct pollfd fds[2 + SUPERVISE_MAX] = {{.fd = supervisor->stop_fd, .events = POLLIN},
                                            {.fd = supervisor->child_fd, .events = POLLIN}};
    for (size_t i = 0; i < supervisor->count; i++)
        fds[2 + i] = (struct pollfd){.fd = supervisor->daemons[i]->output[0], .events = POLLIN};
    if (poll(fds, 2 + supervisor->count, until_next_start(supervisor, timeout_ms)) < 0 &&
        errno != EINTR)
        abort();
    if (process_stop_came(supervisor->stop_fd))
        supervisor->stops++;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct daemon *daemon = supervisor->daemons[i];
        lines_read(&daemon->lines, daemon->output[0], on_line, daemon);
    }
    reap(supervisor);
    for (size_t i = 0; i < supervisor->count && !supervisor->stopping; i++) {
        struct daemon *daemon = supervisor->daemons[i];
        if (daemon->restart.due != 0 && clock_now(&clock_system) >= daemon->restart.due)
            start(daemon);
    }
    screen_tick(supervisor->screen);
}

bool supervise_stop(struct supervisor *supervisor, struct daemon *daemon, int timeout_ms)
{
    mono_us deadline = clock_now(&clock_system) + (mono_us)timeout_ms * US_PER_MS;
    unsigned stops = supervisor->stops;
    supervisor->stopping = true;
    if (daemon->pid > 0)
        kill(daemon->pid, daemon->stop_signal);
    bool killed = false;
    while (daemon->pid > 0) {
        supervise_turn(supervisor, 100);
        if (!killed && daemon->pid > 0 &&
            (clock_now(&clock_system) > deadline || supervisor->stops > stops)) {
            kill(daemon->pid, SIGKILL);
            killed = true;
        }
    }
    return !killed;
}

bool supervise_start_once(struct supervisor *supervisor, struct daemon *daemon)
{
    supervisor->stopping = true;
    return start(daemon);
}

void supervise_finish(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        fd_close(&supervisor->daemons[i]->output[0]);
        fd_close(&supervisor->daemons[i]->output[1]);
    }
    fd_close(&supervisor->child_fd);
}
