#include "../../../src/cli/abuse_case.h"
#include "../../../src/cli/abuse_run.h"

#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <limits.h>
#include <stdlib.h>

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

#define ROW "#: group disk\n#: tries to fill it\n#: holds a size\n#: status ok memory\n"

static int read_text(struct abuse_case *abuse, const char *text, struct err *err)
{
    const char *path = scratch_path(folder, "fill.py");
    scratch_write(path, text);
    return abuse_case_read(abuse, path, err);
}

static void a_case_is_read(void **data)
{
    (void)data;
    struct err err;
    struct abuse_case abuse;
    assert_ok(read_text(&abuse,
                        ROW "#: says-held yes\n#: truncated yes\n#: time-ms 700\n"
                            "#: memory-mib 48\n#: stdin-bytes 9\n#: runs 2\n\nprint(1)\n",
                        &err),
              err);
    assert_string_equal(abuse.name, "fill");
    assert_string_equal(abuse.language, "py");
    assert_string_equal(abuse.group, "disk");
    assert_string_equal(abuse.tries, "to fill it");
    assert_string_equal(abuse.holds, "a size");
    assert_true(abuse.says_held && abuse.truncated);
    assert_int_equal(abuse.time_ms, 700);
    assert_int_equal(abuse.memory_mib, 48);
    assert_int_equal(abuse.stdin_bytes, 9);
    assert_int_equal(abuse.runs, 2);
    assert_contains(abuse.program, "\n\nprint(1)\n");
    assert_true(abuse_case_allows(&abuse, "ok") && abuse_case_allows(&abuse, "memory"));
    assert_false(abuse_case_allows(&abuse, "o") || abuse_case_allows(&abuse, "okay") ||
                 abuse_case_allows(&abuse, "") || abuse_case_allows(&abuse, "ok memory"));
    abuse_case_finish(&abuse);
}

static void what_is_no_case_is_refused(void **data)
{
    (void)data;
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"print(1)\n", "fill.py: group: is missing"},
        {"#: group disk\n#: tries x\n#: holds x\n", "status: is missing"},
        {ROW "#: group other\n", "line 5: group: comes twice"},
        {ROW "#: colour red\n", "line 5: \"colour\" is no key"},
        {ROW "#: runs 5\n", "line 5: runs: must be a number, 1 to 4"},
        {ROW "#: runs two\n", "runs: must be a number"},
        {ROW "#: time-ms\n", "time-ms: must be a number, 1 to 60000"},
        {ROW "#: truncated no\n", "truncated: can be \"yes\" alone"},
        {ROW "#: request [1]\n", "line 5: request:"},
        {ROW "#: request {}\n#: request {}\n", "line 6: request: comes twice"},
        {ROW "#: refused {\n", "line 5: refused:"},
        {ROW "#: stream-bytes 0\n", "stream-bytes: must be a number, 1 to"},
        {"#: group \n", "line 1: group: must have 1 to 48 bytes"},
        {"#: group 1234567890123456789012345678901234567890123456789\n", "1 to 48 bytes"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct err err;
        struct abuse_case abuse;
        assert_fails(read_text(&abuse, wrong[i].text, &err), err, ERR_BAD_REQUEST, wrong[i].words);
        assert_null(abuse.program);
    }
    struct err err;
    struct abuse_case abuse;
    assert_fails(abuse_case_read(&abuse, scratch_path(folder, "none.py"), &err), err, ERR_INTERNAL,
                 "none.py");
}

static void a_folder_is_read_in_order(void **data)
{
    (void)data;
    struct err err;
    size_t count;
    scratch_write(scratch_path(folder, "b.sh"), ROW);
    scratch_write(scratch_path(folder, "a.pl"), ROW);
    scratch_write(scratch_path(folder, "z.py"),
                  "#: group agent\n#: tries x\n#: holds x\n#: status ok\n");
    scratch_write(scratch_path(folder, "probe.py"), "no case");
    scratch_write(scratch_path(folder, "README.md"), "no case");
    struct abuse_case *cases = abuse_cases_read(folder, &count, &err);
    assert_non_null(cases);
    assert_int_equal(count, 3);
    assert_string_equal(cases[0].name, "z");
    assert_string_equal(cases[1].name, "a");
    assert_string_equal(cases[2].name, "b");
    abuse_cases_free(cases, count);
    scratch_write(scratch_path(folder, "c.sh"), "no row");
    assert_null(abuse_cases_read(folder, &count, &err));
    assert_contains(err.msg, "c.sh");
    assert_null(abuse_cases_read(scratch_path(folder, "nowhere"), &count, &err));
    assert_contains(err.msg, "nowhere");
}

