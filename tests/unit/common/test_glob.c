#include "../../../src/common/glob.h"

#include "../../support/cm.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static void what_matches(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "ab", false},
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"*.txt", "a.txt", true},
        {"*.txt", ".txt", false},
        {".*", ".txt", true},
        {"\\.*", ".txt", true},
        {"[.]*", ".txt", false},
        {"?", ".", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*a*b*", "xaxbx", true},
        {"*a*b*", "xbxax", false},
        {"**", "x", true},
        {"[a-c]", "b", true},
        {"[a-c]", "d", false},
        {"[!a-c]", "d", true},
        {"[^a-c]", "b", false},
        {"[]a]", "]", true},
        {"[!]a]", "b", true},
        {"[a-]", "-", true},
        {"[\\]]", "]", true},
        {"[a", "[a", true},
        {"[", "[", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\", "\\", true},
        {"a\\", "a\\", true},
        {"[z-a]", "m", false},
        {"\xff*", "\xff\xfe", true},
        {"[\x80-\xff]", "\xc3", true},
        {"*.", "a.", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (glob_match(cases[i].pattern, cases[i].name) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].name);
}

static void what_a_pattern_is(void **state)
{
    (void)state;
    assert_false(glob_is_pattern("") || glob_is_pattern("a-b]!^."));
    assert_true(glob_is_pattern("a*") && glob_is_pattern("?") && glob_is_pattern("[") &&
                glob_is_pattern("\\a"));
}

/* Against the C library's, over all that a few characters can make. Left out is what it treats in
 * ways of its own: a backslash or a bracket without an end, and classes ("[:", "[=", "[.").
 */
static void as_the_library_has_it(void **state)
{
    static const char letters[] = "ab.*?-]";
    char pattern[8], name[8];
    unsigned seed = 1;
    (void)state;
    for (int turn = 0; turn < 200000; turn++) {
        size_t len = (size_t)(rand_r(&seed) % 6), name_len = (size_t)(rand_r(&seed) % 6);
        for (size_t i = 0; i < len; i++)
            pattern[i] = letters[rand_r(&seed) % (sizeof(letters) - 1)];
        pattern[len] = '\0';
        for (size_t i = 0; i < name_len; i++)
            name[i] = "ab.-]"[rand_r(&seed) % 5];
        name[name_len] = '\0';
        if (glob_match(pattern, name) != (fnmatch(pattern, name, FNM_PERIOD) == 0))
            fail_msg("\"%s\" and \"%s\"", pattern, name);
        char bracket[16];
        snprintf(bracket, sizeof(bracket), "[%sb-b]%s", strchr(pattern, '-') ? "" : pattern,
                 rand_r(&seed) % 2 ? "*" : "");
        if (pattern[0] != '.' && !strchr(pattern, ']') && !strchr(pattern, '-') &&
            glob_match(bracket, name) != (fnmatch(bracket, name, FNM_PERIOD) == 0))
            fail_msg("\"%s\" and \"%s\"", bracket, name);
    }
}

/* A pattern that makes others take for ever. */
static void it_ends(void **state)
{
    char pattern[256], name[256];
    (void)state;
    for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
        memcpy(pattern + i, "*a", 2);
    memcpy(pattern + 253, "b", 2);
    memset(name, 'a', 255);
    name[255] = '\0';
    assert_false(glob_match(pattern, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches),
        cmocka_unit_test(what_a_pattern_is),
        cmocka_unit_test(as_the_library_has_it),
        cmocka_unit_test(it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
