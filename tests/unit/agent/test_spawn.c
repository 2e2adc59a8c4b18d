#include "session.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define STATUS(keys) "grep -E '^(" keys "):' /proc/self/status | tr '\\t' ' '"

static void test_runner_user(void **state)
{
    struct cell *cell = *state;
    session_expect(
        cell, 0, STATUS("Uid|Gid|Groups|NoNewPrivs"),
        "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\nGroups:  \nNoNewPrivs: 1\n");
    session_expect(cell, 0, STATUS("Cap.*"),
                   "CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n"
                   "CapBnd: 0000000000000000\nCapAmb: 0000000000000000\n");
    session_expect(cell, 0, "pwd; umask; ulimit -c; ulimit -Hc", "/home/runner\n0022\n0\n0\n");
}

static void test_root_user(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, AGENT_EXEC_ROOT, STATUS("Uid|Gid|NoNewPrivs"),
                   "Uid: 0 0 0 0\nGid: 0 0 0 0\nNoNewPrivs: 0\n");
    /* All that a user namespace gives. */
    session_expect(cell, AGENT_EXEC_ROOT,
                   "cat /proc/sys/kernel/cap_last_cap | { read last; "
                   "printf '%016x\\n' $(((1 << (last + 1)) - 1)); } >/root/all; "
                   "grep -q CapEff:.$(cat /root/all) /proc/self/status && "
                   "grep -q CapBnd:.$(cat /root/all) /proc/self/status && echo full; pwd",
                   "full\n/root\n");
}

static void test_only_three_descriptors(void **state)
{
    session_expect(*state, 0, "exec ls /proc/self/fd", "0\n1\n2\n3\n"); /* 3 is ls's own */
}

static void test_signals_are_as_standard(void **state)
{
    session_expect(*state, 0, STATUS("SigBlk|SigIgn|SigPnd") "; exec " STATUS("SigIgn"),
                   "SigPnd: 0000000000000000\nSigBlk: 0000000000000000\nSigIgn: 0000000000000000\n"
                   "SigIgn: 0000000000000000\n");
}

static void test_session_of_its_own(void **state)
{
    /* pid, parent, process group, session */
    session_expect(
        *state, 0,
        "set -- $(cat /proc/$$/stat); [ $1 = $5 ] && [ $1 = $6 ] && [ $4 = 1 ] && echo own",
        "own\n");
}

static void test_stdio_can_be_opened_by_name(void **state)
{
    struct outcome outcome;
    session_run(*state, 0, "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin",
                &outcome);
    assert_string_equal(outcome.out, "out\n");
    assert_string_equal(outcome.err, "err\n");
    assert_int_equal(outcome.exit.exit, 0);
    outcome_free(&outcome);
}

static void run(struct cell *cell, const struct agent_exec *exec, struct outcome *outcome)
{
    struct session session;
    session_begin(cell, &session);
    session_exec(&session, exec);
    session_finish(&session, outcome);
}

static void expect(struct cell *cell, const struct agent_exec *exec, const char *out)
{
    struct outcome outcome;
    run(cell, exec, &outcome);
    assert_false(outcome.failed);
    assert_string_equal(outcome.out, out);
    outcome_free(&outcome);
}

static void expect_failure(struct cell *cell, const struct agent_exec *exec, enum agent_stage stage,
                           int sys_errno)
{
    struct session session;
    session_begin(cell, &session);
    session_exec(&session, exec);
    session_expect_failure(&session, stage, sys_errno);
}

static void test_environment_is_exactly_this(void **state)
{
    struct cell *cell = *state;
    expect(cell,
           &(struct agent_exec){.cwd = "",
                                .argc = 1,
                                .argv = {"/usr/bin/env"},
                                .envc = 4,
                                .env = {"A=1", "WITH SPACE=x y", "EMPTY=", "odd"}},
           "A=1\nWITH SPACE=x y\nEMPTY=\nodd\n");
    expect(cell, &(struct agent_exec){.cwd = "", .argc = 1, .argv = {"/usr/bin/env"}}, "");
}

static void test_arguments_are_exactly_these(void **state)
{
    expect(*state,
           &(struct agent_exec){
               .cwd = "", .argc = 5, .argv = {"/usr/bin/printf", "<%s>", "", "$HOME *", "\n"}},
           "<><$HOME *><\n>");
}

