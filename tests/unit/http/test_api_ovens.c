/* A worker's ovens over the API: looked at and changed, with the worker's own word for it. */
#include "rig.h"

#include "../../../src/common/mem.h"

#define ENTRY                                                                                      \
    "{\"oven\":{\"name\":\"native\",\"made\":\"2026-01-31T12:00:00Z\",\"bytes\":734003200,"        \
    "\"languages\":[],\"status\":\"paused\",\"message\":\"by word\",\"cooking\":1,"                \
    "\"available\":2,\"inUse\":3,\"freeing\":4,\"count\":10,\"waiting\":5,\"target\":6,"           \
    "\"minAvailable\":7,\"memTarget\":8,\"maxRunners\":16,\"paused\":true,\"draining\":false,"     \
    "\"cookMs\":6.75}}"

#define PATH "/api/v1/workers/local/oven"

struct script {
    enum frame_type type;
    const char *text;
    char asked[512]; /* the last OVEN */
    struct fake_op *held;
};

static void answer_oven(struct fake_op *op, const struct fake_request *request, void *data)
{
    struct script *script = data;
    assert_int_equal(request->type, FRAME_OVEN);
    cleanup_free char *text = json_dumps(request->message, JSON_COMPACT);
    snprintf(script->asked, sizeof(script->asked), "%s", text);
    if (script->text)
        fake_op_answer(op, script->type, script->text);
    else
        script->held = op;
}

static void test_look_and_change(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    struct script script = {.type = FRAME_RESULT, .text = ENTRY};
    fake_worker_script(rig->fake, answer_oven, &script);
    static const char expected[] =
        "{\"worker\":\"local\",\"oven\":{\"template\":\"native\",\"made\":\"2026-01-31T12:00:00Z\","
        "\"bytes\":734003200,\"status\":\"paused\",\"message\":\"by word\",\"cooking\":1,"
        "\"count\":10,\"available\":2,\"inUse\":3,\"freeing\":4,\"waiting\":5,\"target\":6,"
        "\"minAvailable\":7,\"memTarget\":8,\"maxRunners\":16,\"paused\":true,\"draining\":false,"
        "\"cookMs\":6.75}}";
    static const struct {
        const char *method, *path, *body, *asked;
    } cases[] = {
        {"GET", PATH, NULL, "{}"},
        {"GET", PATH "?template=native", NULL, "{\"template\":\"native\"}"},
        {"PATCH", PATH, "{}", "{}"},
        {"PATCH", PATH, "{\"template\":\"native\",\"minAvailable\":7,\"paused\":true}",
         "{\"template\":\"native\",\"minAvailable\":7,\"paused\":true}"},
        {"PATCH", PATH, "{\"memTarget\":8,\"maxRunners\":16,\"draining\":false}",
         "{\"memTarget\":8,\"maxRunners\":16,\"draining\":false}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_call(rig, cases[i].method, cases[i].path, rig->admin, cases[i].body, &answer);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, expected);
        assert_string_equal(script.asked, cases[i].asked);
        answer_free(&answer);
    }
}

/* None of these reaches the worker. */
static void test_refused(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *name, *words;
    } cases[] = {
        {"PATCH", PATH, "{\"minAvailable\":-1}", 400, "badRequest", "minAvailable: -1 is out of"},
        {"PATCH", PATH, "{\"minAvailable\":10001}", 400, "badRequest", "10000"},
        {"PATCH", PATH, "{\"memTarget\":101}", 400, "badRequest", "memTarget: 101 is out of"},
        {"PATCH", PATH, "{\"maxRunners\":0}", 400, "badRequest", "maxRunners: 0 is out of"},
        {"PATCH", PATH, "{\"maxRunners\":\"many\"}", 400, "badRequest", "maxRunners"},
        {"PATCH", PATH, "{\"paused\":1}", 400, "badRequest", "paused"},
        {"PATCH", PATH, "{\"template\":\"../x\"}", 400, "badRequest", "template: must match"},
        {"PATCH", PATH, "{\"warm\":3}", 400, "badRequest", "warm: unknown field"},
        {"PATCH", PATH, "[]", 400, "badRequest", "object"},
        {"PATCH", PATH, "nonsense", 400, "badRequest", "JSON"},
        {"GET", PATH "?template=..%2Fx", NULL, 400, "badRequest", "template: must match"},
        {"GET", PATH "?template=%zz", NULL, 400, "badRequest", "template: must match"},
        {"GET", PATH "?template=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeee", NULL, 400,
         "badRequest", "template: must match"},
        {"GET", "/api/v1/workers/nobody/oven", NULL, 404, "notFound", "\"nobody\""},
        {"PATCH", "/api/v1/workers/nobody/oven", "{}", 404, "notFound", "\"nobody\""},
        {"PATCH", "/api/v1/workers/A/oven", "{}", 404, "notFound", "no worker's name"},
        {"POST", PATH, "{}", 405, "methodNotAllowed", "GET, HEAD, PATCH, OPTIONS"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_call(rig, cases[i].method, cases[i].path, rig->admin, cases[i].body, &answer);
        assert_error(&answer, cases[i].status, cases[i].name, cases[i].words);
        answer_free(&answer);
    }
    rig_call(rig, "PATCH", PATH, rig->user, "{\"paused\":true}", &answer);
    assert_error(&answer, 403, "forbidden", "admin");
    answer_free(&answer);
    assert_int_equal(fake_worker_seen(rig->fake)->ovens, 0);
}

/* What the worker has to say against it is told as it said it. */
static void test_the_workers_own_bounds(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    struct script script = {.type = FRAME_LINK_ERROR};
    fake_worker_script(rig->fake, answer_oven, &script);
    script.text = "{\"name\":\"badRequest\",\"message\":\"maxRunners: at most 64, which is "
                  "oven.max_runners\",\"runner\":null,\"retryAfterMs\":0}";
    rig_call(rig, "PATCH", PATH, rig->admin, "{\"maxRunners\":65}", &answer);
    assert_error(&answer, 400, "badRequest", "maxRunners: at most 64");
    answer_free(&answer);
    script.text = "{\"name\":\"notFound\",\"message\":\"there is no template \\\"x\\\"\","
                  "\"runner\":null,\"retryAfterMs\":0}";
    rig_call(rig, "GET", PATH "?template=x", rig->user, NULL, &answer);
    assert_error(&answer, 404, "notFound", "no template");
    answer_free(&answer);
    script.type = FRAME_RESULT;
    static const char *const nonsense[] = {"{}", "{\"oven\":[]}", "{\"oven\":{\"name\":\"NO\"}}",
                                           "{\"oven\":{\"name\":\"base\",\"count\":-1}}"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        script.text = nonsense[i];
        rig_call(rig, "GET", PATH, rig->admin, NULL, &answer);
        assert_error(&answer, 502, "workerBadGateway", "RESULT of the worker: oven");
        answer_free(&answer);
    }
}

static void test_a_worker_that_is_not_connected(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig_worker(rig)));
    rig_call(rig, "GET", PATH, rig->admin, NULL, &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "\"local\" is out of reach");
    assert_contains(answer.head, "\r\nRetry-After: ");
    answer_free(&answer);
    rig_call(rig, "PATCH", PATH, rig->admin, "{\"paused\":true}", &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "\"local\" is out of reach");
    answer_free(&answer);
}

