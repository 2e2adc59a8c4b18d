/* Connections as such: how many, how long, how slow. */
#include "rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig *start(int64_t connections_max, const struct http_timeouts *timeouts)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig_init(rig);
    rig->config.http_connections_max = connections_max;
    if (timeouts)
        rig->timeouts = *timeouts;
    rig_start(rig);
    return rig;
}

static void stop(struct rig *rig)
{
    rig_stop(rig);
    free(rig);
}

static void test_no_more_than_allowed(void **state)
{
    (void)state;
    struct rig *rig = start(3, NULL);
    struct client clients[4];
    struct answer answer;
    for (int i = 0; i < 3; i++) {
        clients[i] = client_open(rig);
        client_call(&clients[i], "GET", "/healthz", NULL, NULL, &answer);
        answer_free(&answer);
    }
    clients[3] = client_open(rig); /* waits in the backlog */
    client_text(&clients[3], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 10; i++)
        loop_turn(&rig->loop);
    char byte;
    assert_int_equal(recv(clients[3].fd, &byte, 1, MSG_PEEK), -1);
    client_close(&clients[0]);
    assert_true(client_read(&clients[3], &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    for (int i = 1; i < 4; i++)
        client_close(&clients[i]);
    stop(rig);
}

/* Who sends a byte now and then, or none, is cut off; who waits for a run is not. */
static void test_slow_clients(void **state)
{
    (void)state;
    const struct http_timeouts timeouts = {
        .head_ms = 300, .idle_ms = 300, .body_ms = 300, .write_ms = 300};
    struct rig *rig = start(100, &timeouts);
    struct client silent = client_open(rig), head = client_open(rig), body = client_open(rig);
    char text[300];
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\n"
             "Content-Length: 500000\r\n\r\n",
             rig->admin);
    client_text(&head, "GET /healthz HTTP/1.1\r\n");
    client_text(&body, text);
    mono_us began = clock_now(&clock_system);
    while (!head.ended || !body.ended) {
        char byte;
        assert_true(clock_now(&clock_system) - began < LOOP_WAIT_US);
        if (!head.ended && !client_text(&head, "x"))
            head.ended = true;
        if (!body.ended && !client_text(&body, " "))
            body.ended = true;
        head.ended |= recv(head.fd, &byte, 1, MSG_PEEK) == 0;
        body.ended |= recv(body.fd, &byte, 1, MSG_PEEK) == 0;
        loop_turn(&rig->loop);
    }
    client_wait_end(&silent);
    client_close(&silent);
    client_close(&head);
    client_close(&body);
    stop(rig);
}

static struct fake_op *held;

static void hold_started(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    held = op;
    fake_op_started(op);
}

static void test_a_run_may_take_longer(void **state)
{
    (void)state;
    const struct http_timeouts timeouts = {
        .head_ms = 100, .idle_ms = 100, .body_ms = 100, .write_ms = 100};
    struct rig *rig = start(100, &timeouts);
    struct client client = client_open(rig);
    struct answer answer;
    char text[300];
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\n"
             "Content-Length: 12\r\n\r\n{\"code\":\"x\"}",
             rig->admin);
    fake_worker_script(rig->fake, hold_started, NULL);
    client_text(&client, text);
    loop_wait(&rig->loop, held);
    mono_us until = clock_now(&clock_system) + 1200 * US_PER_MS; /* two ticks past every time-out */
    loop_wait(&rig->loop, clock_now(&clock_system) > until);
    fake_op_result(held, "ok", 0);
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    stop(rig);
}

/* A client that asks and does not read does not keep the manager busy for ever. */
static void test_client_that_does_not_read(void **state)
{
    (void)state;
    const struct http_timeouts timeouts = {
        .head_ms = 300, .idle_ms = 300, .body_ms = 300, .write_ms = 300};
    struct rig *rig = start(100, &timeouts);
    struct client client = client_open(rig);
    char text[300];
    static char bytes[1000000];
    memset(bytes, 'x', sizeof(bytes));
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\n"
             "Content-Length: 12\r\n\r\n{\"code\":\"x\"}",
             rig->admin);
    fake_worker_script(rig->fake, hold_started, NULL);
    for (int i = 0; i < 4; i++) /* more than the kernel's buffers hold */
        client_text(&client, text);
    held = NULL;
    for (int i = 0; i < 4; i++) {
        loop_wait(&rig->loop, held || http_server_busy(rig->server) == 0);
        if (!held)
            break;
        struct fake_op *op = held;
        held = NULL;
        fake_op_output(op, false, bytes, sizeof(bytes));
        fake_op_output(op, true, bytes, sizeof(bytes));
        fake_op_result(op, "ok", 0);
        mono_us until = clock_now(&clock_system) + 100 * US_PER_MS;
        loop_wait(&rig->loop, held || clock_now(&clock_system) > until);
        if (!held)
            break;
    }
    loop_wait(&rig->loop, http_server_busy(rig->server) == 0);
    client_close(&client);
    stop(rig);
}

/* A manager that is told to stop waits for what is under way: each request counts once. */
static void test_busy_counts_requests(void **state)
{
    static const char *const requests[] = {
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", /* no token */
        "nonsense\r\n\r\n",
    };
    (void)state;
    struct rig *rig = start(100, NULL);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct client client = client_open(rig);
        struct answer answer;
        client_text(&client, requests[i]);
        assert_true(client_read(&client, &answer));
        answer_free(&answer);
        client_close(&client);
        for (int turn = 0; turn < 10; turn++)
            loop_turn(&rig->loop);
        assert_int_equal(http_server_busy(rig->server), 0);
    }
    stop(rig);
}

static void test_ipv6_and_bad_addresses(void **state)
{
    (void)state;
    struct err err;
    int fd = http_listen("[::1]:0", &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    struct sockaddr_in6 address;
    socklen_t len = sizeof(address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(address.sin6_family, AF_INET6);
    char taken[40];
    snprintf(taken, sizeof(taken), "[::1]:%d", ntohs(address.sin6_port));
    assert_fails(http_listen(taken, &err), err, ERR_INTERNAL, "Address already in use");
    close(fd);
    static const char *const wrong[] = {
        "8080", "::1:8080", "[::1]", "127.0.0.1:", "[::1]8080", "127.0.0.1:65536", "127.0.0.1:x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_fails(http_listen(wrong[i], &err), err, ERR_BAD_REQUEST, "http.listen");
}

/* Many clients at once, each with several requests. */
static void test_crowd(void **state)
{
    (void)state;
    enum { CLIENTS = 100, ROUNDS = 5 };
    struct rig *rig = start(4096, NULL);
    struct client clients[CLIENTS];
    struct answer answer;
    char text[300];
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\n"
             "Content-Length: 12\r\n\r\n{\"code\":\"x\"}",
             rig->admin);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_open(rig);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            client_text(&clients[i], text);
        for (int i = 0; i < CLIENTS; i++) {
            assert_true(client_read(&clients[i], &answer));
            assert_int_equal(answer.status, 200);
            answer_free(&answer);
        }
    }
    assert_int_equal(fake_worker_seen(rig->fake)->runs, CLIENTS * ROUNDS);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
    stop(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_than_allowed),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_a_run_may_take_longer),
        cmocka_unit_test(test_client_that_does_not_read),
        cmocka_unit_test(test_busy_counts_requests),
        cmocka_unit_test(test_ipv6_and_bad_addresses),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
