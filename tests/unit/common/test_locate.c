#include "../../../src/common/locate.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[PATH_MAX];

static int set_up(void **data)
{
    (void)data;
    scratch_make(folder);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    scratch_remove(folder);
    return 0;
}

static void put(const char *below, const char *name)
{
    struct err err;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", scratch_path(folder, below));
    assert_ok(fd_mkdirs(path, 0755, &err), err);
    if (name[0])
        scratch_write(scratch_path(path, name), "");
}

static void assert_found(const char *self, const char *where)
{
    struct err err;
    char path[PATH_MAX], wanted[PATH_MAX], program[PATH_MAX];
    snprintf(program, sizeof(program), "%s", scratch_path(folder, self));
    assert_ok(locate_file(path, program, "src/worker", "libexec/codeland", "daemon", &err), err);
    assert_non_null(realpath(scratch_path(folder, where), wanted));
    assert_string_equal(path, wanted);
}

static void this_program_is_found(void **data)
{
    (void)data;
    struct err err;
    char path[PATH_MAX];
    assert_ok(locate_self(path, &err), err);
    assert_contains(path, "test_locate");
    assert_int_equal(access(path, X_OK), 0);
}

static void a_build_folder_comes_first(void **data)
{
    (void)data;
    put("src/worker", "daemon");
    put("src/cli", "daemon");
    put("src/libexec/codeland", "daemon");
    assert_found("src/cli/codeland", "src/worker/daemon");
}

static void then_what_was_installed(void **data)
{
    (void)data;
    put("usr/bin", "daemon");
    put("usr/libexec/codeland", "daemon");
    assert_found("usr/bin/codeland", "usr/libexec/codeland/daemon");
}

static void then_beside_the_program(void **data)
{
    (void)data;
    put("usr/libexec/codeland", "daemon");
    put("opt", "daemon");
    assert_found("usr/libexec/codeland/other", "usr/libexec/codeland/daemon");
    assert_found("opt/codeland", "opt/daemon");
}

static void what_is_nowhere_is_named(void **data)
{
    (void)data;
    struct err err;
    char path[PATH_MAX];
    assert_fails(locate_file(path, scratch_path(folder, "bin/codeland"), "src/worker",
                             "libexec/codeland", "daemon", &err),
                 err, ERR_INTERNAL, "daemon is missing: not in src/worker of a build");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(this_program_is_found),    CASE(a_build_folder_comes_first),
        CASE(then_what_was_installed),  CASE(then_beside_the_program),
        CASE(what_is_nowhere_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
