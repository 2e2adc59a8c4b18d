#include "../../../src/http/json_writer.h"
#include "../../support/cm.h"

#include <jansson.h>

static void test_shape(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10000);
    struct json_writer json = {.buf = &buf};
    json_open(&json, '{');
    json_put_text(&json, "a\"b", "x\\y\n\x01\x7F/");
    json_put_text_or_null(&json, "empty", "");
    json_put_int(&json, "least", INT64_MIN);
    json_put_ms(&json, "ms", 12.3456);
    json_put_ms(&json, "whole", 1200);
    json_put_ms(&json, "zero", 0);
    json_put_bool(&json, "yes", true);
    json_put_open(&json, "list", '[');
    json_put_int(&json, NULL, 1);
    json_open(&json, '{');
    json_close(&json, '}');
    json_put_null(&json, NULL);
    json_close(&json, ']');
    json_put_null(&json, "last");
    json_close(&json, '}');
    assert_string_equal(buf.data,
                        "{\"a\\\"b\":\"x\\\\y\\n\\u0001\x7F/\",\"empty\":null,"
                        "\"least\":-9223372036854775808,\"ms\":12.346,\"whole\":1200,\"zero\":0,"
                        "\"yes\":true,\"list\":[1,{},null],\"last\":null}");
    json_t *parsed = json_loads(buf.data, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    buf_finish(&buf);
}

/* Escapes text through a window of that size, as an answer that is sent in pieces does. */
static void escape(const char *text, size_t len, size_t room, struct buf *out)
{
    char window[64];
    size_t at = 0;
    buf_clear(out);
    while (at < len) {
        size_t used, written = json_escape(text + at, len - at, true, window, room, &used);
        assert_true(written <= room && used > 0);
        buf_append(out, window, written);
        at += used;
    }
}

#define FFFD "\xEF\xBF\xBD"

/* The Unicode standard's own examples (section 3.9, tables 3-8 to 3-11), and the edges. */
static void test_ill_formed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *escaped;
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, FFFD FFFD FFFD FFFD "A"},
        {"\0a\0", 3, "\\u0000a\\u0000"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xED\x9F\xBF", 10,
         "\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xED\x9F\xBF"},
        {"ab\xE2\x82", 4, "ab" FFFD},
        {"\x80", 1, FFFD},
    };
    struct buf out;
    buf_init(&out, 10000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t room = 6; room < 64; room += 7) {
            escape(cases[i].text, cases[i].len, room, &out);
            assert_string_equal(out.data, cases[i].escaped);
        }
    }
    buf_finish(&out);
}

/* Whatever bytes come, what goes out is JSON, the same through any window. */
static void test_random_bytes(void **state)
{
    (void)state;
    struct buf whole, pieces;
    buf_init(&whole, 100000);
    buf_init(&pieces, 100000);
    unsigned seed = 12345;
    for (int round = 0; round < 300; round++) {
        char text[200];
        for (size_t i = 0; i < sizeof(text); i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = (char)(seed >> 16 & (round % 2 ? 0xFF : 0xBF));
        }
        escape(text, sizeof(text), 64, &whole);
        escape(text, sizeof(text), 6 + (size_t)round % 50, &pieces);
        assert_string_equal(whole.data, pieces.data);
        buf_append_str(&pieces, "\"]");
        char *document = buf_steal(&pieces);
        struct buf quoted;
        buf_init(&quoted, 100000);
        buf_printf(&quoted, "[\"%s", document);
        json_t *parsed = json_loads(quoted.data, JSON_ALLOW_NUL, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
        buf_finish(&quoted);
        free(document);
    }
    buf_finish(&whole);
    buf_finish(&pieces);
}

/* Every byte at every place among plain ones, which are looked at several at a time. */
static void test_every_byte_everywhere(void **state)
{
    (void)state;
    struct buf out, want;
    buf_init(&out, 1000);
    buf_init(&want, 1000);
    for (unsigned byte = 0; byte < 256; byte++) {
        char alone[8];
        size_t used, size = json_escape((const char[]){(char)byte}, 1, true, alone, 8, &used);
        for (size_t place = 0; place < 40; place++) {
            char text[40];
            memset(text, place % 2 ? '~' : ' ', sizeof(text)); /* the edges of what is plain */
            text[place] = (char)byte;
            buf_clear(&want);
            buf_append(&want, text, place);
            buf_append(&want, alone, size);
            buf_append(&want, text + place + 1, sizeof(text) - place - 1);
            escape(text, sizeof(text), 64, &out);
            assert_int_equal(out.len, want.len);
            assert_memory_equal(out.data, want.data, want.len);
        }
    }
    buf_finish(&out);
    buf_finish(&want);
}

static void test_cut_sequence_waits(void **state)
{
    (void)state;
    char out[16];
    size_t used;
    assert_int_equal(json_escape("a\xE2\x82", 3, false, out, sizeof(out), &used), 1);
    assert_int_equal(used, 1);
    assert_int_equal(json_escape("a\xE2\x82", 3, true, out, sizeof(out), &used), 4);
    assert_int_equal(used, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_ill_formed),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_every_byte_everywhere),
        cmocka_unit_test(test_cut_sequence_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
