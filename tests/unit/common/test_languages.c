#include "../../../src/common/languages.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/known_languages.h"
#include "../../support/scratch.h"

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

static void put(const char *file, const char *aliases)
{
    char text[400];
    snprintf(text, sizeof(text),
             "[language]\ntitle = T\npackages = pp\nversion = 1\ntemplate = base\nfile = m.x\n"
             "run = x\n%s%s\n[sample]\nx\n[output]\ny\n",
             aliases[0] ? "aliases = " : "", aliases);
    scratch_write(scratch_path(folder, file), text);
}

static const char *find(const struct languages *languages, const char *name)
{
    const struct language *language = languages_find(languages, name, strlen(name), &err);
    return language ? language->name : "";
}

static void a_folder_is_loaded(void **data)
{
    (void)data;
    put("sh.conf", "shell");
    put("c.conf", "");
    put("c++.conf", "cpp cxx");
    put(".hidden.conf", "shell");
    put("notes.txt", "shell");
    struct languages *languages = languages_load(folder, &err);
    if (!languages)
        fail_msg("%s", err.msg);
    assert_int_equal(languages_len(languages), 3);
    assert_string_equal(languages_at(languages, 0)->name, "c");
    assert_string_equal(languages_at(languages, 1)->name, "c++");
    assert_string_equal(languages_default(languages)->name, "sh");
    assert_string_equal(find(languages, "cxx"), "c++");
    assert_string_equal(find(languages, "shell"), "sh");
    static const char *const unknown[] = {"", "C", "cp", "cppp", "notes"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_string_equal(find(languages, unknown[i]), "");
        assert_int_equal(err.code, ERR_UNKNOWN_LANGUAGE);
        assert_contains(err.msg, "known: c, c++, sh");
    }
    assert_null(languages_find(languages, "sh\0x", 4, &err));
    languages_free(languages);
}

static void what_is_wrong_is_named(void **data)
{
    (void)data;
    assert_null(languages_load(folder, &err));
    assert_contains(err.msg, "there is no sh.conf in ");
    assert_null(languages_load("/nowhere", &err));
    assert_contains(err.msg, "the languages: /nowhere: No such file");
    put("sh.conf", "");
    scratch_write(scratch_path(folder, "bad.conf"), "[language]\nx = 1\n");
    assert_null(languages_load(folder, &err));
    assert_contains(err.msg, "/bad.conf:2: unknown key \"x\"");
    put("bad.conf", "sh");
    assert_null(languages_load(folder, &err));
    assert_contains(err.msg, "\"sh\" is what another language is called");
    put("bad.conf", "x");
    put("worse.conf", "x");
    assert_null(languages_load(folder, &err));
    assert_contains(err.msg, "\"x\" is what another language is called");
    assert_ok(fd_remove_tree(scratch_path(folder, "worse.conf"), &err), err);
    put("B.conf", "");
    assert_null(languages_load(folder, &err));
    assert_contains(err.msg, "\"B\" is no language's name");
}

static void too_many_are_refused(void **data)
{
    (void)data;
    char name[40];
    put("sh.conf", "");
    for (int i = 1; i <= LANGUAGES_MAX; i++) {
        snprintf(name, sizeof(name), "x%d.conf", i);
        put(name, "");
    }
    assert_null(languages_load(folder, &err));
    assert_contains(err.msg, "more than 256 languages");
}

/* One that is no sentence any more says too little about what is known. */
static void the_message_has_room_for_all_of_this_tree(void **data)
{
    (void)data;
    const struct languages *languages = known_languages();
    char longest[101];
    memset(longest, 'x', sizeof(longest));
    assert_null(languages_find(languages, longest, 100, &err));
    for (size_t i = 0; i < languages_len(languages); i++)
        assert_contains(err.msg, languages_at(languages, i)->name);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_folder_is_loaded),
        CASE(what_is_wrong_is_named),
        CASE(too_many_are_refused),
        CASE(the_message_has_room_for_all_of_this_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
