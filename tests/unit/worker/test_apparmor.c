#include "../../../src/worker/apparmor.h"

#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <sys/stat.h>

static char folder[PATH_MAX];

/* A parser in its place, which notes its words. */
static const char *parser_that(const char *script)
{
    char text[PATH_MAX + 512];
    snprintf(text, sizeof(text), "#!/bin/sh\necho \"$*\" >%s/words\n%s\n", folder, script);
    const char *path = scratch_path(folder, "parser");
    scratch_write(path, text);
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static void loads_what_it_is_given(void **state)
{
    (void)state;
    struct err err;
    assert_ok(apparmor_load(parser_that("exit 0"), "/some/profiles", &err), err);
    assert_string_equal(scratch_read(scratch_path(folder, "words")),
                        "--replace --write-cache /some/profiles\n");
}

static void what_it_says_is_told(void **state)
{
    (void)state;
    struct err err;
    const char *parser = parser_that("echo 'syntax error in line 3' >&2; echo more; exit 1");
    assert_fails(apparmor_load(parser, "/some/profiles", &err), err, ERR_NOT_AVAILABLE,
                 "does not load /some/profiles: syntax error in line 3");
    assert_null(strstr(err.msg, "more"));
}

static void much_is_cut_and_nothing_is_well(void **state)
{
    (void)state;
    struct err err;
    const char *parser = parser_that("head -c 300000 /dev/zero | tr '\\0' x; exit 1");
    assert_fails(apparmor_load(parser, "/p", &err), err, ERR_NOT_AVAILABLE,
                 "does not load /p: xxx");
    assert_fails(apparmor_load(parser_that("kill -9 $$"), "/p", &err), err, ERR_NOT_AVAILABLE,
                 "does not load /p: ");
}

static void a_host_without_the_parser(void **state)
{
    (void)state;
    struct err err;
    assert_fails(apparmor_load("/nonexistent/parser", "/p", &err), err, ERR_NOT_AVAILABLE,
                 "cannot execute /nonexistent/parser");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_what_it_is_given),
        cmocka_unit_test(what_it_says_is_told),
        cmocka_unit_test(much_is_cut_and_nothing_is_well),
        cmocka_unit_test(a_host_without_the_parser),
    };
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