static void test_program_is_looked_up_in_its_path(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, 0,
                   "mkdir a b; echo no >a/tool; printf '#!/bin/sh\\necho b' >b/tool; "
                   "chmod 755 b/tool; printf 'echo plain $1' >b/plain; chmod 755 b/plain",
                   "");
    struct agent_exec exec = {.cwd = "",
                              .argc = 1,
                              .argv = {"tool"},
                              .envc = 2,
                              .env = {"X=1", "PATH=/none:/home/runner/a:/home/runner/b"}};
    expect(cell, &exec, "b\n");
    exec.argv[0] = "b/tool"; /* a path is relative to the working directory */
    expect(cell, &exec, "b\n");
    exec.argv[0] = "plain"; /* a script without "#!" is the shell's, as with execvp */
    exec.argv[exec.argc++] = "text";
    expect(cell, &exec, "plain text\n");
    exec = (struct agent_exec){.cwd = "/", .argc = 2, .argv = {"echo", "default path"}};
    expect(cell, &exec, "default path\n");
}

static void test_program_that_cannot_be_executed(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, 0, "echo >plain; mkdir folder; printf '#!/none\\n' >lost; chmod 755 lost",
                   "");
    struct agent_exec exec = {.cwd = "", .argc = 1, .envc = 1, .env = {SESSION_PATH}};
    const struct {
        const char *name;
        int sys_errno;
    } bad[] = {
        {"no-such-program", ENOENT}, {"/no/such/program", ENOENT}, {"./plain", EACCES},
        {"./folder", EACCES},        {"./lost", ENOENT},           {"", ENOENT},
        {"./plain/below", ENOTDIR},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        exec.argv[0] = bad[i].name;
        expect_failure(cell, &exec, AGENT_STAGE_EXEC, bad[i].sys_errno);
    }
    unsigned zombies;
    assert_int_equal(cell_processes(cell, &zombies), 0); /* the children are reaped by then */
}

static void test_argument_that_is_too_long(void **state)
{
    enum { LEN = 200 << 10 }; /* the kernel takes 128 KiB in one */
    char *text = malloc(LEN + 1);
    memset(text, 'a', LEN);
    text[LEN] = '\0';
    struct agent_exec exec = {.cwd = "", .argc = 2, .argv = {"/bin/echo", text}};
    expect_failure(*state, &exec, AGENT_STAGE_EXEC, E2BIG);
    free(text);
}

static void test_working_directory(void **state)
{
    struct cell *cell = *state;
    struct agent_exec exec = {.cwd = "/usr", .argc = 1, .argv = {"/bin/pwd"}};
    expect(cell, &exec, "/usr\n");
    session_expect(cell, AGENT_EXEC_ROOT, "echo >/home/runner/file", "");
    const struct {
        const char *path;
        int sys_errno;
    } bad[] = {
        {"/home/runner/none", ENOENT},
        {"/home/runner/file", ENOTDIR},
        {"/root", EACCES},           /* entered with the user's rights, not the agent's */
        {"/proc/self/fd/4", ENOENT}, /* the agent's own descriptors are out of reach */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        exec.cwd = bad[i].path;
        expect_failure(cell, &exec, AGENT_STAGE_CWD, bad[i].sys_errno);
    }
}

static void test_cgroup_is_joined(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct outcome outcome;
    char text[8] = "";
    cleanup_close int file = memfd_create("cgroup.procs", MFD_CLOEXEC);
    session_over(&session, cell_open(cell, file, AGENT_OUTPUT_ALL));
    session_sh(&session, AGENT_EXEC_CGROUP, "ls /proc/self/fd");
    session_finish(&session, &outcome);
    assert_string_equal(outcome.out, "0\n1\n2\n3\n");
    outcome_free(&outcome);
    assert_int_equal(pread(file, text, sizeof(text), 0), 1);
    assert_string_equal(text, "0");
    /* Not asked for: not joined. */
    session_over(&session, cell_open(cell, file, AGENT_OUTPUT_ALL));
    session_sh(&session, 0, "true");
    session_finish(&session, &outcome);
    outcome_free(&outcome);
    assert_int_equal(pread(file, text, sizeof(text), 0), 1);
}

