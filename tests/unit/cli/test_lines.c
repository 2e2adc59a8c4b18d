#include "../../../src/cli/lines.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <fcntl.h>
#include <stdlib.h>

struct got {
    char text[40000];
    size_t count;
};

static void on_line(const char *line, void *data)
{
    struct got *got = data;
    got->count++;
    strncat(got->text, line, 20);
    strcat(got->text, "|");
}

static void open_pipe(int fds[2])
{
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void lines_come_whole(void **data)
{
    (void)data;
    int fds[2];
    struct lines lines = {0};
    struct got got = {0};
    open_pipe(fds);
    assert_int_equal(write(fds[1], "one\ntw", 6), 6);
    assert_true(lines_read(&lines, fds[0], on_line, &got));
    assert_string_equal(got.text, "one|");
    assert_int_equal(write(fds[1], "o\n\nthree", 8), 8);
    assert_true(lines_read(&lines, fds[0], on_line, &got));
    assert_string_equal(got.text, "one|two||");
    close(fds[1]);
    assert_false(lines_read(&lines, fds[0], on_line, &got));
    assert_string_equal(got.text, "one|two||three|");
    close(fds[0]);
}

static void a_long_line_is_cut_not_split(void **data)
{
    (void)data;
    int fds[2];
    struct lines lines = {0};
    struct got got = {0};
    char text[3 * LINES_MAX_BYTES];
    open_pipe(fds);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\n';
    assert_int_equal(write(fds[1], text, sizeof(text)), sizeof(text));
    assert_int_equal(write(fds[1], "next\n", 5), 5);
    assert_true(lines_read(&lines, fds[0], on_line, &got));
    assert_string_equal(got.text, "xxxxxxxxxxxxxxxxxxxx|next|");
    close(fds[0]);
    close(fds[1]);
}

static void a_nul_does_not_hide_the_rest(void **data)
{
    (void)data;
    int fds[2];
    struct lines lines = {0};
    struct got got = {0};
    open_pipe(fds);
    assert_int_equal(write(fds[1], "a\0b\n", 4), 4);
    assert_true(lines_read(&lines, fds[0], on_line, &got));
    assert_string_equal(got.text, "a?b|");
    close(fds[0]);
    close(fds[1]);
}

/* A writer that is always faster must not keep the reader. */
static void one_call_is_bounded(void **data)
{
    (void)data;
    struct lines lines = {0};
    struct got got = {0};
    cleanup_close int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_true(lines_read(&lines, zero, on_line, &got));
    assert_int_equal(got.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_whole),
        cmocka_unit_test(a_long_line_is_cut_not_split),
        cmocka_unit_test(a_nul_does_not_hide_the_rest),
        cmocka_unit_test(one_call_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
