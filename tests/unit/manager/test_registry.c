#include "../../../src/manager/registry.h"
#include "../../support/cm.h"

static struct err err;

static void put(struct registry *registry, const char *name, const char *owner)
{
    struct runner_info info = {0};
    snprintf(info.name, sizeof(info.name), "%s", name);
    snprintf(info.owner, sizeof(info.owner), "%s", owner);
    registry_put(registry, &info);
}

static void test_by_name_and_in_order(void **state)
{
    (void)state;
    struct registry *registry = registry_create();
    char name[16];
    assert_null(registry_find(registry, "x"));
    registry_remove(registry, "x");
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "r%03d", i * 137 % 500);
        put(registry, name, "a");
    }
    assert_int_equal(registry_count(registry), 500);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "r%03d", i);
        assert_string_equal(registry_at(registry, (size_t)i)->name, name);
        assert_non_null(registry_find(registry, name));
    }
    put(registry, "r007", "b"); /* replaces */
    assert_int_equal(registry_count(registry), 500);
    assert_string_equal(registry_find(registry, "r007")->owner, "b");
    for (int i = 0; i < 500; i += 2) {
        snprintf(name, sizeof(name), "r%03d", i);
        registry_remove(registry, name);
        assert_null(registry_find(registry, name));
    }
    assert_int_equal(registry_count(registry), 250);
    assert_string_equal(registry_at(registry, 0)->name, "r001");
    registry_doubt(registry);
    put(registry, "r003", "c");
    put(registry, "new", "");
    assert_non_null(registry_find(registry, "r005")); /* believed until then */
    registry_drop_doubtful(registry);
    assert_int_equal(registry_count(registry), 2);
    assert_string_equal(registry_at(registry, 0)->name, "new");
    assert_string_equal(registry_find(registry, "r003")->owner, "c");
    registry_drop_doubtful(registry);
    assert_int_equal(registry_count(registry), 2);
    registry_doubt(registry);
    registry_drop_doubtful(registry);
    assert_int_equal(registry_count(registry), 0);
    put(registry, "again", "");
    assert_non_null(registry_find(registry, "again"));
    registry_destroy(registry);
    registry_destroy(NULL);
}

static int parse(const char *text, struct runner_info *info)
{
    json_t *record = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(record);
    int status = registry_parse(record, info, &err);
    json_decref(record);
    return status;
}

static void test_record(void **state)
{
    (void)state;
    struct runner_info info;
    assert_ok(parse("{\"name\":\"cr-7f3k2m9a\",\"state\":\"available\",\"template\":\"base\","
                    "\"owner\":null,\"kept\":false,\"pid\":4711,\"memory\":1310720,"
                    "\"since\":1767225600000,\"startedAt\":1767225600001,\"lastStatus\":\"ok\","
                    "\"runs\":3,\"history\":[[\"cooking\",1767225600000],[\"available\",2]]}",
                    &info),
              err);
    assert_string_equal(info.name, "cr-7f3k2m9a");
    assert_string_equal(info.state, "available");
    assert_string_equal(info.template_name, "base");
    assert_string_equal(info.owner, "");
    assert_string_equal(info.last_status, "ok");
    assert_false(info.kept);
    assert_int_equal(info.pid, 4711);
    assert_int_equal(info.memory_bytes, 1310720);
    assert_int_equal(info.started_ms, 1767225600001);
    assert_int_equal(info.runs, 3);
    assert_int_equal(info.history_len, 2);
    assert_string_equal(info.history[1].state, "available");
    assert_int_equal(info.history[1].time_ms, 2);
}

static void test_long_history_keeps_the_newest(void **state)
{
    (void)state;
    struct runner_info info;
    assert_ok(parse("{\"name\":\"a\",\"state\":\"x\",\"history\":[[\"s\",1],[\"s\",2],[\"s\",3],"
                    "[\"s\",4],[\"s\",5],[\"s\",6],[\"s\",7],[\"s\",8],[\"s\",9],[\"s\",10]]}",
                    &info),
              err);
    assert_int_equal(info.history_len, RUNNER_HISTORY_MAX);
    assert_int_equal(info.history[0].time_ms, 3);
    assert_int_equal(info.history[RUNNER_HISTORY_MAX - 1].time_ms, 10);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"7", "must be an object"},
        {"{\"state\":\"x\"}", "name: is missing"},
        {"{\"name\":\"a\"}", "state: is missing"},
        {"{\"name\":\"../x\",\"state\":\"x\"}", "no runner's name"},
        {"{\"name\":\"a\",\"state\":\"0123456789abcdef\"}", "state: longer than 15"},
        {"{\"name\":\"a\",\"state\":\"x\",\"pid\":-1}", "pid: -1 is out of bounds"},
        {"{\"name\":\"a\",\"state\":\"x\",\"pid\":1.5}", "pid: must be a whole number"},
        {"{\"name\":\"a\",\"state\":\"x\",\"kept\":1}", "kept: must be true or false"},
        {"{\"name\":\"a\",\"state\":\"x\",\"history\":[7]}", "history: must hold"},
        {"{\"name\":\"a\",\"state\":\"x\",\"history\":[[\"s\"]]}", "history: must hold"},
        {"{\"name\":\"a\",\"state\":\"x\",\"color\":1}", "color: unknown field"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct runner_info info;
        assert_fails(parse(cases[i].text, &info), err, ERR_BAD_REQUEST, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_name_and_in_order),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_long_history_keeps_the_newest),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
