#include "../../../src/common/str.h"

#include "../../support/cm.h"

static void format_says_what_did_not_fit(void **state)
{
    (void)state;
    char text[6];
    assert_true(str_format(text, sizeof(text), "%s", "12345"));
    assert_string_equal(text, "12345");
    assert_false(str_format(text, sizeof(text), "%s", "123456"));
    assert_string_equal(text, "12345");
    assert_true(str_format(text, 1, "%s", ""));
    assert_false(str_format(text, 1, "x"));
    assert_string_equal(text, "");
}

static void int_is_the_whole_text_in_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t min, max, value;
        bool ok;
    } cases[] = {
        {"0", 0, 0, 0, true},
        {"-1", -1, 1, -1, true},
        {"007", 0, 10, 7, true},
        {"10", 0, 10, 10, true},
        {"11", 0, 10, 0, false},
        {"-1", 0, 10, 0, false},
        {"9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX, true},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, INT64_MIN, true},
        {"9223372036854775808", INT64_MIN, INT64_MAX, 0, false},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, 0, false},
        {"99999999999999999999999999", INT64_MIN, INT64_MAX, 0, false},
        {"", 0, 10, 0, false},
        {"-", -10, 10, 0, false},
        {"--1", -10, 10, 0, false},
        {"+1", 0, 10, 0, false},
        {" 1", 0, 10, 0, false},
        {"1 ", 0, 10, 0, false},
        {"- 1", -10, 10, 0, false},
        {"1x", 0, 10, 0, false},
        {"0x1", 0, 10, 0, false},
        {"1.0", 0, 10, 0, false},
        {"1e1", 0, 10, 0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 4711;
        bool ok = str_to_int(cases[i].text, cases[i].min, cases[i].max, &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : 4711))
            fail_msg("\"%s\": %d, %lld", cases[i].text, ok, (long long)value);
    }
}

static void prefix(void **state)
{
    (void)state;
    assert_true(str_starts_with("abc", "ab"));
    assert_true(str_starts_with("abc", "abc"));
    assert_true(str_starts_with("", ""));
    assert_false(str_starts_with("ab", "abc"));
    assert_false(str_starts_with("xabc", "abc"));
}

/* The whole of RFC 3629 by its own definition: encode every code point by hand and compare. */
static void utf8_takes_every_character(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10FFFF; point++) {
        char text[4];
        size_t len;
        if (point < 0x80) {
            text[0] = (char)point;
            len = 1;
        } else if (point < 0x800) {
            text[0] = (char)(0xC0 | point >> 6);
            len = 2;
        } else if (point < 0x10000) {
            text[0] = (char)(0xE0 | point >> 12);
            len = 3;
        } else {
            text[0] = (char)(0xF0 | point >> 18);
            len = 4;
        }
        for (size_t i = 1; i < len; i++)
            text[i] = (char)(0x80 | (point >> 6 * (len - 1 - i) & 0x3F));
        bool surrogate = point >= 0xD800 && point <= 0xDFFF;
        if (str_utf8_valid(text, len) != (surrogate ? 0 : len))
            fail_msg("U+%04X", point);
        for (size_t cut = 1; cut < len; cut++)
            if (str_utf8_valid(text, cut) != 0)
                fail_msg("U+%04X cut after %zu", point, cut);
    }
}

static void utf8_stops_at_the_first_wrong_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len, valid;
    } cases[] = {
        {"", 0, 0},
        {"a\0b", 3, 3},                     /* a NUL is a character */
        {"ab\x80", 3, 2},                   /* a continuation alone */
        {"\xC0\x80", 2, 0},                 /* overlong NUL */
        {"\xC1\xBF", 2, 0},                 /* overlong */
        {"\xE0\x9F\xBF", 3, 0},             /* overlong */
        {"\xF0\x8F\xBF\xBF", 4, 0},         /* overlong */
        {"\xF4\x90\x80\x80", 4, 0},         /* above U+10FFFF */
        {"\xF5\x80\x80\x80", 4, 0},         /* no such first byte */
        {"\xFF", 1, 0},                     /* neither */
        {"\xC3(", 2, 0},                    /* second byte wrong */
        {"\xE2\x82(", 3, 0},                /* third */
        {"\xF0\x9F\x98(", 4, 0},            /* fourth */
        {"gr\xC3\xBC\xC3", 5, 4},           /* cut at the end */
        {"\xE2\x82\xAC\xED\xA0\x80", 6, 3}, /* a surrogate after a euro sign */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (str_utf8_valid(cases[i].text, cases[i].len) != cases[i].valid)
            fail_msg("case %zu: %zu", i, str_utf8_valid(cases[i].text, cases[i].len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_says_what_did_not_fit),
        cmocka_unit_test(int_is_the_whole_text_in_bounds),
        cmocka_unit_test(prefix),
        cmocka_unit_test(utf8_takes_every_character),
        cmocka_unit_test(utf8_stops_at_the_first_wrong_byte),
    };
    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
