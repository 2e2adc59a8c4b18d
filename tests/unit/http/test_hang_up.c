/* Clients that leave, and workers that do, in the middle of things. */
#include "rig.h"

#include <stdlib.h>
#include <sys/socket.h>

static struct fake_op *held[64];
static unsigned held_len;

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    held_len = 0;
    rig_init(rig);
    rig_start(rig);
    *state = rig;
    return 0;
}

static void hold_started(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    held[held_len++] = op;
    fake_op_started(op);
    fake_op_output(op, false, "so far", 6);
}

static void hold(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    held[held_len++] = op;
}

/* Sends a request and waits until the worker has it. */
static struct client start(struct rig *rig, const char *path, const char *body)
{
    char text[300];
    unsigned before = held_len;
    struct client client = client_open(rig);
    snprintf(text, sizeof(text),
             "POST %s HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\nContent-Length: %zu\r\n\r\n%s", path,
             rig->admin, strlen(body), body);
    client_text(&client, text);
    loop_wait(&rig->loop, held_len > before);
    return client;
}

static struct client start_run(struct rig *rig)
{
    return start(rig, "/api/v1/runner/run", "{\"code\":\"sleep 9\"}");
}

static void assert_killed(struct rig *rig)
{
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == 1);
    assert_int_equal(fake_worker_seen(rig->fake)->open, 0);
    loop_wait(&rig->loop, http_server_busy(rig->server) == 0);
}

static void test_fin(void **state)
{
    struct rig *rig = *state;
    fake_worker_script(rig->fake, hold_started, NULL);
    struct client client = start_run(rig);
    client_close(&client);
    assert_killed(rig);
}

static void test_rst(void **state)
{
    struct rig *rig = *state;
    fake_worker_script(rig->fake, hold_started, NULL);
    struct client client = start_run(rig);
    client_reset(&client);
    assert_killed(rig);
}

/* Who says that it will send no more is taken at its word: it has hung up. */
static void test_half_close(void **state)
{
    struct rig *rig = *state;
    fake_worker_script(rig->fake, hold_started, NULL);
    struct client client = start_run(rig);
    shutdown(client.fd, SHUT_WR);
    assert_killed(rig);
    client_wait_end(&client);
    assert_int_equal(client.in.len, 0);
    client_close(&client);
}

static void test_while_it_waits_for_a_runner(void **state)
{
    struct rig *rig = *state;
    fake_worker_script(rig->fake, hold, NULL);
    struct client client = start_run(rig);
    client_close(&client);
    assert_killed(rig);
}

/* The next request is there already; the hang-up is seen all the same. */
static void test_with_a_request_ahead(void **state)
{
    struct rig *rig = *state;
    fake_worker_script(rig->fake, hold_started, NULL);
    struct client client = start_run(rig);
    client_text(&client, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    client_close(&client);
    assert_killed(rig);
}

static void test_while_the_answer_is_sent(void **state)
{
    struct rig *rig = *state;
    static char bytes[900000];
    fake_worker_script(rig->fake, hold_started, NULL);
    for (int i = 0; i < 3; i++) {
        struct client client = start_run(rig);
        int small = 4096;
        setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        memset(bytes, '\x02', sizeof(bytes));
        fake_op_output(held[held_len - 1], true, bytes, sizeof(bytes));
        fake_op_result(held[held_len - 1], "ok", 0);
        for (int k = 0; k < 20; k++)
            loop_turn(&rig->loop);
        if (i == 0)
            client_close(&client);
        else if (i == 1)
            client_reset(&client);
        else
            assert_int_equal(http_server_busy(rig->server), 1); /* it stands and waits */
        if (i < 2)
            loop_wait(&rig->loop, http_server_busy(rig->server) == 0);
        client_close(&client);
        loop_wait(&rig->loop, http_server_busy(rig->server) == 0);
    }
}

static void test_worker_killed_during_runs(void **state)
{
    struct rig *rig = *state;
    enum { COUNT = 20 };
    struct client clients[COUNT];
    struct answer answer;
    fake_worker_script(rig->fake, hold_started, NULL);
    for (int i = 0; i < COUNT; i++)
        clients[i] = start_run(rig);
    for (int i = 0; i < 5; i++) /* what the worker said has arrived */
        loop_turn(&rig->loop);
    rig_kill_worker(rig);
    for (int i = 0; i < COUNT; i++) {
        assert_true(client_read(&clients[i], &answer));
        assert_error(&answer, 502, "workerBadGateway", "lost during the run");
        assert_contains(answer_text(&answer, "runner"), "cr-");
        answer_free(&answer);
        client_close(&clients[i]);
    }
    rig_revive_worker(rig);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"back\"}", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "stdout"), "back");
    answer_free(&answer);
}

