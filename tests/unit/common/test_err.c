#include "../../../src/common/err.h"

#include "../../../src/common/str.h"
#include "../../support/cm.h"

#include <errno.h>

#define ROOM sizeof(((struct err *)NULL)->msg)

static char longer[1000];

static int make_longer(void **state)
{
    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    return 0;
}

static void set_fills_all(void **state)
{
    (void)state;
    struct err err = {.code = ERR_INTERNAL, .sys_errno = 7, .msg = "old"};
    assert_int_equal(err_set(&err, ERR_NAME_TAKEN, "%s is %d", "it", 5), -1);
    assert_int_equal(err.code, ERR_NAME_TAKEN);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.msg, "it is 5");
}

static void sys_adds_the_reason(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_sys(&err, ERR_INTERNAL, ENOENT, "open %s", "/x"), -1);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.msg, "open /x: No such file or directory");
}

static void context_goes_before(void **state)
{
    (void)state;
    struct err err;
    err_sys(&err, ERR_NO_SPACE, ENOSPC, "write");
    assert_int_equal(err_context(&err, "runner %s", "cr-1"), -1);
    assert_string_equal(err.msg, "runner cr-1: write: No space left on device");
    assert_int_equal(err.code, ERR_NO_SPACE);
    assert_int_equal(err.sys_errno, ENOSPC);
    err_context(&err, "%s", err.msg); /* its own message as an argument */
    assert_string_equal(err.msg, "runner cr-1: write: No space left on device: "
                                 "runner cr-1: write: No space left on device");
    err_set(&err, ERR_INTERNAL, "again %s", err.msg);
    assert_contains(err.msg, "again runner cr-1: write: ");
}

static void nobody_wants_to_know(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_INTERNAL, "x"), -1);
    assert_int_equal(err_sys(NULL, ERR_INTERNAL, EIO, "x"), -1);
    assert_int_equal(err_context(NULL, "x"), -1);
}

static void long_message_is_marked_as_cut(void **state)
{
    (void)state;
    struct err err;
    char fits[ROOM];
    memset(fits, 'y', sizeof(fits) - 1);
    fits[sizeof(fits) - 1] = '\0';
    err_set(&err, ERR_INTERNAL, "%s", fits);
    assert_string_equal(err.msg, fits);
    err_set(&err, ERR_INTERNAL, "%sz", fits);
    assert_int_equal(strlen(err.msg), ROOM - 1);
    assert_string_equal(err.msg + ROOM - 1 - 4, "y...");
}

static void reason_outlives_a_long_text(void **state)
{
    (void)state;
    struct err err;
    err_sys(&err, ERR_INTERNAL, ENOENT, "%s", longer);
    assert_contains(err.msg, "x...: No such file or directory");
    assert_true(strlen(err.msg) < ROOM);
    err_context(&err, "%s", longer);
    assert_contains(err.msg, "x...: xxx");
    assert_true(strlen(err.msg) < ROOM);

    err_set(&err, ERR_INTERNAL, "the cause");
    err_context(&err, "%s", longer);
    assert_contains(err.msg, "x...: the cause");
    assert_int_equal(strlen(err.msg), ROOM - 1 - 1); /* not much is wasted */
}

static void assert_text(const char *msg)
{
    size_t len = strlen(msg);
    assert_true(len < ROOM);
    assert_int_equal(str_utf8_valid(msg, len), len);
}

/* A message goes into JSON: a character must not be cut in two, wherever the end falls. */
static void cut_never_splits_a_character(void **state)
{
    (void)state;
    char text[2 * ROOM];
    for (size_t before = 0; before < 8; before++) {
        size_t len = before;
        memset(text, 'a', before);
        while (len + 3 < sizeof(text)) {
            memcpy(text + len, "\xE2\x82\xAC", 4);
            len += 3;
        }
        struct err err;
        err_set(&err, ERR_INTERNAL, "%s", text);
        assert_text(err.msg);
        err_sys(&err, ERR_INTERNAL, EIO, "%s", text);
        assert_text(err.msg);
        assert_contains(err.msg, "Input/output error");
        err_context(&err, "%s", text);
        assert_text(err.msg);
        err_context(&err, "short");
        assert_text(err.msg);
    }
}

static void foreign_bytes_become_question_marks(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, ERR_INTERNAL, "file \xFF\xC3(\xE2\x82 gr\xC3\xBC\xC3\x9F");
    assert_string_equal(err.msg, "file ?\?(?? gr\xC3\xBC\xC3\x9F");
    err_sys(&err, ERR_INTERNAL, EIO, "\x80");
    assert_string_equal(err.msg, "?: Input/output error");
}

static void every_code_has_a_name_and_a_status(void **state)
{
    (void)state;
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        assert_in_range(err_http_status((enum err_code)code), 400, 599);
        assert_int_equal(err_from_name(err_name((enum err_code)code)), code);
    }
    assert_string_equal(err_name(ERR_NONE), "none");
    assert_string_equal(err_name(ERR_TIMED_OUT), "runnerTimedOut");
    assert_int_equal(err_http_status(ERR_TIMED_OUT), 498);
}

static void unknown_codes_and_names(void **state)
{
    (void)state;
    assert_string_equal(err_name((enum err_code)4711), "internal");
    assert_string_equal(err_name((enum err_code) - 1), "internal");
    assert_string_equal(err_name(ERR_COUNT), "internal");
    assert_int_equal(err_http_status((enum err_code)4711), 500);
    assert_int_equal(err_http_status((enum err_code) - 1), 500);
    assert_int_equal(err_from_name("no such name"), ERR_INTERNAL);
    assert_int_equal(err_from_name(""), ERR_INTERNAL);
    assert_int_equal(err_from_name("none"), ERR_INTERNAL); /* a failure is never "none" */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_all),
        cmocka_unit_test(sys_adds_the_reason),
        cmocka_unit_test(context_goes_before),
        cmocka_unit_test(nobody_wants_to_know),
        cmocka_unit_test(long_message_is_marked_as_cut),
        cmocka_unit_test(reason_outlives_a_long_text),
        cmocka_unit_test(cut_never_splits_a_character),
        cmocka_unit_test(foreign_bytes_become_question_marks),
        cmocka_unit_test(every_code_has_a_name_and_a_status),
        cmocka_unit_test(unknown_codes_and_names),
    };
    return cmocka_run_group_tests_name("err", tests, make_longer, NULL);
}