static void test_cgroup_that_cannot_be_joined(void **state)
{
    struct cell *cell = *state;
    struct session session;
    cleanup_close int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    session_over(&session, cell_open(cell, file, AGENT_OUTPUT_ALL));
    session_sh(&session, AGENT_EXEC_CGROUP, "echo");
    session_expect_failure(&session, AGENT_STAGE_CGROUP, EBADF);
    session_begin(cell, &session);
    session_sh(&session, AGENT_EXEC_CGROUP, "echo"); /* no descriptor came */
    session_expect_failure(&session, AGENT_STAGE_PROTOCOL, 0);
}

/* A child that does not get as far as its program is given up. */
static void test_child_that_is_stuck(void **state)
{
    struct cell *cell = *state;
    struct session session;
    int full[2];
    static const char block[4096];
    assert_int_equal(pipe2(full, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(full[1], block, sizeof(block)) > 0)
        ;
    assert_int_equal(fd_set_nonblock(full[1], false), 0);
    session_over(&session, cell_open(cell, full[1], AGENT_OUTPUT_ALL));
    session_sh(&session, AGENT_EXEC_CGROUP, "echo");
    session_expect_failure(&session, AGENT_STAGE_EXEC, ETIMEDOUT);
    assert_int_equal(cell_processes(cell, NULL), 0);
    session_expect(cell, 0, "echo well", "well\n");
    close(full[0]);
    close(full[1]);
}

static void test_no_process_can_be_made(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct rlimit usual, none;
    assert_int_equal(prlimit(cell->pid, RLIMIT_NPROC, NULL, &usual), 0);
    none = (struct rlimit){0, usual.rlim_max};
    assert_int_equal(prlimit(cell->pid, RLIMIT_NPROC, &none, NULL), 0);
    session_begin(cell, &session);
    session_sh(&session, 0, "true");
    session_expect_failure(&session, AGENT_STAGE_FORK, EAGAIN);
    assert_int_equal(prlimit(cell->pid, RLIMIT_NPROC, &usual, NULL), 0);
    session_expect(cell, 0, "echo well", "well\n");
}

/* A runner's user who sends SIGSTOP to whatever it may cannot make the agent wait for ever. */
static void test_hostile_neighbour(void **state)
{
    struct cell *cell = *state;
    struct session bully;
    session_begin(cell, &bully);
    session_sh(&bully, 0, "trap '' TERM; while :; do kill -STOP -1; kill -CONT $$; done");
    session_started(&bully);
    for (int i = 0; i < 100; i++) {
        struct session session;
        struct frame frame;
        session_begin(cell, &session);
        session_exec(&session, &(struct agent_exec){.cwd = "", .argc = 1, .argv = {"/bin/true"}});
        assert_true(session_next(&session, &frame)); /* started, or failed for this */
        session_end(&session);
    }
    session_end(&bully);
    cell_wait(cell_processes(cell, NULL) == 0);
    session_expect(cell, 0, "echo well", "well\n");
}

int main(int argc, char **argv)
{
    cell_init(argc, argv);
#define CELL_TEST(test) cmocka_unit_test_setup_teardown(test, cell_setup, cell_teardown)
    const struct CMUnitTest tests[] = {
        CELL_TEST(test_runner_user),
        CELL_TEST(test_root_user),
        CELL_TEST(test_only_three_descriptors),
        CELL_TEST(test_signals_are_as_standard),
        CELL_TEST(test_session_of_its_own),
        CELL_TEST(test_stdio_can_be_opened_by_name),
        CELL_TEST(test_environment_is_exactly_this),
        CELL_TEST(test_arguments_are_exactly_these),
        CELL_TEST(test_program_is_looked_up_in_its_path),
        CELL_TEST(test_program_that_cannot_be_executed),
        CELL_TEST(test_argument_that_is_too_long),
        CELL_TEST(test_working_directory),
        CELL_TEST(test_cgroup_is_joined),
        CELL_TEST(test_cgroup_that_cannot_be_joined),
        CELL_TEST(test_child_that_is_stuck),
        CELL_TEST(test_no_process_can_be_made),
        CELL_TEST(test_hostile_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
