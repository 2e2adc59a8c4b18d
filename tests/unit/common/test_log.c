/* What is on standard error after a line was logged: read back through a pipe. */
#include "../../../src/common/log.h"

#include "../../../src/common/str.h"
#include "../../support/cm.h"

#include <regex.h>
#include <unistd.h>

static int ends[2], real_stderr;
static char line[20000];

static int set_up(void **state)
{
    (void)state;
    if (pipe(ends) != 0)
        return -1;
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    log_init("test", LOG_DEBUG);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* The line that was written, without its newline: one write, one line. */
static const char *last(void)
{
    ssize_t len = read(ends[0], line, sizeof(line) - 1);
    assert_true(len > 0);
    line[len] = '\0';
    char *end = strchr(line, '\n');
    assert_non_null(end);
    assert_ptr_equal(end, line + len - 1);
    *end = '\0';
    assert_int_equal(str_utf8_valid(line, (size_t)len - 1), (size_t)len - 1);
    return line;
}

static const char *value_of(const char *value)
{
    log_info("e", LOG_S("v", value));
    const char *found = strstr(last(), " v=");
    assert_non_null(found);
    return found + 3;
}

static void line_has_its_parts(void **state)
{
    (void)state;
    log_warn("runner cooked", LOG_S("runner", "cr-1"), LOG_D("ms", -7), LOG_SECRET("token"));
    regex_t shape;
    assert_int_equal(regcomp(&shape,
                             "^level=warn "
                             "time=20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{"
                             "3}Z program=test event=\"runner cooked\" runner=cr-1 ms=-7 token="
                             "\\*\\*\\*$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    const char *text = last();
    if (regexec(&shape, text, 0, NULL, 0) != 0)
        fail_msg("%s", text);
    regfree(&shape);
}

static void levels_below_the_least_are_silent(void **state)
{
    (void)state;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
        log_init("test", (enum log_level)least);
        log_debug("debug");
        log_info("info");
        log_warn("warn");
        log_error("error");
        ssize_t len = read(ends[0], line, sizeof(line) - 1);
        line[len] = '\0';
        for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
            char event[32];
            snprintf(event, sizeof(event), "level=%s ", names[level]);
            assert_int_equal(strstr(line, event) != NULL, level >= least);
        }
    }
}

static void plain_values_are_bare(void **state)
{
    (void)state;
    assert_string_equal(value_of("cr-7f3k2m9a"), "cr-7f3k2m9a");
    assert_string_equal(value_of("/a/b.c:1,2"), "/a/b.c:1,2");
    assert_string_equal(value_of("gr\xC3\xBC\xC3\x9F\xF0\x9F\x98\x80"),
                        "gr\xC3\xBC\xC3\x9F\xF0\x9F\x98\x80");
    assert_string_equal(value_of("\xC2\xA0"), "\xC2\xA0"); /* the first after C1 */
}

static void others_are_quoted(void **state)
{
    (void)state;
    assert_string_equal(value_of(""), "\"\"");
    assert_string_equal(value_of(NULL), "\"\"");
    assert_string_equal(value_of("a b"), "\"a b\"");
    assert_string_equal(value_of("a=b"), "\"a=b\"");
    assert_string_equal(value_of("a\"b"), "\"a\\\"b\"");
    assert_string_equal(value_of("a\\b"), "\"a\\\\b\"");
}

/* Nothing from outside may end the line, start a field, or move a terminal's cursor. */
static void control_bytes_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(value_of("a\nlevel=error event=fake"), "\"a\\nlevel=error event=fake\"");
    assert_string_equal(value_of("\r"), "\"\\x0d\"");
    assert_string_equal(value_of("\x1B[2J"), "\"\\x1b[2J\"");
    assert_string_equal(value_of("\x7F"), "\"\\x7f\"");
    assert_string_equal(value_of("\t"), "\"\\x09\"");
    assert_string_equal(value_of("\xC2\x9B"), "\"\\xc2\\x9b\""); /* CSI of C1 */
    assert_string_equal(value_of("\xC2\x80x"), "\"\\xc2\\x80x\"");
}

static void foreign_bytes_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(value_of("\xFF"), "\"\\xff\"");
    assert_string_equal(value_of("a\x9B"), "\"a\\x9b\"");
    assert_string_equal(value_of("\xE2\x82"), "\"\\xe2\\x82\"");
    assert_string_equal(value_of("\xC3"), "\"\\xc3\"");
    assert_string_equal(value_of("\xC2"), "\"\\xc2\"");
    assert_string_equal(value_of("\xE2\x82x\xE2\x82\xAC"), "\"\\xe2\\x82x\xE2\x82\xAC\"");
}

static void event_and_error_are_escaped_too(void **state)
{
    (void)state;
    struct err err = {.msg = "it\nfailed"};
    log_error("bad\nthing", LOG_ERR(&err));
    assert_contains(last(), "event=\"bad\\nthing\" error=\"it\\nfailed\"");
}

/* A long value is cut so that nothing but its end is missing. */
static void long_line_is_cut_clean(void **state)
{
    (void)state;
    static const char *const units[] = {"x", "\xE2\x82\xAC", "\n", "\"", "a\xFF"};
    static const char *const written[] = {"x", "\xE2\x82\xAC", "\\n", "\\\"", "a\\xff"};
    for (size_t unit = 0; unit < 5; unit++) {
        for (size_t before = 0; before < 6; before++) {
            static char value[12000];
            memset(value, 'b', before);
            value[before] = '\0';
            while (strlen(value) + 4 < sizeof(value))
                strcpy(value + strlen(value), units[unit]);
            log_info("e", LOG_S("v", value), LOG_S("after", "a"), LOG_D("n", 1));
            const char *text = last();
            assert_in_range(strlen(text), 4096 - 8, 4095);
            const char *at = strstr(text, " v=") + 3;
            at += *at == '"';
            at += before;
            while (strncmp(at, written[unit], strlen(written[unit])) == 0)
                at += strlen(written[unit]);
            if (strlen(at) >= 5 || strncmp(at, written[unit], strlen(at)) != 0)
                fail_msg("unit %zu: ...%s", unit, at);
        }
    }
    log_info("short again");
    assert_contains(last(), "event=\"short again\"");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(line_has_its_parts),
        TEST(levels_below_the_least_are_silent),
        TEST(plain_values_are_bare),
        TEST(others_are_quoted),
        TEST(control_bytes_are_escaped),
        TEST(foreign_bytes_are_escaped),
        TEST(event_and_error_are_escaped_too),
        TEST(long_line_is_cut_clean),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
