#include "../../../src/worker/own_group.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* What goes wrong in the child is said by the line it is in. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void read_own(char text[8192])
{
    must(fd_read_file(AT_FDCWD, "/proc/self/cgroup", text, 8192) > 0);
}

static size_t count(const char *text, const char *part)
{
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

/* The test's own process stays where it is. */
static void in_a_child(void (*what)(const char *prefix))
{
    int status;
    char prefix[NAME_MAX_LEN + 1];
    str_format(prefix, sizeof(prefix), "clt-own-%d", (int)getpid());
    pid_t pid = fork();
    if (pid == 0) {
        what(prefix);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void enter_and_leave(const char *prefix)
{
    char before[8192], inside[8192], after[8192], group[64];
    struct err err;
    struct cgroup_root roots[CGROUP_ROOTS_MOST];
    struct cgroup *cgroup = cgroup_create(prefix, &err);
    must(cgroup);
    size_t hierarchies = cgroup_roots(cgroup, roots);
    str_format(group, sizeof(group), "/%s" OWN_GROUP_SUFFIX "\n", prefix);
    read_own(before);
    struct own_group *own = own_group_enter(cgroup, prefix, 1 << 20, &err);
    must(own);
    read_own(inside);
    must(count(inside, group) == hierarchies);
    pid_t helper = fork();
    if (helper == 0) {
        read_own(inside);
        _exit(count(inside, group) == hierarchies ? 0 : 1);
    }
    int status;
    must(waitpid(helper, &status, 0) == helper && status == 0);
    own_group_leave(own);
    read_own(after);
    must(strcmp(before, after) == 0);
    for (size_t i = 0; i < hierarchies; i++) {
        char path[512];
        str_format(path, sizeof(path), "%s/%s" OWN_GROUP_SUFFIX, roots[i].path, prefix);
        must(access(path, F_OK) != 0);
    }
    cgroup_remove_prefix(cgroup);
    cgroup_destroy(cgroup);
}

static void test_in_and_out(void **state)
{
    (void)state;
    in_a_child(enter_and_leave);
}

/* One that was killed leaves the group; its child may even be started in it. */
static void enter_what_is_there(const char *prefix)
{
    char text[8192], group[64];
    struct err err;
    struct cgroup *cgroup = cgroup_create(prefix, &err);
    must(cgroup && own_group_enter(cgroup, prefix, 1 << 20, &err));
    struct own_group *again = own_group_enter(cgroup, prefix, 1 << 20, &err);
    must(again);
    own_group_leave(again);
    read_own(text);
    str_format(group, sizeof(group), "/%s" OWN_GROUP_SUFFIX "\n", prefix);
    must(count(text, group) == 0);
    cgroup_remove_prefix(cgroup);
}

static void test_one_that_is_there(void **state)
{
    (void)state;
    in_a_child(enter_what_is_there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_and_out),
        cmocka_unit_test(test_one_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
