#include "../../../src/cli/template_about.h"

#include "../../../src/common/json.h"
#include "../../support/cm.h"
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

static void versions_lose_what_debian_adds(void **data)
{
    (void)data;
    static const struct {
        const char *version, *upstream;
    } cases[] = {
        {"12.2.0-3", "12.2.0"},
        {"2:1.19~1", "1.19"},
        {"2:8.2+93", "8.2"},
        {"1.14.0.dfsg-2", "1.14.0"},
        {"9.0.4+dfsg-2", "9.0.4"},
        {"6.8.0.105+dfsg-3.3+deb12u1", "6.8.0.105"},
        {"4.0~early~20200606", "4.0"},
        {"1", "1"},
        {"", ""},
        {"1234567890123456789", "123456789012345"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        template_upstream_version(text, sizeof(text), cases[i].version);
        assert_string_equal(text, cases[i].upstream);
    }
}

static void put(const char *name, const char *packages)
{
    char text[400], file[40];
    snprintf(text, sizeof(text),
             "[language]\ntitle = T\npackages = %s\nversion = 1\ntemplate = base\nfile = m.x\n"
             "run = x\n[sample]\nx\n[output]\ny\n",
             packages);
    snprintf(file, sizeof(file), "%s.conf", name);
    scratch_write(scratch_path(folder, file), text);
}

static void a_language_is_there_when_all_its_packages_are(void **data)
{
    (void)data;
    put("sh", "dash");
    put("c", "gcc libc6-dev");
    put("go", "golang-go gcc");
    struct languages *languages = languages_load(folder, &err);
    assert_non_null(languages);
    json_t *packages = json_loads("[{\"name\": \"libc6-dev\", \"version\": \"2.36-9\"},"
                                  " {\"name\": \"gcc\", \"version\": \"4:12.2.0-3\"},"
                                  " {\"name\": \"dash\", \"version\": \"0.5.12-2\"}, 7, {}]",
                                  0, NULL);
    json_t *found = template_languages(languages, packages);
    char *text = json_dumps(found, JSON_COMPACT);
    assert_string_equal(text, "[{\"name\":\"c\",\"version\":\"12.2.0\"},"
                              "{\"name\":\"sh\",\"version\":\"0.5.12\"}]");
    free(text);
    json_decref(found);
    found = template_languages(languages, NULL);
    assert_int_equal(json_array_size(found), 0);
    json_decref(found);
    json_decref(packages);
    languages_free(languages);
}

static void what_is_written_is_read(void **data)
{
    (void)data;
    const char *path = scratch_path(folder, "template.json");
    json_t *about = json_pack("{s:s}", "name", "x");
    assert_ok(template_write(path, about, &err), err);
    json_t *again = template_read_json(path, &err);
    assert_true(json_equal(about, again));
    json_decref(again);
    json_decref(about);
    assert_fails(template_write(path, NULL, &err), err, ERR_INTERNAL, "cannot describe");
    scratch_write(path, "{");
    assert_null(template_read_json(path, &err));
    assert_null(template_read_json("/nowhere/x", &err));
    assert_contains(err.msg, "/nowhere/x: No such file");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_lose_what_debian_adds),
        CASE(a_language_is_there_when_all_its_packages_are),
        CASE(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