static void test_a_client_that_leaves(void **state)
{
    struct rig *rig = *state;
    struct script script = {0};
    fake_worker_script(rig->fake, answer_oven, &script);
    struct client client = client_open(rig);
    char text[300];
    snprintf(text, sizeof(text),
             "GET " PATH " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", rig->admin);
    client_text(&client, text);
    loop_wait(&rig->loop, script.held);
    client_reset(&client);
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == 1);
}

/* The list of all ovens comes from what the worker pushed. */
static void test_the_list(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_templates(rig->fake, json_pack("[{s:s, s:i}, {s:s, s:b}]", "name", "base",
                                               "available", 5, "name", "native", "paused", 1));
    loop_wait(&rig->loop, worker_oven(rig_worker(rig), "native"));
    rig_call(rig, "GET", "/api/v1/workers/local", rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    const json_t *ovens = json_object_get(answer.json, "ovens");
    assert_int_equal(json_array_size(ovens), 2);
    const json_t *base = json_array_get(ovens, 0), *native = json_array_get(ovens, 1);
    assert_string_equal(json_string_value(json_object_get(base, "template")), "base");
    assert_int_equal(json_integer_value(json_object_get(base, "available")), 5);
    assert_false(json_boolean_value(json_object_get(base, "paused")));
    assert_string_equal(json_string_value(json_object_get(native, "template")), "native");
    assert_true(json_boolean_value(json_object_get(native, "paused")));
    answer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_look_and_change, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_refused, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_the_workers_own_bounds, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_worker_that_is_not_connected, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_that_leaves, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_the_list, rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
