#include "../../../src/common/buf.h"
#include "../../../src/http/chunked.h"
#include "../../support/cm.h"

static struct err err;

/* Decodes text in steps of that many bytes; -1, or how many bytes it took. */
static long decode(const char *text, size_t len, size_t step, struct buf *body)
{
    struct chunked chunked = {0};
    size_t at = 0;
    buf_clear(body);
    while (at < len && chunked.state != CHUNKED_DONE) {
        const char *piece;
        size_t piece_len, given = len - at < step ? len - at : step;
        long used = chunked_next(&chunked, text + at, given, &piece, &piece_len, &err);
        if (used < 0)
            return -1;
        assert_true(used > 0);
        buf_append(body, piece, piece_len);
        at += (size_t)used;
    }
    return chunked.state == CHUNKED_DONE ? (long)at : -2;
}

static void test_any_split(void **state)
{
    (void)state;
    static const char text[] = "4\r\nWiki\r\n5;ext=\"v\"\r\npedia\r\n00E\r\n in\r\n\r\nchunks.\r\n"
                               "0\r\nTrailer: x\r\nOther: y\r\n\r\nNEXT";
    struct buf body;
    buf_init(&body, 1000);
    for (size_t step = 1; step < sizeof(text); step++) {
        assert_int_equal(decode(text, sizeof(text) - 1, step, &body), sizeof(text) - 5);
        assert_int_equal(body.len, 23);
        assert_string_equal(body.data, "Wikipedia in\r\n\r\nchunks.");
    }
    assert_int_equal(decode("0\r\n\r\n", 5, 5, &body), 5);
    assert_int_equal(body.len, 0);
    buf_finish(&body);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"\r\n", "missing"},        {"x\r\n", "missing"},
        {"-1\r\n", "missing"},      {"4x\r\n", "hexadecimal"},
        {"4\nWiki", "hexadecimal"}, {"1000000000000000\r\n", "too many digits"},
        {"4\rX", "CR LF"},          {"4\r\nWikipedia", "longer"},
        {"4\r\nWiki\rX", "CR LF"},  {"0\r\nA: b\n", "malformed"},
        {"4;a\nWiki", "malformed"}, {"0\r\n\rX", "CR LF"},
    };
    struct buf body;
    buf_init(&body, 1000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(decode(cases[i].text, strlen(cases[i].text), 3, &body), -1);
        assert_contains(err.msg, cases[i].words);
    }
    buf_finish(&body);
}

/* Bytes that are no body do not come without end. */
static void test_endless_extras(void **state)
{
    (void)state;
    struct buf text, body;
    buf_init(&text, 1 << 20);
    buf_init(&body, 1000);
    buf_append_str(&text, "4;");
    while (text.len < 5000)
        buf_append_str(&text, "x");
    assert_int_equal(decode(text.data, text.len, 100, &body), -1);
    buf_clear(&text);
    buf_append_str(&text, "0\r\n");
    while (text.len < 9000)
        buf_append_str(&text, "A: b\r\n");
    assert_int_equal(decode(text.data, text.len, 100, &body), -1);
    buf_finish(&text);
    buf_finish(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_split),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_endless_extras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
