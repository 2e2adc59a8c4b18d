#include "../../../src/common/oven_change.h"

#include "../../../src/common/mem.h"
#include "../../support/cm.h"

#include <string.h>

/* ' stands for ". */
static int parse(const char *text, struct oven_change *change, struct err *err)
{
    char json[512];
    assert_true(strlen(text) < sizeof(json));
    strcpy(json, text);
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    return oven_change_parse(json, strlen(json), change, err);
}

static void every_field(void **state)
{
    struct oven_change change;
    struct err err;
    (void)state;
    assert_ok(parse("{'template':'native','minAvailable':2,'memTarget':0,'maxRunners':16,"
                    "'paused':false,'draining':true}",
                    &change, &err),
              err);
    assert_string_equal(change.template_name, "native");
    assert_int_equal(change.min_available, 2);
    assert_int_equal(change.mem_target_percent, 0);
    assert_int_equal(change.max_runners, 16);
    assert_int_equal(change.paused, 0);
    assert_int_equal(change.draining, 1);
    assert_ok(parse("{}", &change, &err), err);
    assert_string_equal(change.template_name, "");
    assert_int_equal(change.min_available, -1);
    assert_int_equal(change.mem_target_percent, -1);
    assert_int_equal(change.max_runners, -1);
    assert_int_equal(change.paused, -1);
    assert_int_equal(change.draining, -1);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{'template':'Native'}", "template: must match"},
        {"{'template':'../x'}", "template: must match"},
        {"{'template':7}", "template"},
        {"{'minAvailable':-1}", "minAvailable: -1 is out of bounds"},
        {"{'minAvailable':10001}", "10000"},
        {"{'memTarget':101}", "memTarget: 101 is out of bounds"},
        {"{'maxRunners':0}", "maxRunners: 0 is out of bounds"},
        {"{'maxRunners':1.5}", "maxRunners"},
        {"{'paused':1}", "paused"},
        {"{'draining':'no'}", "draining"},
        {"{'drained':true}", "drained"},
        {"[]", "object"},
        {"", "JSON"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oven_change change;
        struct err err;
        assert_fails(parse(cases[i].text, &change, &err), err, ERR_BAD_REQUEST, cases[i].words);
    }
}

/* What is sent on says what was asked for, and nothing that was not. */
static void back_to_json(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{}",
        "{\"template\":\"native\",\"minAvailable\":0,\"memTarget\":0,\"maxRunners\":1,"
        "\"paused\":false,\"draining\":true}",
        "{\"memTarget\":100,\"paused\":true}",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oven_change change;
        struct err err;
        assert_ok(oven_change_parse(cases[i], strlen(cases[i]), &change, &err), err);
        json_t *json = oven_change_json(&change);
        cleanup_free char *text = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        assert_string_equal(text, cases[i]);
    }
}

static void the_template(void **state)
{
    (void)state;
    struct oven_change change;
    struct err err;
    oven_change_none(&change);
    assert_ok(oven_change_set_template(&change, "native", &err), err);
    assert_string_equal(change.template_name, "native");
    assert_fails(oven_change_set_template(&change, "../etc", &err), err, ERR_BAD_REQUEST,
                 "template: must match");
    assert_string_equal(change.template_name, "native");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field),
        cmocka_unit_test(refused),
        cmocka_unit_test(back_to_json),
        cmocka_unit_test(the_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
