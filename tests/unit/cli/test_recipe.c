#include "../../../src/cli/recipe.h"

#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <limits.h>

static char folder[PATH_MAX];

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

static int read_text(struct recipe *recipe, const char *text, struct err *err)
{
    const char *path = scratch_path(folder, "x.conf");
    scratch_write(path, text);
    return recipe_read(recipe, path, err);
}

static void a_recipe_is_read(void **data)
{
    (void)data;
    struct err err;
    struct recipe recipe;
    assert_ok(read_text(&recipe,
                        "# why\n[template]\ndescription = a b, c\npackages = python3  g++ "
                        "libc6-dev\npackages = gcc-12-base\n",
                        &err),
              err);
    assert_string_equal(recipe.description, "a b, c");
    assert_string_equal(recipe.packages, "python3,g++,libc6-dev,gcc-12-base");
    assert_ok(read_text(&recipe, "", &err), err);
    assert_string_equal(recipe.packages, "");
}

static void what_is_wrong_is_named_with_its_line(void **data)
{
    (void)data;
    struct err err;
    struct recipe recipe;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"[template]\nx = 1\n", "x.conf:2: unknown key \"x\""},
        {"[other]\npackages = a\n", "x.conf:2: unknown section [other]"},
        {"packages = perl\n", "x.conf:1: unknown section []"},
        {"[template]\npackages = perl Perl\n", "packages: \"Perl\" is no package's name"},
        {"[template]\npackages = a;id\n", "packages: \"a;id\" is no package's name"},
        {"[template]\npackages = --include=x\n", "packages: \"--include=x\" is no package's name"},
        {"[template]\npackages = a,b\n", "packages: \"a,b\" is no package's name"},
        {"[template]\npackages = x\n", "packages: \"x\" is no package's name"},
        {"[template]\nwith = ../x\n", "with: \"../x\" is no template's name"},
        {"[template]\nnonsense\n", "x.conf:2: neither a [section]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_fails(read_text(&recipe, cases[i].text, &err), err, ERR_BAD_REQUEST, cases[i].words);
    assert_fails(recipe_read(&recipe, "/nowhere/x.conf", &err), err, ERR_BAD_REQUEST,
                 "cannot read /nowhere/x.conf: No such file");
}

static void lengths_are_bounded(void **data)
{
    (void)data;
    struct err err;
    struct recipe recipe;
    static char text[8000];
    int len = snprintf(text, sizeof(text), "[template]\n");
    while (len < 6000)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "packages = %0100d\n", 0);
    assert_fails(read_text(&recipe, text, &err), err, ERR_BAD_REQUEST,
                 "packages: more than 4000 bytes");
}

static void put_language(const char *name, const char *template_name, const char *packages)
{
    char text[400], file[40];
    snprintf(text, sizeof(text),
             "[language]\ntitle = T\npackages = %s\nversion = 1\ntemplate = %s\nfile = m.x\n"
             "run = x\n[sample]\nx\n[output]\ny\n",
             packages, template_name);
    snprintf(file, sizeof(file), "%s.conf", name);
    scratch_write(scratch_path(folder, file), text);
}

static void packages_come_from_the_languages(void **data)
{
    (void)data;
    struct err err;
    struct recipe recipe;
    put_language("sh", "base", "dash");
    put_language("c", "native", "gcc libc6-dev");
    put_language("go", "native", "golang-go gcc");
    put_language("ruby", "web", "ruby");
    struct languages *languages = languages_load(folder, &err);
    assert_non_null(languages);
    assert_ok(read_text(&recipe, "[template]\npackages = zip gcc-base\n", &err), err);
    assert_ok(recipe_add_languages(&recipe, "native", languages, &err), err);
    assert_string_equal(recipe.packages, "gcc,gcc-base,golang-go,libc6-dev,zip");
    assert_ok(read_text(&recipe, "[template]\nwith = base web\n", &err), err);
    assert_ok(recipe_add_languages(&recipe, "full", languages, &err), err);
    assert_string_equal(recipe.packages, "dash,ruby");
    assert_ok(read_text(&recipe, "", &err), err);
    assert_ok(recipe_add_languages(&recipe, "other", languages, &err), err);
    assert_string_equal(recipe.packages, "");
    memset(recipe.packages, 'x', RECIPE_PACKAGES_MAX - 3);
    assert_fails(recipe_add_languages(&recipe, "base", languages, &err), err, ERR_BAD_REQUEST,
                 "language sh: packages: more than 4000 bytes");
    languages_free(languages);
}

static void os_release_is_understood(void **data)
{
    (void)data;
    char value[64];
    const char *path = scratch_path(folder, "os-release");
    scratch_write(path,
                  "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\n"
                  "\nEMPTY=\nID=debian");
    assert_true(recipe_os_release(path, "VERSION_CODENAME", value, sizeof(value)));
    assert_string_equal(value, "bookworm");
    assert_true(recipe_os_release(path, "PRETTY_NAME", value, sizeof(value)));
    assert_string_equal(value, "Debian GNU/Linux 12 (bookworm)");
    assert_true(recipe_os_release(path, "ID", value, sizeof(value)));
    assert_string_equal(value, "debian");
    assert_false(recipe_os_release(path, "EMPTY", value, sizeof(value)));
    assert_false(recipe_os_release(path, "CODENAME", value, sizeof(value)));
    assert_false(recipe_os_release(path, "PRETTY_NAME", value, 8));
    assert_false(recipe_os_release("/nowhere", "ID", value, sizeof(value)));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_recipe_is_read),         CASE(what_is_wrong_is_named_with_its_line),
        CASE(lengths_are_bounded),      CASE(packages_come_from_the_languages),
        CASE(os_release_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
