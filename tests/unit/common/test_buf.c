#include "../../../src/common/buf.h"

#include "../../support/cm.h"

#include <stdlib.h>

static void appends_stay_terminated(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    assert_null(buf.data);
    assert_true(buf_append(&buf, "ab\0c", 4));
    assert_true(buf_append_str(&buf, "def"));
    assert_true(buf_printf(&buf, "%d-%s", 42, "x"));
    assert_int_equal(buf.len, 11);
    assert_memory_equal(buf.data, "ab\0cdef42-x", 12);
    assert_true(buf_append(&buf, NULL, 0));
    assert_int_equal(buf.len, 11);
    buf_finish(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    assert_true(buf_append_str(&buf, "again")); /* the cap is still there */
    buf_finish(&buf);
}

static void empty_append_makes_an_empty_text(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    assert_true(buf_append_str(&buf, ""));
    assert_string_equal(buf.data, "");
    assert_false(buf_append_str(&buf, "x"));
    assert_false(buf_printf(&buf, "x"));
    buf_finish(&buf);
}

static void cap_is_met_and_never_passed(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 300; cap++) {
        struct buf buf;
        buf_init(&buf, cap);
        for (size_t i = 0; i < cap; i++)
            assert_true(buf_append(&buf, "x", 1));
        assert_false(buf_append(&buf, "y", 1));
        assert_false(buf_printf(&buf, "%s", "yy"));
        assert_int_equal(buf.len, cap);
        assert_true(buf.room <= cap + 1);
        for (size_t i = 0; i < cap; i++)
            assert_int_equal(buf.data[i], 'x');
        buf_finish(&buf);
    }
}

static void refused_append_changes_nothing(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10);
    buf_append_str(&buf, "12345678");
    assert_false(buf_append_str(&buf, "abc"));
    assert_string_equal(buf.data, "12345678");
    assert_false(buf_append(&buf, "abc", SIZE_MAX));
    assert_false(buf_append(&buf, "abc", SIZE_MAX - 7));
    assert_true(buf_append_str(&buf, "90"));
    assert_string_equal(buf.data, "1234567890");
    buf_finish(&buf);
}

static void drop_takes_from_the_front(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    buf_drop(&buf, 0); /* of nothing */
    buf_append_str(&buf, "abcdef");
    buf_drop(&buf, 0);
    assert_string_equal(buf.data, "abcdef");
    buf_drop(&buf, 2);
    assert_string_equal(buf.data, "cdef");
    assert_int_equal(buf.len, 4);
    buf_drop(&buf, 4);
    assert_string_equal(buf.data, "");
    assert_int_equal(buf.len, 0);
    buf_append_str(&buf, "x");
    assert_string_equal(buf.data, "x");
    buf_clear(&buf);
    assert_string_equal(buf.data, "");
    assert_int_equal(buf.len, 0);
    buf_finish(&buf);
    buf_clear(&buf);
}

static void steal_hands_over(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    char *text = buf_steal(&buf);
    assert_string_equal(text, "");
    free(text);
    buf_append_str(&buf, "abc");
    text = buf_steal(&buf);
    assert_string_equal(text, "abc");
    free(text);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    assert_true(buf_append_str(&buf, "new"));
    buf_finish(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_stay_terminated),
        cmocka_unit_test(empty_append_makes_an_empty_text),
        cmocka_unit_test(cap_is_met_and_never_passed),
        cmocka_unit_test(refused_append_changes_nothing),
        cmocka_unit_test(drop_takes_from_the_front),
        cmocka_unit_test(steal_hands_over),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
