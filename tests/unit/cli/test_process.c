#include "../../../src/cli/process.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Runs it to its end; what it printed, and its status. */
static const char *run(const char *const argv[], int *status)
{
    static char text[4096];
    struct err err;
    int output[2];
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    const struct process_spec spec = {.argv = argv, .output = output[1], .death_signal = SIGKILL};
    pid_t pid = process_start(&spec, &err);
    close(output[1]);
    if (pid < 0)
        fail_msg("%s", err.msg);
    size_t len = 0;
    for (ssize_t got; (got = read(output[0], text + len, sizeof(text) - 1 - len)) > 0;)
        len += (size_t)got;
    text[len] = '\0';
    close(output[0]);
    assert_int_equal(waitpid(pid, status, 0), pid);
    return text;
}

static void it_starts_clean(void **data)
{
    (void)data;
    int status;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    const char *argv[] = {"sh", "-c",
                          "cat; echo out; echo err >&2; ps -o pgid= -p $$ | tr -d ' '; echo $$; "
                          "grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 3",
                          NULL};
    const char *text = run(argv, &status);
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    int group, pid;
    assert_int_equal(sscanf(text, "out err %d %d", &group, &pid), 2);
    assert_int_equal(group, pid);
    assert_contains(text, "SigBlk:\t0000000000000000\n");
    assert_contains(text, "SigIgn:\t0000000000000000\n");
    char how[64];
    process_describe(status, how, sizeof(how));
    assert_string_equal(how, "exit code 3");
}

static void a_program_that_is_not_there_is_an_error(void **data)
{
    (void)data;
    struct err err;
    const char *argv[] = {"/nowhere/program", NULL};
    const struct process_spec spec = {
        .argv = argv, .output = STDERR_FILENO, .death_signal = SIGKILL};
    assert_fails(process_start(&spec, &err), err, ERR_INTERNAL,
                 "cannot start /nowhere/program: No such file");
    assert_int_equal(err.sys_errno, ENOENT);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
}

static void ends_are_described(void **data)
{
    (void)data;
    char how[64];
    process_describe(SIGSEGV, how, sizeof(how));
    assert_string_equal(how, "killed by SIGSEGV");
    process_describe(SIGRTMIN + 1, how, sizeof(how));
    assert_string_equal(how, "killed by SIG?");
    process_describe(0, how, sizeof(how));
    assert_string_equal(how, "exit code 0");
}

static void a_stop_is_caught(void **data)
{
    (void)data;
    cleanup_close int fd = process_catch_stop();
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_false(process_stop_came(fd));
    assert_int_equal(poll(&ready, 1, 0), 0);
    raise(SIGINT);
    raise(SIGTERM);
    assert_int_equal(poll(&ready, 1, 0), 1);
    assert_true(process_stop_came(fd));
    assert_false(process_stop_came(fd));
}

/* Also those in sessions of their own whose parent has left them to us. */
static void all_children_are_killed(void **data)
{
    (void)data;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    if (fork() == 0) {
        for (int i = 0; i < 5; i++)
            if (fork() == 0) {
                setsid();
                signal(SIGTERM, SIG_IGN);
                if (write(ready[1], "x", 1) != 1)
                    _exit(1);
                for (;;)
                    pause();
            }
        _exit(0);
    }
    char byte;
    for (int i = 0; i < 5; i++)
        assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(process_kill_children(60000));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_true(process_kill_children(0));
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_clean),
        cmocka_unit_test(a_program_that_is_not_there_is_an_error),
        cmocka_unit_test(ends_are_described),
        cmocka_unit_test(a_stop_is_caught),
        cmocka_unit_test(all_children_are_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
