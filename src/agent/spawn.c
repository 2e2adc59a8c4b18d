/* How it works. The child is a process that shares the agent's memory (CLONE_VM) on a stack of its
 * own, as posix_spawn does it: copying the agent's page tables costs more than all the rest of the
 * preparation. The agent sleeps meanwhile, until the kernel clears `child_tid`, which it does when
 * the child leaves the shared memory: at exec or at its end. That is vfork but for the deadline:
 * code inside the runner may send the child SIGSTOP in the moment between giving up root and exec,
 * and PID 1 must not hang for that.
 *
 * While a child that is already the runner's user shares this memory, the user could read it and
 * write it with ptrace, were it not for PR_SET_DUMPABLE (init.c).
 */
#include "spawn.h"

#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXEC_DEADLINE_SEC 2

/* execvpe needs room for a path and, for a script without "#!", another argv. */
static _Alignas(16) unsigned char stack[48 * 1024];

static uint64_t bounding_set; /* as it was when the agent started */

/* What parent and child share; one spawn at a time. */
static struct {
    const struct agent_exec *exec;
    const int *stdio;
    int cgroup;
    volatile enum agent_stage failed_stage;
    volatile int failed_errno;
} plan;
static volatile pid_t child_tid;

void spawn_init(void)
{
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            bounding_set |= UINT64_C(1) << cap;
}

/* The child runs without AddressSanitizer's bookkeeping: it never returns from its stack. */
#define IN_CHILD __attribute__((no_sanitize("address", "undefined")))

IN_CHILD static int join_cgroup(void)
{
    if (plan.cgroup < 0)
        return 0;
    return write(plan.cgroup, "0", 1) == 1 ? 0 : -1;
}

IN_CHILD static int set_stdio(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (dup2(plan.stdio[fd], fd) < 0)
            return -1;
    /* Before a path is looked up: it could lead through /proc/self/fd. */
    return close_range(3, ~0U, 0);
}

/* All of giving up root but the uid itself. System calls by number: a C library may have its own
 * idea of which threads a change of ids concerns, and this thread is borrowed.
 */
IN_CHILD static int drop_privileges(gid_t gid)
{
    if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, gid, gid, gid) != 0)
        return -1;
    for (int cap = 0; cap < 64; cap++)
        if (bounding_set >> cap & 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return -1;
    /* The ambient and inheritable sets have been empty since the agent started. */
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* The kernel empties the permitted and effective sets with this. */
IN_CHILD static int become(uid_t uid)
{
    return (int)syscall(SYS_setresuid, uid, uid, uid);
}

IN_CHILD static int reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    struct sigaction standard = {.sa_handler = SIG_DFL};
    if (sigaction(SIGPIPE, &standard, NULL) != 0) /* the only one that the agent ignores */
        return -1;
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns the stage that failed, with errno. The uid is changed last, so that the user's other
 * processes have no time to signal this one; until then its folder is entered with the user's
 * rights.
 */
IN_CHILD static enum agent_stage run_plan(void)
{
    const struct agent_exec *exec = plan.exec;
    bool root = exec->flags & AGENT_EXEC_ROOT;
    struct user user = user_of(exec->flags);
    if (setsid() < 0 || reset_signals() != 0)
        return AGENT_STAGE_FORK;
    if (join_cgroup() != 0)
        return AGENT_STAGE_CGROUP;
    if (set_stdio() != 0)
        return AGENT_STAGE_PIPE;
    if (!root && drop_privileges(user.id) != 0)
        return AGENT_STAGE_USER;
    if (!root)
        setfsuid(user.id);
    if (chdir(exec->cwd[0] ? exec->cwd : user.home) != 0)
        return AGENT_STAGE_CWD;
    if (!root && become(user.id) != 0)
        return AGENT_STAGE_USER;
    execvpe(exec->argv[0], (char *const *)exec->argv, (char *const *)exec->env);
    return AGENT_STAGE_EXEC;
}

IN_CHILD static int child_main(void *data)
{
    (void)data;
    enum agent_stage stage = run_plan();
    plan.failed_errno = errno;
    plan.failed_stage = stage;
    _exit(127);
}

/* Sleep until the child has left our memory; false at the deadline. */
static bool wait_for_child(const struct timespec *timeout)
{
    for (;;) {
        pid_t tid = child_tid;
        if (tid == 0)
            return true;
        if (syscall(SYS_futex, &child_tid, FUTEX_WAIT, tid, timeout, NULL, 0) != 0 &&
            errno == ETIMEDOUT)
            return false;
    }
}

pid_t spawn(const struct agent_exec *exec, const int stdio[3], int cgroup,
            struct agent_failed *failed)
{
    static const char *const no_environment[] = {NULL};
    plan.exec = exec;
    plan.stdio = stdio;
    plan.cgroup = cgroup;
    plan.failed_stage = 0;
    environ = (char **)exec->env; /* execvpe takes PATH from here, and it is the program's */
    pid_t pid = clone(child_main, stack + sizeof(stack),
                      CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, NULL,
                      &child_tid, NULL, &child_tid);
    if (pid < 0) {
        *failed = (struct agent_failed){AGENT_STAGE_FORK, (uint32_t)errno};
    } else if (!wait_for_child(&(struct timespec){.tv_sec = EXEC_DEADLINE_SEC})) {
        kill(pid, SIGKILL);
        wait_for_child(NULL);
        plan.failed_stage = AGENT_STAGE_EXEC;
        plan.failed_errno = ETIMEDOUT;
    }
    environ = (char **)no_environment;
    if (pid >= 0 && plan.failed_stage != 0) {
        *failed = (struct agent_failed){plan.failed_stage, (uint32_t)plan.failed_errno};
        while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
        return -1;
    }
    return pid;
}
