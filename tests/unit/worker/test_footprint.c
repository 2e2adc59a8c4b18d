#include "../../../src/worker/footprint.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/json.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char folder[PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static json_t *take(const struct footprint_ground *ground)
{
    cleanup_json json_t *names = json_pack("[s, s]", "cr-one", "cr-two");
    return footprint_take(ground, names, 1);
}

static json_int_t number(const json_t *footprint, const char *key)
{
    const json_t *value = json_object_get(footprint, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static bool has_line(const json_t *list, const char *start)
{
    size_t i;
    json_t *line;
    assert_true(json_is_array(list));
    json_array_foreach((json_t *)list, i, line)
    {
        if (strncmp(json_string_value(line), start, strlen(start)) == 0)
            return true;
    }
    return false;
}

static void it_tells_what_is_there(void **state)
{
    const struct footprint_ground ground = {
        .ids_first = 4100000000, .ids_end = 4100000001, .run_dir = folder};
    (void)state;
    cleanup_json json_t *footprint = take(&ground);
    assert_int_equal(number(footprint, "runners"), 2);
    assert_int_equal(number(footprint, "busy"), 1);
    assert_int_equal(json_array_size(json_object_get(footprint, "strays")), 0);
    assert_true(has_line(json_object_get(footprint, "mounts"), "worker /proc proc"));
    assert_true(has_line(json_object_get(footprint, "interfaces"), "lo"));
    assert_true(has_line(json_object_get(footprint, "addresses"), "lo 127.0.0.1"));
    assert_true(number(footprint, "descriptors") >= 3);
    assert_int_equal(number(footprint, "files"), 0);
    const json_t *memory = json_object_get(footprint, "memory");
    assert_true(number(memory, "worker") > 0 && number(memory, "shared") >= 0 &&
                number(memory, "kernel") > 0);
    const json_t *rules = json_object_get(footprint, "rules");
    assert_true(json_is_array(rules) || json_is_string(json_object_get(footprint, "rulesWhy")));
}

static void it_counts_what_comes(void **state)
{
    const struct footprint_ground ground = {
        .ids_first = 4100000000, .ids_end = 4100000001, .run_dir = folder};
    (void)state;
    cleanup_json json_t *before = take(&ground);
    cleanup_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct err err;
    assert_ok(fd_mkdirs(scratch_path(folder, "a/b"), 0755, &err), err);
    scratch_write(scratch_path(folder, "a/file"), "x");
    cleanup_json json_t *after = take(&ground);
    assert_int_equal(number(after, "descriptors"), number(before, "descriptors") + 1);
    assert_int_equal(number(after, "files"), 3);
}

/* A process of a runner's user that no runner has, and one that nobody has waited for. */
static void strays_are_named(void **state)
{
    const struct footprint_ground ground = {
        .ids_first = getuid(), .ids_end = (uint64_t)getuid() + 1, .run_dir = folder};
    const struct footprint_ground nobodys = {
        .ids_first = 4100000000, .ids_end = 4100000001, .run_dir = folder};
    char line[64];
    (void)state;
    snprintf(line, sizeof(line), "process %d ", getpid());
    cleanup_json json_t *footprint = take(&ground);
    /* Others of root's may be more than are listed. */
    assert_true(has_line(json_object_get(footprint, "strays"), "process "));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cleanup_json json_t *with = take(&nobodys);
    snprintf(line, sizeof(line), "process %d test_footprint, ended", child);
    assert_true(has_line(json_object_get(with, "strays"), line));
    waitpid(child, NULL, 0);
    cleanup_json json_t *without = take(&nobodys);
    assert_int_equal(json_array_size(json_object_get(without, "strays")), 0);
}

static void lists_are_bounded(void **state)
{
    static char text[(FOOTPRINT_LINES_MAX + 50) * 16];
    (void)state;
    for (int i = 0; i < FOOTPRINT_LINES_MAX + 50; i++)
        sprintf(text + 11 * i, "line %05d\n", i);
    cleanup_json json_t *list = footprint_lines(text);
    assert_int_equal(json_array_size(list), FOOTPRINT_LINES_MAX + 1);
    const json_t *last = json_array_get(list, FOOTPRINT_LINES_MAX);
    assert_int_equal(strncmp(json_string_value(last), "and 50 more #", 13), 0);
    text[11 * FOOTPRINT_LINES_MAX + 3] = 'X'; /* in what is not listed */
    cleanup_json json_t *other = footprint_lines(text);
    assert_false(json_equal(list, other));
}

static void lines_are_text(void **state)
{
    char wide[2 * FOOTPRINT_LINE_MAX], same[2 * FOOTPRINT_LINE_MAX];
    (void)state;
    cleanup_json json_t *list = footprint_lines("  b\n\n\ta\x1b[m\n\xff\xc3\n");
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_string_value(json_array_get(list, 0)), "a?[m");
    assert_string_equal(json_string_value(json_array_get(list, 1)), "b");
    assert_string_equal(json_string_value(json_array_get(list, 2)), "??");
    memset(wide, 'x', sizeof(wide));
    wide[sizeof(wide) - 1] = '\0';
    memcpy(same, wide, sizeof(wide));
    same[sizeof(same) - 2] = 'y';
    cleanup_json json_t *one = footprint_lines(wide), *two = footprint_lines(same);
    assert_true(strlen(json_string_value(json_array_get(one, 0))) <= FOOTPRINT_LINE_MAX);
    assert_false(json_equal(one, two)); /* though they begin alike */
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_tells_what_is_there), TEST(it_counts_what_comes), TEST(strays_are_named),
        TEST(lists_are_bounded),      TEST(lines_are_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