/* Runs that had no runner yet are run by the worker that comes next, once. */
static void test_worker_killed_before_runs_start(void **state)
{
    struct rig *rig = *state;
    enum { COUNT = 20 };
    struct client clients[COUNT];
    struct answer answer;
    fake_worker_script(rig->fake, hold, NULL);
    for (int i = 0; i < COUNT; i++)
        clients[i] = start_run(rig);
    rig_kill_worker(rig);
    for (int i = 0; i < 10; i++)
        loop_turn(&rig->loop);
    rig_revive_worker(rig);
    for (int i = 0; i < COUNT; i++) {
        assert_true(client_read(&clients[i], &answer));
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer_text(&answer, "stdout"), "sleep 9");
        answer_free(&answer);
        client_close(&clients[i]);
    }
    assert_int_equal(fake_worker_seen(rig->fake)->runs, COUNT);
}

static void drop_started(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    fake_op_started(op);
    fake_op_drop(op);
}

/* Whether it was made is not known: it is believed until the worker is back and tells what it has.
 */
static void test_worker_killed_as_it_made_a_named_runner(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static const char started[] = "{\"runner\":\"demo\",\"queuedMs\":0}";
    fake_worker_script(rig->fake, hold, NULL);
    struct client client =
        start(rig, "/api/v1/runner/new", "{\"name\":\"demo\",\"code\":\"sleep 9\"}");
    fake_op_send(held[0], FRAME_STARTED, started, strlen(started)); /* its WATCH says nothing yet */
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    rig_kill_worker(rig);
    assert_true(client_read(&client, &answer));
    assert_error(&answer, 502, "workerBadGateway", "lost during the run");
    answer_free(&answer);
    client_close(&client);
    rig_call(rig, "GET", "/api/v1/runner/demo", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    rig_revive_worker(rig);
    loop_wait(&rig->loop, !registry_find(worker_runners(rig_worker(rig)), "demo"));
    rig_call(rig, "GET", "/api/v1/runner/demo", rig->admin, NULL, &answer);
    assert_error(&answer, 404, "runnerNotFound", "demo");
    answer_free(&answer);
}

static void test_connection_lost_after_start(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_script(rig->fake, drop_started, NULL);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
    assert_error(&answer, 502, "workerBadGateway", "lost");
    assert_string_equal(answer_text(&answer, "runner"), "cr-00000001");
    answer_free(&answer);
    assert_int_equal(fake_worker_seen(rig->fake)->runs, 1);
}

static void answer_nonsense(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    fake_op_started(op);
    fake_op_answer(op, FRAME_RESULT, "{\"runner\":7}");
}

static void test_worker_talks_nonsense(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_script(rig->fake, answer_nonsense, NULL);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
    assert_error(&answer, 502, "workerBadGateway", "RESULT of the worker: runner");
    answer_free(&answer);
}

static void test_no_worker(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig->config.run_queue = 300;
    rig_kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig_worker(rig)));
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "out of reach");
    assert_contains(answer.head, "\r\nRetry-After: 1\r\n");
    assert_true(json_number_value(json_object_get(answer.json, "duration")) >= 290);
    answer_free(&answer);
    /* A client that does not wait that long leaves nothing behind. */
    struct client client = client_open(rig);
    char text[300];
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\n"
             "Content-Length: 12\r\n\r\n{\"code\":\"x\"}",
             rig->admin);
    client_text(&client, text);
    loop_wait(&rig->loop, http_server_busy(rig->server) == 1);
    client_close(&client);
    loop_wait(&rig->loop, http_server_busy(rig->server) == 0);
}

/* The server ends while clients are in every state. */
static void test_end_of_the_server(void **state)
{
    struct rig *rig = *state;
    fake_worker_script(rig->fake, hold_started, NULL);
    struct client running = start_run(rig);
    struct client idle = client_open(rig);
    struct client half = client_open(rig);
    client_text(&half, "GET /heal");
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    http_server_destroy(rig->server);
    rig->server = NULL;
    client_wait_end(&running);
    client_wait_end(&idle);
    client_wait_end(&half);
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == 1);
    client_close(&running);
    client_close(&idle);
    client_close(&half);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_fin),
        TEST(test_rst),
        TEST(test_half_close),
        TEST(test_while_it_waits_for_a_runner),
        TEST(test_with_a_request_ahead),
        TEST(test_while_the_answer_is_sent),
        TEST(test_worker_killed_during_runs),
        TEST(test_worker_killed_before_runs_start),
        TEST(test_connection_lost_after_start),
        TEST(test_worker_killed_as_it_made_a_named_runner),
        TEST(test_worker_talks_nonsense),
        TEST(test_no_worker),
        TEST(test_end_of_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
