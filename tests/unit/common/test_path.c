#include "../../../src/common/path.h"

#include "../../support/cm.h"

static struct err err;

static int check(const char *path)
{
    return path_check_inside(path, strlen(path), &err);
}

static void what_stays_inside_passes(void **data)
{
    (void)data;
    static const char *const paths[] = {"a",   "a/b",     "a b/c", "..a/b..",
                                        "...", ".hidden", "-rf",   "\xc3\xa9/\xe4\xb8\xad"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_ok(check(paths[i]), err);
        assert_true(path_is_inside(paths[i], strlen(paths[i])));
    }
}

static void what_is_wrong_is_said(void **data)
{
    (void)data;
    static const struct {
        const char *path, *words;
    } cases[] = {
        {"", "has 0 bytes, must have 1..1024"},
        {"/", "must be relative, without empty components"},
        {"/a", "must be relative, without empty components"},
        {"a/", "must be relative, without empty components"},
        {"a//b", "must be relative, without empty components"},
        {".", "must not hold the components \".\" and \"..\""},
        {"..", "must not hold the components \".\" and \"..\""},
        {"a/../b", "must not hold the components \".\" and \"..\""},
        {"a/.", "must not hold the components \".\" and \"..\""},
        {"../a", "must not hold the components \".\" and \"..\""},
        {"a\nb", "must not hold control characters"},
        {"a\x7f", "must not hold control characters"},
        {"a/\x1b[2J", "must not hold control characters"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_fails(check(cases[i].path), err, ERR_BAD_REQUEST, cases[i].words);
        assert_false(path_is_inside(cases[i].path, strlen(cases[i].path)));
    }
    assert_fails(path_check_inside("a\0b", 3, &err), err, ERR_BAD_REQUEST, "control characters");
}

static void lengths_are_bounded(void **data)
{
    (void)data;
    char path[PATH_INSIDE_MAX + 2];
    memset(path, 'a', sizeof(path));
    assert_ok(path_check_inside(path, PATH_PART_MAX, &err), err);
    assert_fails(path_check_inside(path, PATH_PART_MAX + 1, &err), err, ERR_BAD_REQUEST,
                 "a component has 256 bytes, at most 255 are allowed");
    for (size_t i = 100; i < sizeof(path); i += 100)
        path[i] = '/';
    assert_ok(path_check_inside(path, PATH_INSIDE_MAX, &err), err);
    assert_fails(path_check_inside(path, PATH_INSIDE_MAX + 1, &err), err, ERR_BAD_REQUEST,
                 "has 1025 bytes, must have 1..1024");
    path[5] = '/';
    path[5 + PATH_PART_MAX + 2] = '/';
    memset(path + 6, 'b', PATH_PART_MAX + 1);
    assert_fails(path_check_inside(path, 600, &err), err, ERR_BAD_REQUEST, "256 bytes");
}

/* Nothing behind len is looked at. */
static void only_so_many_bytes_count(void **data)
{
    (void)data;
    assert_ok(path_check_inside("a/..", 1, &err), err);
    assert_fails(path_check_inside("a/..", 2, &err), err, ERR_BAD_REQUEST, "empty components");
    assert_fails(path_check_inside("a/..", 3, &err), err, ERR_BAD_REQUEST, "the components");
}

static void for_json_it_must_be_text(void **data)
{
    (void)data;
    static const char *const paths[] = {"a\xff", "\xc3", "\xed\xa0\x80", "a/\xc0\xaf"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_ok(check(paths[i]), err);
        assert_false(path_is_inside(paths[i], strlen(paths[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_inside_passes), cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(lengths_are_bounded),      cmocka_unit_test(only_so_many_bytes_count),
        cmocka_unit_test(for_json_it_must_be_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