static void an_empty_folder_is_an_error(void **data)
{
    (void)data;
    struct err err;
    size_t count;
    assert_null(abuse_cases_read(folder, &count, &err));
    assert_contains(err.msg, "holds 0 cases");
}

static void a_request_has_it_all(void **data)
{
    (void)data;
    struct err err;
    struct abuse_case abuse;
    const struct abuse_target target = {
        .address = "127.0.0.1:1", .prelude = "import os", .hosts = ""};
    assert_ok(read_text(&abuse, ROW "#: time-ms 1500\n#: memory-mib 4\n#: stdin-bytes 3\n", &err),
              err);
    json_t *body = abuse_request(&abuse, &target, 2);
    json_t *args = json_object_get(body, "args");
    assert_string_equal(json_string_value(json_array_get(args, 0)), "2");
    assert_string_equal(json_string_value(json_array_get(args, 1)), "127.0.0.1:1");
    const char *program = json_string_value(json_object_get(json_object_get(body, "env"), "ABUSE"));
    assert_int_equal(strncmp(program, "import os\n#: group", 18), 0);
    assert_true(json_real_value(json_object_get(body, "time")) == 1.5);
    assert_int_equal(json_integer_value(json_object_get(body, "memory")), 4 << 20);
    assert_string_equal(json_string_value(json_object_get(body, "stdin")), "xxx");
    json_decref(body);
    abuse_case_finish(&abuse);
}

static void a_request_of_a_compilers_case(void **data)
{
    (void)data;
    struct err err;
    struct abuse_case abuse;
    const struct abuse_target target = {.address = "h:1", .prelude = "p", .hosts = ""};
    const char *path = scratch_path(folder, "flood.c");
    scratch_write(path, "//: group c\n//: tries x\n//: holds x\n//: status ok\n"
                        "//: optional yes\nint x;\n");
    assert_ok(abuse_case_read(&abuse, path, &err), err);
    assert_true(abuse.optional);
    json_t *body = abuse_request(&abuse, &target, 1);
    assert_string_equal(json_string_value(json_object_get(body, "language")), "c");
    assert_contains(json_string_value(json_object_get(body, "code")), "int x;");
    assert_null(json_object_get(body, "env"));
    assert_null(json_object_get(body, "worker"));
    json_decref(body);
    abuse_case_finish(&abuse);
}

static void a_request_is_added_to(void **data)
{
    (void)data;
    struct err err;
    struct abuse_case abuse;
    const struct abuse_target target = {
        .address = "h:1", .worker = "lab1", .prelude = "", .hosts = "10.0.0.1", .connections = 7};
    assert_ok(read_text(&abuse,
                        ROW "#: request {\"network\": \"nat\", \"collect\": [\"*\"]}\n"
                            "#: refused {\"cwd\": \"x\"}\n#: refused {}\n"
                            "#: collected a=ok b=link\n#: stream-bytes 5\n",
                        &err),
              err);
    assert_int_equal(json_array_size(abuse.refused), 2);
    assert_string_equal(abuse.collected, "a=ok b=link");
    assert_int_equal(abuse.stream_bytes, 5);
    json_t *body = abuse_request(&abuse, &target, 1);
    json_t *env = json_object_get(body, "env");
    assert_string_equal(json_string_value(json_object_get(body, "network")), "nat");
    assert_string_equal(json_string_value(json_object_get(body, "worker")), "lab1");
    assert_string_equal(json_string_value(json_object_get(env, "ABUSE_HOSTS")), "10.0.0.1");
    assert_string_equal(json_string_value(json_object_get(env, "ABUSE_CONNECTIONS")), "7");
    json_decref(body);
    abuse_case_finish(&abuse);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_case_is_read),
        TEST(what_is_no_case_is_refused),
        TEST(a_folder_is_read_in_order),
        TEST(an_empty_folder_is_an_error),
        TEST(a_request_has_it_all),
        TEST(a_request_of_a_compilers_case),
        TEST(a_request_is_added_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
