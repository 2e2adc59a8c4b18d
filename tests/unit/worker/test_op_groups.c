#include "../../../src/worker/op_groups.h"

#include "../../support/loop_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NAME "cr-00000001"

struct stage {
    uv_loop_t loop;
    struct cgroup *cgroup;
    struct op_groups groups;
};

static char prefix[NAME_MAX_LEN + 1];

static int setup(void **state)
{
    static struct stage stage;
    struct err err;
    stage = (struct stage){.cgroup = cgroup_create(prefix, &err)};
    if (!stage.cgroup) {
        fprintf(stderr, "this machine cannot make cgroups: %s\n", err.msg);
        return -1;
    }
    if (strcmp(cgroup_version(stage.cgroup), "v2") == 0) {
        char path[256];
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/" NAME, prefix);
        mkdir(path, 0755); /* LXC's, of which v1 needs none */
    }
    uv_loop_init(&stage.loop);
    op_groups_init(&stage.groups, stage.cgroup, &stage.loop, NAME);
    *state = &stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    struct err err;
    op_groups_finish(&stage->groups);
    while (uv_run(&stage->loop, UV_RUN_ONCE))
        ;
    uv_loop_close(&stage->loop);
    cgroup_remove(stage->cgroup, NAME, &err);
    cgroup_remove_prefix(stage->cgroup);
    cgroup_destroy(stage->cgroup);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return 0;
}

/* A process that joins through a group's descriptor and stays. */
static pid_t spawn_in(int join)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (write(join, "0", 1) != 1 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static bool has_ended(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == pid;
}

static int open_group(struct stage *stage, uint32_t id)
{
    struct err err;
    int join = op_groups_open(&stage->groups, id, &err);
    if (join < 0)
        fail_msg("%s", err.msg);
    return join;
}

static unsigned made(struct stage *stage)
{
    return cgroup_operation_count(stage->cgroup, NAME);
}

static void group_that_is_clean_serves_again(void **state)
{
    struct stage *stage = *state;
    for (uint32_t id = 0; id < 20; id++) {
        pid_t pid = spawn_in(open_group(stage, id));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        op_groups_end(&stage->groups, id);
    }
    assert_int_equal(made(stage), 1);
}

static void groups_that_are_used_at_once_differ(void **state)
{
    struct stage *stage = *state;
    int first = open_group(stage, 10), second = open_group(stage, 11);
    assert_int_not_equal(first, second);
    assert_int_equal(made(stage), 2);
    pid_t one = spawn_in(first), two = spawn_in(second);
    op_groups_kill(&stage->groups, 11);
    loop_wait(&stage->loop, has_ended(two));
    assert_false(has_ended(one));
    op_groups_kill(&stage->groups, 10);
    loop_wait(&stage->loop, has_ended(one));
}

static void what_is_left_in_a_group_keeps_it(void **state)
{
    struct stage *stage = *state;
    pid_t background = spawn_in(open_group(stage, 0));
    op_groups_end(&stage->groups, 0);
    int join = open_group(stage, 1);
    assert_int_equal(made(stage), 2);
    pid_t program = spawn_in(join);
    op_groups_kill(&stage->groups, 1);
    loop_wait(&stage->loop, has_ended(program));
    op_groups_end(&stage->groups, 1);
    assert_false(has_ended(background)); /* it was not the program's to kill */

    /* An operation that is over has nothing to be killed any more. */
    op_groups_kill(&stage->groups, 0);
    op_groups_kill(&stage->groups, 99);
    assert_false(has_ended(background));

    /* Once it has ended its group is found again. */
    kill(background, SIGKILL);
    waitpid(background, NULL, 0);
    loop_wait(&stage->loop, !uv_loop_alive(&stage->loop));
    for (uint32_t id = 2; id < 10; id++) {
        open_group(stage, id);
        open_group(stage, id + 100);
        op_groups_end(&stage->groups, id);
        op_groups_end(&stage->groups, id + 100);
    }
    assert_int_equal(made(stage), 2);
}

static void group_in_which_a_kill_is_going_on_serves_nobody(void **state)
{
    struct stage *stage = *state;
    pid_t program = spawn_in(open_group(stage, 0));
    op_groups_kill(&stage->groups, 0);
    op_groups_kill(&stage->groups, 0); /* is on its way already */
    op_groups_end(&stage->groups, 0);  /* as the agent may say before the thread has done */
    pid_t next = spawn_in(open_group(stage, 1));
    loop_wait(&stage->loop, has_ended(program));
    loop_wait(&stage->loop, !uv_loop_alive(&stage->loop));
    assert_false(has_ended(next));
    op_groups_kill(&stage->groups, 1);
    loop_wait(&stage->loop, has_ended(next));
}

static void groups_of_an_earlier_worker_are_left_alone(void **state)
{
    struct stage *stage = *state;
    pid_t old = spawn_in(open_group(stage, 0));
    open_group(stage, 1);
    op_groups_finish(&stage->groups);
    op_groups_init(&stage->groups, stage->cgroup, &stage->loop, NAME);
    op_groups_adopt(&stage->groups);
    pid_t program = spawn_in(open_group(stage, 0)); /* numbers of operations begin anew */
    assert_int_equal(made(stage), 3);
    op_groups_kill(&stage->groups, 0);
    loop_wait(&stage->loop, has_ended(program));
    assert_false(has_ended(old));
}

static void end_while_a_kill_is_going_on(void **state)
{
    struct stage *stage = *state;
    pid_t program = spawn_in(open_group(stage, 0));
    op_groups_kill(&stage->groups, 0);
    op_groups_finish(&stage->groups);
    loop_wait(&stage->loop, has_ended(program));
    assert_int_equal(stage->groups.count, 0);
}

static void group_that_cannot_be_made(void **state)
{
    struct stage *stage = *state;
    struct err err;
    struct op_groups groups;
    op_groups_init(&groups, stage->cgroup, &stage->loop, "no/such/runner");
    assert_int_equal(op_groups_open(&groups, 0, &err), -1);
    assert_contains(err.msg, "cannot make cgroup no/such/runner/op-0: No such file");
    op_groups_finish(&groups);
}

#define REAL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    snprintf(prefix, sizeof(prefix), "codeland-test-%d", (int)getpid());
    const struct CMUnitTest tests[] = {
        REAL(group_that_is_clean_serves_again),
        REAL(groups_that_are_used_at_once_differ),
        REAL(what_is_left_in_a_group_keeps_it),
        REAL(group_in_which_a_kill_is_going_on_serves_nobody),
        REAL(groups_of_an_earlier_worker_are_left_alone),
        REAL(end_while_a_kill_is_going_on),
        REAL(group_that_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
