/* The worker's routes, and whether we are ready. */
#include "rig.h"

#include <stdlib.h>

static void test_worker(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "GET", "/api/v1/worker", rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    const json_t *worker = json_object_get(answer.json, "worker");
    assert_string_equal(json_string_value(json_object_get(worker, "location")), "local");
    assert_string_equal(json_string_value(json_object_get(worker, "user")), "root");
    assert_true(json_is_false(json_object_get(worker, "userHasKey")));
    assert_int_equal(json_integer_value(json_object_get(worker, "startedAt")), 1000);
    assert_string_equal(json_string_value(json_object_get(worker, "environment")),
                        "Linux 6.1.0, cgroup v2");
    json_t *oven =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:i, s:i, s:f}",
                  "status", "idle", "message", "", "cooking", 1, "count", 6, "available", 5,
                  "inUse", 0, "freeing", 0, "waiting", 0, "template", "base", "minAvailable", 10,
                  "memTarget", 40, "memCeiling", 90, "maxRunners", 64, "cookMs", 6.5);
    assert_true(json_equal(oven, json_object_get(answer.json, "oven")));
    json_decref(oven);
    json_t *memory =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "total", 1000, "free", 100,
                  "available", 750, "used", 250, "swapTotal", 0, "swapFree", 0, "percentUsed", 25,
                  "percentFree", 10, "percentAvailable", 75);
    assert_true(json_equal(memory, json_object_get(answer.json, "memory")));
    json_decref(memory);
    json_t *df =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:s}", "filesystem", "ext4", "path",
                  "/var/lib/codeland", "total", 1000, "used", 301, "available", 599, "use%", "34%");
    assert_true(json_equal(df, json_object_get(answer.json, "df")));
    json_decref(df);
    answer_free(&answer);
}

static void test_zombies(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "GET", "/api/v1/worker/zombies", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body,
                        "{\"res\":{\"cr-zombie\":{\"name\":\"cr-zombie\",\"worker\":\"local\"}},"
                        "\"zombies\":[\"cr-zombie\"]}");
    answer_free(&answer);
    rig_call(rig, "DELETE", "/api/v1/worker/zombies", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"res\":\"success\",\"zombies\":[\"cr-zombie\"]}");
    answer_free(&answer);
}

static void lie(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    fake_op_answer(op, FRAME_RESULT, "{\"zombies\":[7]}");
}

static void test_zombies_nonsense(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_script(rig->fake, lie, NULL);
    rig_call(rig, "GET", "/api/v1/worker/zombies", rig->admin, NULL, &answer);
    assert_error(&answer, 502, "workerBadGateway", "zombies");
    answer_free(&answer);
}

static void answer_footprint(struct fake_op *op, const struct fake_request *request, void *data)
{
    assert_int_equal(request->type, FRAME_FOOTPRINT);
    fake_op_answer(op, FRAME_RESULT, data);
}

static void test_footprint(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static char text[] = "{\"runners\":3,\"mounts\":[\"worker / ext4\"]}", list[] = "[]";
    fake_worker_script(rig->fake, answer_footprint, text);
    rig_call(rig, "GET", "/api/v1/workers/local/footprint", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    const json_t *manager = json_object_get(answer.json, "manager");
    assert_true(json_integer_value(json_object_get(manager, "descriptors")) > 3);
    assert_true(json_integer_value(json_object_get(manager, "memory")) > 0);
    assert_contains(answer.body, "\"worker\":{\"runners\":3,\"mounts\":[\"worker / ext4\"]}");
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/workers/nobody/footprint", rig->admin, NULL, &answer);
    assert_error(&answer, 404, "notFound", "there is no worker \"nobody\"");
    answer_free(&answer);
    fake_worker_script(rig->fake, answer_footprint, list);
    rig_call(rig, "GET", "/api/v1/workers/local/footprint", rig->admin, NULL, &answer);
    assert_error(&answer, 502, "workerBadGateway", "RESULT of the worker");
    answer_free(&answer);
}

static void assert_ready(struct rig *rig, int status, const char *words)
{
    struct answer answer;
    rig_call(rig, "GET", "/readyz", NULL, NULL, &answer);
    if (status == 200) {
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "{\"status\":\"ok\"}");
    } else {
        assert_error(&answer, status, "RunnerNotAvailable", words);
        assert_contains(answer.head, "\r\nRetry-After: 1\r\n");
    }
    answer_free(&answer);
}

static int64_t available(struct rig *rig)
{
    return worker_get_figures(rig_worker(rig))->oven.available;
}

static void test_ready(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    assert_ready(rig, 200, "");
    fake_worker_oven(rig->fake, 0, 9, "full", "");
    loop_wait(&rig->loop, available(rig) == 0);
    assert_ready(rig, 200, ""); /* busy, and ready for that */
    fake_worker_oven(rig->fake, 0, 0, "backingOff", "the template is broken");
    loop_wait(&rig->loop,
              strcmp(worker_get_figures(rig_worker(rig))->oven.status, "backingOff") == 0);
    assert_ready(rig, 503, "cold: backingOff: the template is broken");
    rig_kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig_worker(rig)));
    assert_ready(rig, 503, "out of reach");
    rig_call(rig, "GET", "/healthz", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    /* What was known of it is still told, and that it is down. */
    rig_call(rig, "GET", "/api/v1/worker", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_contains(answer.body, "\"state\":\"down\"");
    answer_free(&answer);
    rig_revive_worker(rig);
    loop_wait(&rig->loop, worker_up(rig_worker(rig)));
    assert_ready(rig, 200, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_worker),    TEST(test_zombies), TEST(test_zombies_nonsense),
        TEST(test_footprint), TEST(test_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
