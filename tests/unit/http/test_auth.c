#include "rig.h"

#include <stdlib.h>

static void with_header(struct rig *rig, const char *header, struct answer *answer)
{
    char text[400];
    struct client client = client_open(rig);
    snprintf(text, sizeof(text), "GET /api/v1/runner HTTP/1.1\r\nHost: x\r\n%s\r\n", header);
    client_text(&client, text);
    assert_true(client_read(&client, answer));
    client_close(&client);
}

static void test_how_a_token_may_come(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static const char *const forms[] = {
        "Authorization: Bearer %s\r\n", "authorization: bearer   %s\r\n", "auth-token: %s\r\n",
        "AUTH-TOKEN: %s\r\n", "Authorization: Basic eDp5\r\nauth-token: %s\r\n"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char header[200];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(header, sizeof(header), forms[i], rig->admin);
#pragma GCC diagnostic pop
        with_header(rig, header, &answer);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
    }
}

static void test_no_or_bad_token(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static const char *const headers[] = {
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic eDp5\r\n",
        "auth-token:\r\n",
        "auth-token: cl_0123456789012345678901234567890123456789\r\n",
        "auth-token: cl_aaaa\r\n",
        "Authorization: Bearer cl_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX\r\n",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        with_header(rig, headers[i], &answer);
        assert_error(&answer, 401, "unauthorized", "token");
        assert_contains(answer.head, "\r\nWWW-Authenticate: Bearer\r\n");
        answer_free(&answer);
    }
}

/* Every route that is no health check is closed, whatever comes with the request. */
static void test_every_route_is_closed(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static const char *const routes[][2] = {
        {"GET", "/api/v1/runner"},
        {"POST", "/api/v1/runner"},
        {"POST", "/api/v1/runner/run"},
        {"POST", "/api/v1/runner/new"},
        {"GET", "/api/v1/runner/demo"},
        {"POST", "/api/v1/runner/demo"},
        {"DELETE", "/api/v1/runner/demo"},
        {"GET", "/api/v1/worker"},
        {"GET", "/api/v1/worker/zombies"},
        {"DELETE", "/api/v1/worker/zombies"},
        {"GET", "/api/v1/workers/local/footprint"},
    };
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        rig_call(rig, routes[i][0], routes[i][1], NULL, "{\"code\":\"true\"}", &answer);
        assert_error(&answer, 401, "unauthorized", "token");
        answer_free(&answer);
    }
    assert_int_equal(fake_worker_seen(rig->fake)->runs, 0);
    assert_int_equal(fake_worker_seen(rig->fake)->destroys, 0);
}

/* Before the body: nobody without a token makes the manager read, keep or parse one. */
static void test_before_the_body(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    client_text(&client,
                "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n"
                "\r\n");
    assert_true(client_read(&client, &answer));
    assert_error(&answer, 401, "unauthorized", "token");
    answer_free(&answer);
    client_close(&client);
    rig_call(rig, "POST", "/api/v1/runner/run", NULL, "not json", &answer);
    assert_error(&answer, 401, "unauthorized", "token");
    answer_free(&answer);
}

static void test_admins_alone(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "GET", "/api/v1/worker/zombies", rig->user, NULL, &answer);
    assert_error(&answer, 403, "forbidden", "admin");
    answer_free(&answer);
    rig_call(rig, "DELETE", "/api/v1/worker/zombies", rig->user, NULL, &answer);
    assert_error(&answer, 403, "forbidden", "admin");
    answer_free(&answer);
    assert_int_equal(fake_worker_seen(rig->fake)->zombies, 0);
}

/* A user sees and touches its own runners; the admin all. */
static void test_owners(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_runner(rig->fake, "mine", "inUse", "user");
    fake_worker_runner(rig->fake, "theirs", "inUse", "other");
    fake_worker_runner(rig->fake, "cr-warm", "available", NULL);
    loop_wait(&rig->loop, registry_count(worker_runners(rig_worker(rig))) == 3);

    rig_call(rig, "GET", "/api/v1/runner", rig->user, NULL, &answer);
    const json_t *runners = json_object_get(answer.json, "runners");
    assert_int_equal(json_array_size(runners), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(runners, 0), "name")),
                        "mine");
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/runner", rig->admin, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "runners")), 3);
    answer_free(&answer);

    static const char *const paths[] = {"/api/v1/runner/theirs", "/api/v1/runner/cr-warm"};
    for (size_t i = 0; i < 2; i++) {
        rig_call(rig, "GET", paths[i], rig->user, NULL, &answer);
        assert_error(&answer, 403, "forbidden", "not yours");
        answer_free(&answer);
        rig_call(rig, "POST", paths[i], rig->user, "{\"code\":\"true\"}", &answer);
        assert_error(&answer, 403, "forbidden", "not yours");
        answer_free(&answer);
        rig_call(rig, "DELETE", paths[i], rig->user, NULL, &answer);
        assert_error(&answer, 403, "forbidden", "not yours");
        answer_free(&answer);
    }
    assert_int_equal(fake_worker_seen(rig->fake)->execs, 0);
    assert_int_equal(fake_worker_seen(rig->fake)->destroys, 0);
    rig_call(rig, "GET", "/api/v1/runner/mine", rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/runner/theirs", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_how_a_token_may_come),  TEST(test_no_or_bad_token),
        TEST(test_every_route_is_closed), TEST(test_before_the_body),
        TEST(test_admins_alone),          TEST(test_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
