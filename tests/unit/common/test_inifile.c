#include "../../../src/common/inifile.h"

#include "../../../src/common/mem.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <errno.h>

static char folder[PATH_MAX];
static struct err err;

static int set_up(void **data)
{
    (void)data;
    scratch_make(folder);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    scratch_remove(folder);
    return 0;
}

static int note(const char *section, const char *key, const char *value, int line, void *data,
                struct err *why)
{
    char *said = data;
    size_t used = strlen(said);
    if (strcmp(key, "bad") == 0)
        return err_set(why, ERR_BAD_REQUEST, "bad: may not be");
    snprintf(said + used, 400 - used, "%d:%s.%s=%s|", line, section, key, value);
    return 0;
}

static void values_come_in_order(void **data)
{
    (void)data;
    char said[400] = "";
    assert_ok(inifile_parse("\xEF\xBB\xBFz = 0\n# no\n[a]\n  x = 1\n\ty=2 ; why\n[b] # why\nx =\n",
                            "f", note, said, &err),
              err);
    assert_string_equal(said, "1:.z=0|4:a.x=1|5:a.y=2|7:b.x=|");
}

static void what_cannot_be_read_is_named(void **data)
{
    (void)data;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"[a]\nx = 1\nbad = 2\nx = 3\n", "f:3: bad: may not be"},
        {"[a]\nnonsense\n", "f:2: neither a [section], a key = value nor a comment"},
        {"[a\nx = 1\n", "f:1: neither"},
        {"\n[a] x = 1\n", "f:2: something stands after the section's ]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char said[400] = "";
        assert_fails(inifile_parse(cases[i].text, "f", note, said, &err), err, ERR_BAD_REQUEST,
                     cases[i].words);
    }
}

static void a_line_has_a_bound(void **data)
{
    (void)data;
    char said[400] = "", text[1100];
    snprintf(text, sizeof(text), "x = %0996d\n", 0);
    assert_ok(inifile_parse(text, "f", note, said, &err), err);
    snprintf(text, sizeof(text), "x = %0997d\n", 0);
    assert_fails(inifile_parse(text, "f", note, said, &err), err, ERR_BAD_REQUEST,
                 "f:1: the line is longer than 1000 bytes");
}

static void files_are_read_whole(void **data)
{
    (void)data;
    scratch_write(scratch_path(folder, "f"), "x = 1\n");
    cleanup_free char *text = inifile_read(scratch_path(folder, "f"), &err);
    assert_non_null(text);
    assert_string_equal(text, "x = 1\n");
    assert_null(inifile_read(scratch_path(folder, "g"), &err));
    assert_int_equal(err.sys_errno, ENOENT);
    FILE *file = fopen(scratch_path(folder, "f"), "w");
    fwrite("a\nb\0c", 1, 5, file);
    fclose(file);
    assert_null(inifile_read(scratch_path(folder, "f"), &err));
    assert_contains(err.msg, "/f:2: there is a NUL byte in this line");
    file = fopen(scratch_path(folder, "f"), "w");
    for (int i = 0; i <= INIFILE_BYTES_MAX; i++)
        fputc('\n', file);
    fclose(file);
    assert_null(inifile_read(scratch_path(folder, "f"), &err));
    assert_int_equal(err.sys_errno, EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_in_order),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_line_has_a_bound),
        cmocka_unit_test_setup_teardown(files_are_read_whole, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
