#include "../../../src/common/ids.h"

#include "../../support/cm.h"

#include <stdlib.h>

static void valid_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a",
                                       "z",
                                       "a0",
                                       "a-",
                                       "a-b-9",
                                       "cr-7f3k2m9a",
                                       "abcdefghijklmnopqrstuvwxyz-0123456789-abc" /* 41 */};
    static const char *const bad[] = {
        "",          "-a",  "0a",  "A",     "aB",
        "a_b",       "a.b", "a/b", "..",    "a\nb",
        "a b",       " a",  "a ",  "a\x7F", "\xC3\xA4",
        "a\xC3\xA4", "a;b", "a$b", "_a",    "a\tb",
        "{",         "`a",  "a{",  "a`",    "abcdefghijklmnopqrstuvwxyz-0123456789-abcd" /* 42 */};
    assert_int_equal(strlen(good[6]), NAME_MAX_LEN);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!id_name_valid(good[i]))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (id_name_valid(bad[i]))
            fail_msg("\"%s\" is let in", bad[i]);
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void runner_names_are_valid_and_differ(void **state)
{
    (void)state;
    static char names[5000][NAME_MAX_LEN + 1];
    bool seen[128] = {false};
    for (size_t i = 0; i < 5000; i++) {
        id_runner_name(names[i]);
        assert_true(id_name_valid(names[i]));
        assert_int_equal(strlen(names[i]), 11);
        assert_memory_equal(names[i], "cr-", 3);
        for (const char *c = names[i] + 3; *c; c++)
            seen[(unsigned char)*c] = true;
    }
    qsort(names, 5000, sizeof(names[0]), compare);
    for (size_t i = 1; i < 5000; i++)
        assert_string_not_equal(names[i - 1], names[i]);
    unsigned letters = 0;
    for (size_t i = 0; i < sizeof(seen); i++)
        letters += seen[i];
    assert_int_equal(letters, 32);
    assert_false(seen['l'] || seen['o'] || seen['i'] || seen['u']);
}

static void hex_has_its_length_and_every_digit(void **state)
{
    (void)state;
    char text[101];
    unsigned counts[128] = {0};
    for (size_t len = 0; len < 100; len++) {
        memset(text, '~', sizeof(text));
        id_random_hex(text, len);
        assert_int_equal(strlen(text), len);
        assert_int_equal(text[len + 1], '~');
        assert_int_equal(strspn(text, "0123456789abcdef"), len);
        for (size_t i = 0; i < len; i++)
            counts[(unsigned char)text[i]]++;
    }
    for (const char *c = "0123456789abcdef"; *c; c++)
        assert_in_range(counts[(unsigned char)*c], 150, 500); /* of 4950: 309 each */
    char one[41], two[41];
    id_random_hex(one, 40);
    id_random_hex(two, 40);
    assert_string_not_equal(one, two);
    id_random_hex(text, 64); /* more than is drawn at once: the halves differ */
    assert_memory_not_equal(text, text + 32, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_names),
        cmocka_unit_test(runner_names_are_valid_and_differ),
        cmocka_unit_test(hex_has_its_length_and_every_digit),
    };
    return cmocka_run_group_tests_name("ids", tests, NULL, NULL);
}
