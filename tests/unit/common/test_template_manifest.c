#include "../../../src/common/template_manifest.h"

#include "../../support/cm.h"

#include <stdlib.h>

static int parse(const char *text, struct template_manifest *manifest, struct err *err)
{
    return template_manifest_parse(text, strlen(text), manifest, err);
}

static void what_is_written_is_read(void **data)
{
    (void)data;
    struct err err;
    char here[16];
    struct template_manifest manifest = {
        .name = "base", .entries = 7, .bytes = INT64_C(5000000000)};
    struct template_manifest read = {0};
    char *text = template_manifest_text(&manifest);
    template_architecture(here);
    assert_ok(parse(text, &read, &err), err);
    assert_string_equal(read.name, "base");
    assert_string_equal(read.architecture, here);
    assert_int_equal(read.entries, 7);
    assert_int_equal(read.bytes, INT64_C(5000000000));
    free(text);
}

static void what_is_wrong_is_named(void **data)
{
    (void)data;
    static const struct {
        const char *text, *words;
        enum err_code code;
    } cases[] = {
        {"", "not JSON", ERR_BAD_REQUEST},
        {"[]", "must be a JSON object", ERR_BAD_REQUEST},
        {"{}", "codelandTemplate: is missing", ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": \"1\"}", "codelandTemplate: must be a whole number",
         ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": 2, \"new\": 1}", "its format is 2, this program's is 1",
         ERR_NOT_AVAILABLE},
        {"{\"codelandTemplate\": 1, \"x\": 1}", "x", ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": 1, \"name\": \"a\", \"architecture\": \"a\", \"entries\": 0, "
         "\"bytes\": 1}",
         "entries: 0 is out of bounds", ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": 1, \"name\": \"a\", \"architecture\": \"a\", \"entries\": "
         "2000001, \"bytes\": 1}",
         "2000000", ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": 1, \"name\": \"a\", \"architecture\": \"a\", \"entries\": 1, "
         "\"bytes\": 68719476737}",
         "68719476736", ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": 1, \"name\": \"../a\", \"architecture\": \"a\", \"entries\": 1, "
         "\"bytes\": 1}",
         "name: must match", ERR_BAD_REQUEST},
        {"{\"codelandTemplate\": 1, \"name\": \"a\", \"architecture\": \"pdp11\", \"entries\": 1, "
         "\"bytes\": 1}",
         "it is of the architecture \"pdp11\", this machine's is ", ERR_NOT_AVAILABLE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        struct template_manifest manifest;
        assert_fails(parse(cases[i].text, &manifest, &err), err, cases[i].code, cases[i].words);
    }
}

static void its_text_is_bounded(void **data)
{
    (void)data;
    struct err err;
    struct template_manifest manifest;
    char text[TEMPLATE_MANIFEST_TEXT_MAX + 2];
    memset(text, ' ', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_fails(parse(text, &manifest, &err), err, ERR_BAD_REQUEST, "at most 4096 are allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(its_text_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
