#include "../../../src/worker/cgroup.h"

#include "../../../src/common/clock.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char prefix[NAME_MAX_LEN + 1];

#define wait_until(condition)                                                                      \
    do {                                                                                           \
        mono_us deadline_ = clock_now(&clock_system) + 60 * (mono_us)US_PER_SEC;                   \
        while (!(condition)) {                                                                     \
            if (clock_now(&clock_system) > deadline_)                                              \
                fail_msg("waited in vain for: %s", #condition);                                    \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

/* ---- the real kernel, whichever generation it has ---- */

static struct cgroup *cgroup;

/* Where the memory controller's groups are; "" when it has none of its own. */
static const char *root_of(const char *controller)
{
    static char path[256];
    str_format(path, sizeof(path), "/sys/fs/cgroup/%s",
               strcmp(cgroup_version(cgroup), "v2") == 0 ? "" : controller);
    return path;
}

static const char *group_path(const char *controller, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    str_format(path, sizeof(paths[0]), "%s/%s/%s", root_of(controller), prefix, name);
    return path;
}

static int setup(void **state)
{
    struct err err;
    (void)state;
    cgroup = cgroup_create(prefix, &err);
    if (!cgroup)
        fprintf(stderr, "this machine cannot make cgroups: %s\n", err.msg);
    return cgroup ? 0 : -1;
}

static void remove_one(const char *name, void *data)
{
    struct err err;
    (void)data;
    cgroup_remove(cgroup, name, &err);
}

static int teardown(void **state)
{
    (void)state;
    cgroup_each(cgroup, remove_one, NULL);
    cgroup_remove_prefix(cgroup);
    cgroup_destroy(cgroup);
    cgroup = NULL;
    return 0;
}

static const char *const v1_hierarchies[] = {"memory", "pids", "cpu", "cpuacct"};

static bool is_v2(void)
{
    return strcmp(cgroup_version(cgroup), "v2") == 0;
}

/* As they are made for a runner. */
static void make_group(const char *name)
{
    for (size_t i = 0; i < (is_v2() ? 1 : ARRAY_LEN(v1_hierarchies)); i++)
        if (mkdir(group_path(v1_hierarchies[i], name), 0755) != 0)
            fail_msg("%s: %s", group_path(v1_hierarchies[i], name), strerror(errno));
}

static void join_file(const char *path)
{
    if (fd_write_file(AT_FDCWD, path, "0") != 0)
        _exit(99);
}

/* A process in a group that runs something until it is killed, or exits with its status. */
static pid_t spawn_in(const char *name, int (*run)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    char path[600];
    for (size_t i = 0; i < (is_v2() ? 1 : ARRAY_LEN(v1_hierarchies)); i++) {
        str_format(path, sizeof(path), "%s/cgroup.procs", group_path(v1_hierarchies[i], name));
        join_file(path);
    }
    _exit(run());
}

static int end_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int pause_for_ever(void)
{
    while (pause() != 0)
        ;
    return 0;
}

static const struct engine_limits limits = {
    .memory_bytes = 32 << 20, .processes = 8, .cpu_percent = 50};

static void limits_are_set_lowered_and_raised(void **state)
{
    struct err err;
    (void)state;
    make_group("a");
    static const int64_t sizes[] = {64 << 20, 16 << 20, 128 << 20};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct engine_limits other = limits;
        char text[64];
        other.memory_bytes = sizes[i];
        assert_ok(cgroup_set_limits(cgroup, "a", &other, &err), err);
        const char *file = is_v2() ? "memory.max" : "memory.limit_in_bytes";
        assert_true(fd_read_file(AT_FDCWD, scratch_path(group_path("memory", "a"), file), text,
                                 sizeof(text)) > 0);
        assert_int_equal(strtoll(text, NULL, 10), sizes[i]);
    }
    assert_int_equal(atoi(scratch_read(scratch_path(group_path("pids", "a"), "pids.max"))), 8);
    const char *cpu = is_v2() ? "cpu.max" : "cpu.cfs_quota_us";
    assert_int_equal(atoi(scratch_read(scratch_path(group_path("cpu", "a"), cpu))), 50000);
    assert_int_equal(cgroup_set_limits(cgroup, "nobody", &limits, &err), -1);
    assert_contains(err.msg, "of nobody to");
}

/* The quota in the words of v1. */
static void expect_pace(const char *idle, const char *quota)
{
    char text[64];
    const char *group = group_path("cpu", "a");
    assert_true(fd_read_file(AT_FDCWD, scratch_path(group, "cpu.idle"), text, sizeof(text)) > 0);
    text[strcspn(text, "\n")] = '\0';
    assert_string_equal(text, idle);
    const char *file = is_v2() ? "cpu.max" : "cpu.cfs_quota_us";
    assert_true(fd_read_file(AT_FDCWD, scratch_path(group, file), text, sizeof(text)) > 0);
    text[strcspn(text, " \n")] = '\0';
    assert_string_equal(strcmp(text, "max") == 0 ? "-1" : text, quota);
}

static void group_gives_way_and_has_no_limit_at_its_end(void **state)
{
    struct err err;
    (void)state;
    make_group("a");
    assert_ok(cgroup_set_limits(cgroup, "a", &limits, &err), err);
    expect_pace("0", "50000");
    cgroup_set_pace(cgroup, "a", ENGINE_PACE_BATCH, &limits);
    expect_pace("1", "50000");
    cgroup_set_pace(cgroup, "a", ENGINE_PACE_CURBED, &limits);
    expect_pace("1", "5000");
    cgroup_set_pace(cgroup, "a", ENGINE_PACE_ENDING, &limits);
    expect_pace("1", "-1"); /* it gives way still */
    cgroup_set_pace(cgroup, "a", ENGINE_PACE_OVERDUE, &limits);
    expect_pace("0", "-1");
    cgroup_set_pace(cgroup, "a", ENGINE_PACE_EQUAL, &limits);
    expect_pace("0", "50000");
    cgroup_set_pace(cgroup, "nobody", ENGINE_PACE_ENDING, &limits); /* is no harm */
}

/* Touches every page, which no compiler may leave out. */
static int touch(size_t bytes)
{
    volatile char *memory = malloc(bytes);
    for (size_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    return memory[0] - 1;
}

static int take_64_mib(void)
{
    return touch(64 << 20);
}

static void memory_over_the_limit_is_counted(void **state)
{
    struct engine_stats before, after;
    struct err err;
    (void)state;
    make_group("a");
    assert_ok(cgroup_set_limits(cgroup, "a", &limits, &err), err);
    assert_ok(cgroup_stats(cgroup, "a", &before, &err), err);
    assert_int_equal(before.oom_kills, 0);
    int status = end_of(spawn_in("a", take_64_mib));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_ok(cgroup_stats(cgroup, "a", &after, &err), err);
    assert_int_equal(after.oom_kills, 1);
    assert_in_range(after.memory_peak_bytes, 24 << 20, 32 << 20);
    assert_true(after.cpu_us > before.cpu_us);
    assert_true(cgroup_use(cgroup, "a").cpu_us >= after.cpu_us);
    assert_true(after.user_us + after.system_us <= after.cpu_us);
}

static int fork_until_refused(void)
{
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0)
            pause_for_ever();
        if (pid < 0)
            return 7;
    }
    return 0;
}

static void forks_over_the_limit_are_refused_and_counted(void **state)
{
    struct engine_stats stats;
    struct err err;
    (void)state;
    make_group("a");
    assert_ok(cgroup_set_limits(cgroup, "a", &limits, &err), err);
    int status = end_of(spawn_in("a", fork_until_refused));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_ok(cgroup_stats(cgroup, "a", &stats, &err), err);
    assert_int_equal(stats.pids_refused, 1);
    cgroup_kill(cgroup, "a"); /* those that it left */
}

static int take_8_mib(void)
{
    return touch(8 << 20);
}

static void peak_begins_anew_where_it_can(void **state)
{
    struct engine_stats stats;
    struct err err;
    (void)state;
    make_group("a");
    assert_ok(cgroup_set_limits(cgroup, "a", &limits, &err), err);
    assert_int_equal(end_of(spawn_in("a", take_8_mib)), 0);
    assert_ok(cgroup_stats(cgroup, "a", &stats, &err), err);
    assert_true(stats.memory_peak_bytes >= 8 << 20);
    cgroup_reset_peak(cgroup, "a");
    assert_ok(cgroup_stats(cgroup, "a", &stats, &err), err);
    if (!is_v2())
        assert_in_range(stats.memory_peak_bytes, 0, 4 << 20);
    cgroup_reset_peak(cgroup, "nobody"); /* is no harm */
}

static void stats_of_what_is_not_there(void **state)
{
    struct engine_stats stats;
    struct err err;
    (void)state;
    assert_int_equal(cgroup_stats(cgroup, "nobody", &stats, &err), -1);
    assert_contains(err.msg, "cannot read the cgroup of nobody: No such file");
}

static void runner_of_a_process(void **state)
{
    char name[NAME_MAX_LEN + 1];
    (void)state;
    make_group("cr-12345678");
    pid_t pid = spawn_in("cr-12345678", pause_for_ever);
    wait_until(cgroup_runner_of(cgroup, pid, name));
    assert_string_equal(name, "cr-12345678");
    assert_false(cgroup_runner_of(cgroup, getpid(), name));
    assert_false(cgroup_runner_of(cgroup, 0, name));
    kill(pid, SIGKILL);
    end_of(pid);
}

static int joins[CGROUP_ROOTS_MOST], joins_count;

static int join_all(void)
{
    for (int i = 0; i < joins_count; i++)
        if (write(joins[i], "0", 1) != 1)
            return 1;
    return pause_for_ever();
}

/* As the monitor does it where LXC does not, and the agent. */
static void runner_is_made_and_joined(void **state)
{
    struct err err;
    char name[NAME_MAX_LEN + 1], path[600];
    (void)state;
    if (is_v2()) { /* LXC's to do: integration tests see that */
        assert_int_equal(cgroup_make_runner(cgroup, "a", &limits, joins, &err), 0);
        assert_false(cgroup_exists(cgroup, "a"));
        return;
    }
    for (int round = 0; round < 2; round++) { /* one that is there is as good */
        joins_count = cgroup_make_runner(cgroup, "a", &limits, joins, &err);
        assert_int_equal(joins_count, ARRAY_LEN(v1_hierarchies));
        for (int i = 0; round == 0 && i < joins_count; i++)
            close(joins[i]);
    }
    str_format(path, sizeof(path), "%s/memory.limit_in_bytes", group_path("memory", "a"));
    assert_string_equal(scratch_read(path), "33554432\n");
    pid_t pid = fork();
    if (pid == 0)
        _exit(join_all());
    for (size_t i = 0; i < ARRAY_LEN(v1_hierarchies); i++) {
        str_format(path, sizeof(path), "%s/cgroup.procs", group_path(v1_hierarchies[i], "a"));
        wait_until(atoi(scratch_read(path)) == pid);
        close(joins[i]);
    }
    assert_true(cgroup_runner_of(cgroup, pid, name));
    assert_string_equal(name, "a");
    assert_ok(cgroup_remove(cgroup, "a", &err), err);
    assert_int_equal(WTERMSIG(end_of(pid)), SIGKILL);
}

static void monitors_are_joined(void **state)
{
    struct err err;
    char path[600];
    (void)state;
    if (is_v2()) { /* LXC's to do too: this process stays where it is */
        assert_ok(cgroup_join_monitors(cgroup, &err), err);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(cgroup_join_monitors(cgroup, &err) == 0 ? pause_for_ever() : 1);
    str_format(path, sizeof(path), "%s/%s" CGROUP_MONITOR_SUFFIX "/cgroup.procs", root_of("memory"),
               prefix);
    wait_until(atoi(scratch_read(path)) == pid);
    kill(pid, SIGKILL);
    end_of(pid);
}

struct names {
    char found[16][NAME_MAX_LEN + 1];
    unsigned count;
};

static void note_name(const char *name, void *data)
{
    struct names *names = data;
    assert_in_range(names->count, 0, 15);
    strcpy(names->found[names->count++], name);
}

static unsigned times(const struct names *names, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < names->count; i++)
        count += strcmp(names->found[i], name) == 0;
    return count;
}

static void names_in_any_hierarchy_are_found_once(void **state)
{
    struct names names = {.count = 0};
    char path[600];
    struct err err;
    (void)state;
    make_group("everywhere");
    if (!is_v2())
        assert_int_equal(mkdir(group_path("pids", "half-removed"), 0755), 0);
    str_format(path, sizeof(path), "%s/%s" CGROUP_MONITOR_SUFFIX "/only-monitor", root_of("cpu"),
               prefix);
    assert_int_equal(mkdir(path, 0755), 0);
    int join = cgroup_operation_create(cgroup, "everywhere", 0, &err);
    assert_true(join >= 0);
    close(join);
    cgroup_each(cgroup, note_name, &names);
    assert_int_equal(times(&names, "everywhere"), 1);
    assert_int_equal(times(&names, "only-monitor"), 1);
    assert_int_equal(names.count, is_v2() ? 2 : 3);
    assert_true(cgroup_exists(cgroup, "everywhere"));
    assert_true(cgroup_exists(cgroup, "only-monitor"));
    assert_false(cgroup_exists(cgroup, "nobody"));
    for (unsigned i = 0; i < names.count; i++)
        assert_ok(cgroup_remove(cgroup, names.found[i], &err), err);
    names.count = 0;
    cgroup_each(cgroup, note_name, &names);
    assert_int_equal(names.count, 0);
}

static void removal_kills_what_is_there(void **state)
{
    struct err err;
    (void)state;
    make_group("a");
    pid_t pid = spawn_in("a", pause_for_ever);
    char procs[600];
    str_format(procs, sizeof(procs), "%s/cgroup.procs", group_path("memory", "a"));
    wait_until(scratch_read(procs)[0] != '\0');
    cgroup_try_remove(cgroup, "a", false); /* it is killed; whether it is gone yet is chance */
    int status = end_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_ok(cgroup_remove(cgroup, "a", &err), err);
    assert_false(cgroup_exists(cgroup, "a"));
    assert_true(cgroup_try_remove(cgroup, "a", false));
}

static void monitor_is_left_alone_unless_it_hangs(void **state)
{
    char procs[600], name[300];
    (void)state;
    str_format(name, sizeof(name), "%s/%s" CGROUP_MONITOR_SUFFIX "/a", root_of("memory"), prefix);
    assert_int_equal(mkdir(name, 0755), 0);
    str_format(procs, sizeof(procs), "%s/cgroup.procs", name);
    pid_t pid = fork();
    if (pid == 0) {
        join_file(procs);
        pause_for_ever();
    }
    wait_until(scratch_read(procs)[0] != '\0');
    assert_false(cgroup_try_remove(cgroup, "a", false));
    usleep(20000);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it lives */
    cgroup_try_remove(cgroup, "a", true);             /* true already when it died at once */
    int status = end_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    wait_until(cgroup_try_remove(cgroup, "a", true));
}

/* ---- operations ---- */

/* A process that joined an operation's group as the agent's child does. */
static pid_t spawn_in_operation(int join, int (*run)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(write(join, "0", 1) == 1 ? run() : 98);
    return pid;
}

static void operation_is_killed_alone(void **state)
{
    struct err err;
    int status;
    (void)state;
    make_group("a");
    int first = cgroup_operation_create(cgroup, "a", 0, &err);
    int second = cgroup_operation_create(cgroup, "a", 1, &err);
    assert_true(first >= 0 && second >= 0);
    assert_true(cgroup_operation_empty(cgroup, "a", 0));
    pid_t one = spawn_in_operation(first, pause_for_ever);
    pid_t two = spawn_in_operation(second, pause_for_ever);
    wait_until(!cgroup_operation_empty(cgroup, "a", 0) && !cgroup_operation_empty(cgroup, "a", 1));
    cgroup_operation_kill(cgroup, "a", 0);
    status = end_of(one);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    wait_until(cgroup_operation_empty(cgroup, "a", 0));
    assert_int_equal(waitpid(two, &status, WNOHANG), 0);
    assert_int_equal(cgroup_operation_count(cgroup, "a"), 2);
    cgroup_operation_kill(cgroup, "a", 1);
    end_of(two);
    cgroup_operation_kill(cgroup, "a", 7); /* there is none */
    close(first);
    close(second);
}

/* Each forks another and ends: whoever is looked at is gone when it is killed. */
static int flee(void)
{
    for (;;) {
        pid_t pid = fork();
        if (pid > 0)
            _exit(0);
        if (pid < 0)
            usleep(100);
    }
}

static void what_forks_faster_than_it_is_killed_is_killed_too(void **state)
{
    struct err err;
    (void)state;
    make_group("a");
    int join = cgroup_operation_create(cgroup, "a", 0, &err);
    assert_true(join >= 0);
    for (int i = 0; i < 4; i++)
        end_of(spawn_in_operation(join, flee));
    wait_until(!cgroup_operation_empty(cgroup, "a", 0));
    cgroup_operation_kill(cgroup, "a", 0);
    wait_until(cgroup_operation_empty(cgroup, "a", 0));
    close(join);
}

static void operation_that_is_there_is_used_again(void **state)
{
    struct err err;
    (void)state;
    make_group("a");
    for (int i = 0; i < 3; i++) {
        int join = cgroup_operation_create(cgroup, "a", 5, &err);
        assert_true(join >= 0);
        close(join);
    }
    assert_int_equal(cgroup_operation_count(cgroup, "a"), 6);
    assert_int_equal(cgroup_operation_count(cgroup, "nobody"), 0);
    assert_ok(cgroup_remove(cgroup, "a", &err), err);
    assert_int_equal(cgroup_operation_count(cgroup, "a"), 0);
}

/* A worker that died in the middle of a kill left a group frozen. */
static void what_was_left_frozen_is_removed(void **state)
{
    struct err err;
    (void)state;
    make_group("a");
    int join = cgroup_operation_create(cgroup, "a", 0, &err);
    pid_t pid = spawn_in_operation(join, pause_for_ever);
    wait_until(!cgroup_operation_empty(cgroup, "a", 0));
    if (is_v2())
        scratch_write(scratch_path(group_path("memory", "a"), "op-0/cgroup.freeze"), "1");
    else
        scratch_write(scratch_path(group_path("freezer", "a"), "op-0/freezer.state"), "FROZEN");
    cgroup_kill(cgroup, "a");
    int status = end_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_ok(cgroup_remove(cgroup, "a", &err), err);
    close(join);
}

/* ---- the generation that this machine may not have, as a folder of files ---- */

static char tree[PATH_MAX], mounts[PATH_MAX];

static void put(const char *path, const char *text)
{
    scratch_write(scratch_path(tree, path), text);
}

static void make_dir(const char *path)
{
    assert_int_equal(mkdir(scratch_path(tree, path), 0755), 0);
}

static void make_v2_tree(void)
{
    scratch_make(tree);
    str_format(mounts, sizeof(mounts), "%s/mounts", tree);
    char line[PATH_MAX + 256];
    snprintf(line, sizeof(line),
             "proc /proc proc rw 0 0\ncgroup2 %s cgroup2 rw,nsdelegate 0 0\n"
             "cgroup2 /elsewhere cgroup2 rw 0 0\n",
             tree);
    scratch_write(mounts, line);
    make_dir("pre");
    make_dir("pre/a");
    put("cgroup.subtree_control", "");
    put("pre/cgroup.subtree_control", "");
    static const char *const files[] = {"memory.max", "memory.swap.max", "pids.max", "cpu.max"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[64];
        str_format(path, sizeof(path), "pre/a/%s", files[i]);
        put(path, "");
    }
    put("pre/a/memory.current", "1048576\n");
    put("pre/a/memory.peak", "4194304\n");
    put("pre/a/memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 9\n");
    put("pre/a/pids.events", "max 5\nmax.imposed 77\n");
    put("pre/a/pids.current", "7\n");
    put("pre/a/cpu.stat", "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 1\n");
}

static const char *written(const char *path)
{
    return scratch_read(scratch_path(tree, path));
}

static void v2_limits_and_figures(void **state)
{
    struct err err;
    struct engine_stats stats;
    (void)state;
    make_v2_tree();
    struct cgroup *v2 = cgroup_create_from(mounts, "pre", &err);
    if (!v2)
        fail_msg("%s", err.msg);
    assert_string_equal(cgroup_version(v2), "v2");
    assert_true(cgroup_by_lxc(v2));
    /* In a file of an ordinary kind the last of them stands over the others. */
    assert_true(str_starts_with(written("pre/cgroup.subtree_control"), "+cpu"));
    assert_ok(cgroup_set_limits(v2, "a", &limits, &err), err);
    assert_string_equal(written("pre/a/memory.max"), "33554432");
    assert_string_equal(written("pre/a/memory.swap.max"), "0");
    assert_string_equal(written("pre/a/pids.max"), "8");
    assert_string_equal(written("pre/a/cpu.max"), "50000 100000");
    assert_ok(cgroup_stats(v2, "a", &stats, &err), err);
    const struct engine_stats wanted = {.memory_bytes = 1048576,
                                        .memory_peak_bytes = 4194304,
                                        .cpu_us = 3000,
                                        .user_us = 2000,
                                        .system_us = 1000,
                                        .oom_kills = 1,
                                        .pids_refused = 5,
                                        .processes = 7};
    assert_memory_equal(&stats, &wanted, sizeof(wanted));
    cgroup_destroy(v2);
    scratch_remove(tree);
}

static void v2_operations(void **state)
{
    struct err err;
    (void)state;
    make_v2_tree();
    struct cgroup *v2 = cgroup_create_from(mounts, "pre", &err);
    assert_non_null(v2);
    make_dir("pre/a/op-3");
    put("pre/a/op-3/cgroup.procs", "");
    put("pre/a/op-3/cgroup.kill", "");
    int join = cgroup_operation_create(v2, "a", 3, &err);
    assert_true(join >= 0);
    assert_int_equal(write(join, "0", 1), 1);
    assert_string_equal(written("pre/a/op-3/cgroup.procs"), "0");
    assert_false(cgroup_operation_empty(v2, "a", 3));
    assert_int_equal(cgroup_operation_count(v2, "a"), 4);
    cgroup_operation_kill(v2, "a", 3);
    assert_string_equal(written("pre/a/op-3/cgroup.kill"), "1");
    close(join);
    cgroup_destroy(v2);
    scratch_remove(tree);
}

struct items {
    char text[2048];
    unsigned count, most;
};

static bool note_item(const char *key, const char *value, void *data)
{
    struct items *items = data;
    size_t len = strlen(items->text);
    str_format(items->text + len, sizeof(items->text) - len, "%s=%s;", key, value);
    return ++items->count < items->most;
}

static void limits_for_lxc(void **state)
{
    struct err err;
    (void)state;
    make_v2_tree();
    struct cgroup *v2 = cgroup_create_from(mounts, "pre", &err);
    assert_non_null(v2);
    struct items items = {.most = 100};
    assert_true(cgroup_lxc_items(v2, &limits, note_item, &items));
    /* The prefix has no memory.swap.max: the kernel does not count swap, and LXC would fail. */
    assert_string_equal(items.text, "lxc.cgroup2.memory.max=33554432;lxc.cgroup2.pids.max=8;"
                                    "lxc.cgroup2.cpu.max=50000 100000;");
    put("pre/memory.swap.max", "max");
    items = (struct items){.most = 100};
    assert_true(cgroup_lxc_items(v2, &limits, note_item, &items));
    assert_contains(items.text, "lxc.cgroup2.memory.swap.max=0;");
    items = (struct items){.most = 1};
    assert_false(cgroup_lxc_items(v2, &limits, note_item, &items)); /* stops at the first refusal */
    assert_int_equal(items.count, 1);
    cgroup_destroy(v2);
    scratch_remove(tree);
}

static void hybrid_limits_and_figures(void **state)
{
    struct err err;
    struct engine_stats stats;
    static const char *const names[] = {"memory", "pids", "cpu,cpuacct", "freezer", "unified"};
    char list[4 * PATH_MAX] = "";
    (void)state;
    scratch_make(tree);
    str_format(mounts, sizeof(mounts), "%s/mounts", tree);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t len = strlen(list);
        char path[128];
        make_dir(names[i]);
        snprintf(list + len, sizeof(list) - len, "cgroup %s/%s %s rw,%s 0 0\n", tree, names[i],
                 strcmp(names[i], "unified") == 0 ? "cgroup2" : "cgroup", names[i]);
        str_format(path, sizeof(path), "%s/pre", names[i]);
        make_dir(path);
        str_format(path, sizeof(path), "%s/pre/a", names[i]);
        make_dir(path);
    }
    scratch_write(mounts, list);
    static const char *const files[] = {"memory/pre/a/memory.limit_in_bytes",
                                        "memory/pre/a/memory.memsw.limit_in_bytes",
                                        "pids/pre/a/pids.max",
                                        "cpu,cpuacct/pre/a/cpu.cfs_period_us",
                                        "cpu,cpuacct/pre/a/cpu.cfs_quota_us",
                                        "memory/pre/a/memory.max_usage_in_bytes"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(files[i], "");
    put("memory/pre/a/memory.usage_in_bytes", "1000\n");
    put("memory/pre/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
    put("pids/pre/a/pids.events", "max 2\n");
    put("pids/pre/a/pids.current", "3\n");
    put("cpu,cpuacct/pre/a/cpuacct.usage", "9000000\n");
    put("cpu,cpuacct/pre/a/cpuacct.usage_user", "9999000\n"); /* by ticks: may be more than all */

    struct cgroup *v1 = cgroup_create_from(mounts, "pre", &err);
    if (!v1)
        fail_msg("%s", err.msg);
    assert_string_equal(cgroup_version(v1), "v1");
    assert_false(cgroup_by_lxc(v1));
    assert_ok(cgroup_set_limits(v1, "a", &limits, &err), err);
    assert_string_equal(written("memory/pre/a/memory.limit_in_bytes"), "33554432");
    assert_string_equal(written("memory/pre/a/memory.memsw.limit_in_bytes"), "33554432");
    assert_string_equal(written("cpu,cpuacct/pre/a/cpu.cfs_quota_us"), "50000");
    cgroup_reset_peak(v1, "a");
    assert_string_equal(written("memory/pre/a/memory.max_usage_in_bytes"), "0");
    put("memory/pre/a/memory.max_usage_in_bytes", "2000\n");
    assert_ok(cgroup_stats(v1, "a", &stats, &err), err);
    const struct engine_stats wanted = {.memory_bytes = 1000,
                                        .memory_peak_bytes = 2000,
                                        .cpu_us = 9000,
                                        .user_us = 9000,
                                        .system_us = 0,
                                        .oom_kills = 4,
                                        .pids_refused = 2,
                                        .processes = 3};
    assert_memory_equal(&stats, &wanted, sizeof(wanted));
    cgroup_destroy(v1);
    scratch_remove(tree);
}

static void what_is_missing_is_named(void **state)
{
    struct err err;
    (void)state;
    scratch_make(tree);
    str_format(mounts, sizeof(mounts), "%s/mounts", tree);
    assert_null(cgroup_create_from(mounts, "pre", &err));
    assert_contains(err.msg, "mounts: No such file");
    scratch_write(mounts, "proc /proc proc rw 0 0\nshort\n\n");
    assert_null(cgroup_create_from(mounts, "pre", &err));
    assert_contains(err.msg, "no cgroup hierarchy has the memory controller");
    char line[PATH_MAX + 256];
    snprintf(line, sizeof(line), "cgroup %s cgroup rw,memory 0 0\n", tree);
    scratch_write(mounts, line);
    assert_null(cgroup_create_from(mounts, "pre", &err));
    assert_contains(err.msg, "no cgroup hierarchy has the pids controller");
    snprintf(line, sizeof(line), "cgroup2 %s cgroup2 rw 0 0\n", tree);
    scratch_write(mounts, line);
    assert_null(cgroup_create_from(mounts, "pre", &err));
    assert_contains(err.msg, "cannot write +memory to ");
    assert_null(cgroup_create_from(mounts, "a123456789012345678901234567890123456789012", &err));
    assert_contains(err.msg, "longer than a prefix may be");
    cgroup_destroy(NULL);
    scratch_remove(tree);
}

#define REAL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* The folder above all runners' has its bounds, in the words of this machine's generation. */
static void all_runners_have_a_bound(void **state)
{
    struct err err;
    const struct cgroup_share share = {.memory_bytes = 512 << 20, .processes = 321};
    static const struct {
        const char *controller, *v1, *v2, *v1_value, *v2_value;
    } files[] = {
        {"memory", "memory.limit_in_bytes", "memory.max", "536870912\n", "536870912\n"},
        {"pids", "pids.max", "pids.max", "321\n", "321\n"},
        {"cpu", "cpu.shares", "cpu.weight", "512\n", "50\n"},
    };
    (void)state;
    assert_ok(cgroup_bound_all(cgroup, &share, &err), err);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char text[64];
        const char *path = group_path(files[i].controller, is_v2() ? files[i].v2 : files[i].v1);
        assert_true(fd_read_file(AT_FDCWD, path, text, sizeof(text)) > 0);
        assert_string_equal(text, is_v2() ? files[i].v2_value : files[i].v1_value);
    }
    assert_fails(cgroup_bound_all(cgroup, &(struct cgroup_share){-5, 1}, &err), err, ERR_INTERNAL,
                 "of all runners to -5");
}

int main(void)
{
    snprintf(prefix, sizeof(prefix), "codeland-test-%d", (int)getpid());
    const struct CMUnitTest tests[] = {
        REAL(limits_are_set_lowered_and_raised),
        REAL(group_gives_way_and_has_no_limit_at_its_end),
        REAL(memory_over_the_limit_is_counted),
        REAL(forks_over_the_limit_are_refused_and_counted),
        REAL(peak_begins_anew_where_it_can),
        REAL(stats_of_what_is_not_there),
        REAL(runner_of_a_process),
        REAL(runner_is_made_and_joined),
        REAL(monitors_are_joined),
        REAL(names_in_any_hierarchy_are_found_once),
        REAL(removal_kills_what_is_there),
        REAL(monitor_is_left_alone_unless_it_hangs),
        REAL(operation_is_killed_alone),
        REAL(what_forks_faster_than_it_is_killed_is_killed_too),
        REAL(operation_that_is_there_is_used_again),
        REAL(what_was_left_frozen_is_removed),
        REAL(all_runners_have_a_bound),
        cmocka_unit_test(v2_limits_and_figures),
        cmocka_unit_test(v2_operations),
        cmocka_unit_test(limits_for_lxc),
        cmocka_unit_test(hybrid_limits_and_figures),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
