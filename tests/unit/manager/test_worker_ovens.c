/* The "templates" of a worker's SNAPSHOT. */
#include "../../../src/manager/worker.h"

#include "../../../src/common/json.h"
#include "../../support/cm.h"

#include <string.h>

static struct worker_figures figures;

static int parse(const char *text, struct err *err)
{
    cleanup_json json_t *json = json_parse_object(text, strlen(text), false, err);
    assert_non_null(json);
    memset(&figures, 0, sizeof(figures));
    strcpy(figures.oven.template_name, "base");
    figures.oven.available = 4;
    figures.oven.max_runners = 9;
    return worker_parse_ovens(json, &figures, err);
}

static void test_all_of_one(void **state)
{
    (void)state;
    struct err err;
    assert_ok(parse("{\"templates\":[{\"name\":\"base\"},{\"name\":\"native\",\"made\":\"today\","
                    "\"bytes\":7,\"languages\":[{\"name\":\"c\",\"version\":\"12\"}],\"status\":"
                    "\"idle\",\"message\":\"m\",\"cooking\":1,\"available\":2,\"inUse\":3,"
                    "\"freeing\":4,\"count\":10,\"waiting\":5,\"target\":6,\"minAvailable\":8,"
                    "\"memTarget\":9,\"maxRunners\":64,\"paused\":true,\"draining\":true,"
                    "\"cookMs\":6.5}]}",
                    &err),
              err);
    assert_int_equal(figures.ovens_len, 2);
    assert_string_equal(figures.ovens[0].name, "base");
    assert_int_equal(figures.ovens[0].available, 0);
    const struct worker_oven *oven = &figures.ovens[1];
    assert_string_equal(oven->name, "native");
    assert_string_equal(oven->made, "today");
    assert_string_equal(oven->status, "idle");
    assert_string_equal(oven->message, "m");
    assert_int_equal(oven->bytes, 7);
    assert_int_equal(oven->cooking, 1);
    assert_int_equal(oven->available, 2);
    assert_int_equal(oven->in_use, 3);
    assert_int_equal(oven->freeing, 4);
    assert_int_equal(oven->count, 10);
    assert_int_equal(oven->waiting, 5);
    assert_int_equal(oven->target, 6);
    assert_int_equal(oven->min_available, 8);
    assert_int_equal(oven->mem_target, 9);
    assert_int_equal(oven->max_runners, 64);
    assert_true(oven->paused && oven->draining);
    assert_true(oven->cook_ms == 6.5);
}

/* A worker that tells no templates has one, whose figures are those of its oven. */
static void test_none_are_told(void **state)
{
    (void)state;
    struct err err;
    assert_ok(parse("{}", &err), err);
    assert_int_equal(figures.ovens_len, 1);
    assert_string_equal(figures.ovens[0].name, "base");
    assert_int_equal(figures.ovens[0].available, 4);
    assert_int_equal(figures.ovens[0].max_runners, 9);
}

static void test_nonsense_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"templates\":7}", "templates"},
        {"{\"templates\":[7]}", "templates[0]: must hold objects"},
        {"{\"templates\":[{}]}", "is no template's name"},
        {"{\"templates\":[{\"name\":\"base\"},{\"name\":\"Base\"}]}",
         "templates[1]: name: \"Base\""},
        {"{\"templates\":[{\"name\":\"a\",\"colour\":1}]}", "colour"},
        {"{\"templates\":[{\"name\":\"a\",\"count\":-1}]}", "count: -1 is out of bounds"},
        {"{\"templates\":[{\"name\":\"a\",\"paused\":0}]}", "paused"},
        {"{\"templates\":[{\"name\":\"a\",\"languages\":{}}]}", "languages"},
        {"{\"templates\":[{\"name\":\"a\",\"languages\":[1]}]}", "languages: must hold objects"},
        {"{\"templates\":[{\"name\":\"a\",\"languages\":[{}]}]}", "languages: name: is missing"},
        {"{\"templates\":[{\"name\":\"abcdefghijklmnopqrstuvwxyz0123456789abcdefgh\"}]}",
         "name: longer than 41 bytes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        assert_fails(parse(cases[i].text, &err), err, ERR_BAD_REQUEST, cases[i].words);
    }
}

/* count of {"name": "aN"}, below key in the object that before and after make of it. */
static void assert_bound(const char *before, const char *after, int most, const char *words)
{
    for (int count = most; count <= most + 1; count++) {
        char text[8192];
        struct err err;
        size_t len = (size_t)snprintf(text, sizeof(text), "%s", before);
        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s{\"name\":\"a%d\"}",
                                    i ? "," : "", i);
        snprintf(text + len, sizeof(text) - len, "%s", after);
        if (count <= most)
            assert_ok(parse(text, &err), err);
        else
            assert_fails(parse(text, &err), err, ERR_BAD_REQUEST, words);
    }
}

static void test_counts_are_bounded(void **state)
{
    (void)state;
    assert_bound("{\"templates\":[", "]}", WORKER_OVENS_MAX, "templates: 33 entries, at most 32");
    assert_bound("{\"templates\":[{\"name\":\"a\",\"languages\":[", "]}]}", 128,
                 "languages: 129 entries, at most 128");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_one),
        cmocka_unit_test(test_none_are_told),
        cmocka_unit_test(test_nonsense_is_named),
        cmocka_unit_test(test_counts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
