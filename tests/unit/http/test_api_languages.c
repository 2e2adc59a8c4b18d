/* The list of languages, and the template that a run gets by its language. */
#include "rig.h"

#include "../../../src/common/json.h"
#include "../../../src/common/mem.h"
#include "../../support/known_languages.h"

#include <string.h>

static const json_t *entry_of(const json_t *list, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)list, i, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0)
            return entry;
    }
    fail_msg("%s is not in the list", name);
    return NULL;
}

static const char *text_of(const json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));
    return text ? text : "";
}

static void tell_native(struct rig *rig)
{
    fake_worker_templates(
        rig->fake, json_pack("[{s:s, s:i, s:[{s:s, s:s}]}, {s:s, s:i, s:[{s:s, s:s}, {s:s, s:s}]}]",
                             "name", "base", "bytes", 10, "languages", "name", "sh", "version",
                             "0.5.12", "name", "native", "bytes", 20, "languages", "name", "c",
                             "version", "12.2.0", "name", "sh", "version", "0.5.12"));
    loop_wait(&rig->loop, worker_oven(rig_worker(rig), "native"));
}

static void test_list(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    tell_native(rig);
    rig_call(rig, "GET", "/api/v1/languages", rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(json_array_size(answer.json), languages_len(known_languages()));
    for (size_t i = 0; i < json_array_size(answer.json); i++) {
        const json_t *entry = json_array_get(answer.json, i);
        const struct language *language = languages_at(known_languages(), i);
        assert_string_equal(text_of(entry, "name"), language->name);
        assert_string_equal(text_of(entry, "title"), language->title);
        assert_string_equal(text_of(entry, "file"), language->file);
        assert_string_equal(text_of(entry, "sample"), language->sample);
        assert_true(json_is_array(json_object_get(entry, "aliases")));
    }
    const json_t *c = entry_of(answer.json, "c"), *rust = entry_of(answer.json, "rust");
    assert_string_equal(text_of(c, "version"), "12.2.0");
    assert_string_equal(text_of(c, "template"), "native");
    assert_true(json_is_true(json_object_get(c, "available")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(c, "aliases"), 0)), "gcc");
    assert_true(json_is_null(json_object_get(rust, "version")));
    assert_true(json_is_false(json_object_get(rust, "available")));
    assert_string_equal(text_of(entry_of(answer.json, "sh"), "template"), "base");
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/languages", NULL, NULL, &answer);
    assert_error(&answer, 401, "unauthorized", "");
    answer_free(&answer);
}

/* A worker that tells no languages, and one that is down, are listed as what they are. */
static void test_list_without(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "GET", "/api/v1/languages", rig->user, NULL, &answer);
    const json_t *sh = entry_of(answer.json, "sh");
    assert_true(json_is_null(json_object_get(sh, "version")));
    assert_true(json_is_true(json_object_get(sh, "available")));
    answer_free(&answer);
    tell_native(rig);
    rig_kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig_worker(rig)));
    rig_call(rig, "GET", "/api/v1/languages", rig->user, NULL, &answer);
    const json_t *c = entry_of(answer.json, "c");
    assert_string_equal(text_of(c, "version"), "12.2.0");
    assert_true(json_is_false(json_object_get(c, "available")));
    answer_free(&answer);
}

static void note_template(struct fake_op *op, const struct fake_request *request, void *data)
{
    char *seen = data;
    snprintf(seen, NAME_MAX_LEN + 1, "%s",
             json_string_value(json_object_get(request->message, "template")));
    fake_op_started(op);
    fake_op_result(op, "ok", 0);
}

static void test_a_run_gets_the_template_of_its_language(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    char seen[NAME_MAX_LEN + 1] = "";
    static const struct {
        const char *path, *body, *wanted;
    } cases[] = {
        {"/api/v1/runner/run", "{\"code\":\"x\"}", "base"},
        {"/api/v1/runner/run", "{\"code\":\"x\",\"language\":\"c\"}", "native"},
        {"/api/v1/runner", "{\"code\":\"x\",\"language\":\"gcc\"}", "native"},
        {"/api/v1/runner/new", "{\"code\":\"x\",\"language\":\"c\"}", "native"},
        {"/api/v1/runner/new", "{}", "base"},
    };
    tell_native(rig);
    fake_worker_script(rig->fake, note_template, seen);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_call(rig, "POST", cases[i].path, rig->user, cases[i].body, &answer);
        if (answer.status != 200)
            fail_msg("case %zu: %s", i, answer.body);
        answer_free(&answer);
        assert_string_equal(seen, cases[i].wanted);
    }
}

static void test_a_language_that_nobody_has(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    unsigned runs = fake_worker_seen(rig->fake)->runs;
    tell_native(rig);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->user, "{\"code\":\"x\",\"language\":\"java\"}",
             &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "sudo codeland template build jvm");
    assert_contains(answer.head, "\r\nRetry-After: 1\r\n");
    answer_free(&answer);
    assert_int_equal(fake_worker_seen(rig->fake)->runs, runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_list_without, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_run_gets_the_template_of_its_language, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_language_that_nobody_has, rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
