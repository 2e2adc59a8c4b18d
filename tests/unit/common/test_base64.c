#include "../../../src/common/base64.h"

#include "../../support/cm.h"

#include <stdlib.h>

/* RFC 4648, section 10, and bytes that need all of the alphabet's last characters. */
static const struct {
    const char *bytes, *text;
    size_t len;
} vectors[] = {
    {"", "", 0},
    {"f", "Zg==", 1},
    {"fo", "Zm8=", 2},
    {"foo", "Zm9v", 3},
    {"foob", "Zm9vYg==", 4},
    {"fooba", "Zm9vYmE=", 5},
    {"foobar", "Zm9vYmFy", 6},
    {"\xfb\xff\xbf\x00", "+/+/AA==", 4},
};

static void texts_are_those_of_the_rfc(void **data)
{
    (void)data;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char text[32] = "";
        unsigned char bytes[32];
        size_t len, wrong;
        assert_int_equal(base64_encode(vectors[i].bytes, vectors[i].len, text),
                         BASE64_LEN(vectors[i].len));
        assert_string_equal(text, vectors[i].text);
        assert_int_equal(base64_decode(text, strlen(text), bytes, &len, &wrong), 0);
        assert_int_equal(len, vectors[i].len);
        assert_memory_equal(bytes, vectors[i].bytes, len);
    }
}

static void what_is_none_is_refused_with_its_place(void **data)
{
    (void)data;
    static const struct {
        const char *text;
        size_t wrong;
    } cases[] = {
        {"Zg", 2},   {"Zg=", 2},  {"Zm9vY", 5},    {"=", 0},          {"====", 0},
        {"Zh==", 4}, {"Zm9=", 4}, {"Zm 9v", 2},    {"Zm9v\n", 4},     {"Zm9-", 3},
        {"Zm9_", 3}, {"Z===", 1}, {"Zg==Zg==", 2}, {"Zm\xc3\xa9", 2}, {"Zg=g", 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char bytes[32];
        size_t len = 0, wrong = 99;
        if (base64_decode(cases[i].text, strlen(cases[i].text), bytes, &len, &wrong) != -1)
            fail_msg("\"%s\" was taken", cases[i].text);
        if (wrong != cases[i].wrong)
            fail_msg("\"%s\" is wrong at %zu, not at %zu", cases[i].text, cases[i].wrong, wrong);
    }
}

/* All lengths of some, into room that is exactly as large as is said. */
static void there_and_back(void **data)
{
    (void)data;
    unsigned char bytes[257];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37 + i / 7);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        size_t back_len, wrong;
        char *text = malloc(BASE64_LEN(len) + 1);
        unsigned char *back = malloc(BASE64_ROOM(BASE64_LEN(len)) + 1);
        assert_int_equal(base64_encode(bytes, len, text), BASE64_LEN(len));
        assert_int_equal(base64_decode(text, BASE64_LEN(len), back, &back_len, &wrong), 0);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        free(text);
        free(back);
    }
}

static void pieces_make_the_same_text(void **data)
{
    (void)data;
    static const char bytes[] = "a text that comes in pieces of whole groups";
    char whole[100], pieces[100];
    size_t len = base64_encode(bytes, sizeof(bytes), whole), at = 0;
    at += base64_encode(bytes, 12, pieces);
    at += base64_encode(bytes + 12, 3, pieces + at);
    at += base64_encode(bytes + 15, sizeof(bytes) - 15, pieces + at);
    assert_int_equal(at, len);
    assert_memory_equal(pieces, whole, len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_of_the_rfc),
        cmocka_unit_test(what_is_none_is_refused_with_its_place),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(pieces_make_the_same_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
