/* HTTP as it comes over real sockets: whole, in pieces, by the dozen, too much, wrong. */
#include "rig.h"

#include <stdlib.h>
#include <sys/socket.h>

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig_init(rig);
    rig->config.http_body_max = 100000;
    rig_start(rig);
    *state = rig;
    return 0;
}

static void assert_alive(struct rig *rig)
{
    struct answer answer;
    rig_call(rig, "GET", "/healthz", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

/* Sends text on a connection of its own and expects this error, after which the server closes. */
static void expect_error(struct rig *rig, const char *text, size_t len, int status,
                         const char *name, const char *words)
{
    struct client client = client_open(rig);
    struct answer answer;
    client_send(&client, text, len);
    if (!client_read(&client, &answer))
        fail_msg("closed without an answer: %.60s", text);
    assert_error(&answer, status, name, words);
    assert_contains(answer.head, "\r\nConnection: close\r\n");
    shutdown(client.fd, SHUT_WR);
    client_wait_end(&client);
    answer_free(&answer);
    client_close(&client);
}

static void test_heads_that_are_wrong(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"\x16\x03\x01\x02", "no method"},
        {"NONSENSE\r\n\r\n", "version"},
        {"GET /healthz HTTP/1.1\r\n\r\n", "Host is missing"},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", "a colon"},
        {"POST /api/v1/runner HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n"
         "\r\n",
         "twice"},
        {"POST /api/v1/runner HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "together"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_error(rig, cases[i].text, strlen(cases[i].text), 400, "badRequest", cases[i].words);
    assert_alive(rig);
}

static void test_ten_thousand_headers(void **state)
{
    struct rig *rig = *state;
    struct buf text;
    buf_init(&text, 1 << 24);
    buf_append_str(&text, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 10000; i++)
        buf_printf(&text, "X-Header-%d: some value or other\r\n", i);
    buf_append_str(&text, "\r\n");
    expect_error(rig, text.data, text.len, 431, "headersTooLarge", "32768 bytes");
    buf_clear(&text);
    buf_append_str(&text, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 200; i++)
        buf_append_str(&text, "A: b\r\n");
    buf_append_str(&text, "\r\n");
    expect_error(rig, text.data, text.len, 431, "headersTooLarge", "more than 100 headers");
    buf_finish(&text);
    assert_alive(rig);
}

static void put_request(struct buf *request, struct rig *rig, const char *path, const char *headers,
                        const char *body)
{
    buf_printf(request, "POST %s HTTP/1.1\r\nHost: x\r\nauth-token: %s\r\n%s\r\n%s", path,
               rig->admin, headers, body);
}

static void test_body_too_large(void **state)
{
    struct rig *rig = *state;
    struct buf request;
    buf_init(&request, 1 << 24);
    /* Refused by what it announces, before it is sent. */
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 100001\r\n", "");
    expect_error(rig, request.data, request.len, 413, "bodyTooLarge", "100000");
    buf_clear(&request);
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 999999999999999999\r\n", "");
    expect_error(rig, request.data, request.len, 413, "bodyTooLarge", "100000");
    /* A chunked body announces nothing. */
    buf_clear(&request);
    put_request(&request, rig, "/api/v1/runner/run", "Transfer-Encoding: chunked\r\n", "");
    for (int i = 0; i < 30; i++) {
        buf_append_str(&request, "1000\r\n");
        for (int k = 0; k < 4096; k++)
            buf_append_str(&request, "x");
        buf_append_str(&request, "\r\n");
    }
    expect_error(rig, request.data, request.len, 413, "bodyTooLarge", "longer than 100000");
    /* All of a body that is far too long is sent, and the answer still arrives. */
    buf_clear(&request);
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 4000000\r\n", "");
    while (request.len < 4000000)
        buf_append_str(&request,
                       "0123456789012345678901234567890123456789012345678901234567890123");
    expect_error(rig, request.data, request.len, 413, "bodyTooLarge", "100000");
    buf_finish(&request);
    assert_int_equal(fake_worker_seen(rig->fake)->runs, 0);
    assert_alive(rig);
}

static void test_chunked_body_in_pieces(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    struct buf request;
    buf_init(&request, 1 << 20);
    put_request(&request, rig, "/api/v1/runner/run", "Transfer-Encoding: chunked\r\n",
                "8\r\n{\"code\":\r\nA;x=y\r\n\"echo hi\"}\r\n0\r\nTrailer: z\r\n\r\n");
    for (size_t i = 0; i < request.len; i++) {
        client_send(&client, request.data + i, 1);
        loop_turn(&rig->loop);
    }
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "stdout"), "echo hi");
    answer_free(&answer);
    client_close(&client);
    buf_finish(&request);
}

static void test_chunked_body_that_is_wrong(void **state)
{
    struct rig *rig = *state;
    struct buf request;
    buf_init(&request, 1 << 20);
    put_request(&request, rig, "/api/v1/runner/run", "Transfer-Encoding: chunked\r\n",
                "zz\r\n{\"code\":");
    expect_error(rig, request.data, request.len, 400, "badRequest", "chunk");
    buf_finish(&request);
}

/* A body in pieces, whose Content-Length is the truth. */
static void test_body_in_pieces(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    struct buf request;
    buf_init(&request, 1 << 20);
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 18\r\n", "{\"code\":");
    client_send(&client, request.data, request.len);
    for (int i = 0; i < 10; i++)
        loop_turn(&rig->loop);
    client_text(&client, "\"echo hi\"}");
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    buf_finish(&request);
}

/* Too short a Content-Length: the rest of the body is not taken for a request that does things. */
static void test_content_length_lies(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    struct buf request;
    buf_init(&request, 1 << 20);
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 10\r\n",
                "{\"code\":\"echo hi\"}\r\n\r\n");
    client_send(&client, request.data, request.len);
    assert_true(client_read(&client, &answer));
    assert_error(&answer, 400, "badRequest", "line 1, column 10");
    answer_free(&answer);
    assert_true(client_read(&client, &answer)); /* `cho hi"}` is no request */
    assert_error(&answer, 400, "badRequest", "");
    answer_free(&answer);
    client_wait_end(&client);
    client_close(&client);
    buf_finish(&request);
    assert_int_equal(fake_worker_seen(rig->fake)->runs, 0);
}

/* A body that never comes whole is nobody's run. */
static void test_body_cut_short(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct buf request;
    buf_init(&request, 1 << 20);
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 50\r\n",
                "{\"code\":\"echo hi\"}");
    client_send(&client, request.data, request.len);
    shutdown(client.fd, SHUT_WR);
    client_wait_end(&client);
    assert_int_equal(client.in.len, 0);
    assert_int_equal(fake_worker_seen(rig->fake)->runs, 0);
    client_close(&client);
    buf_finish(&request);
}

static void test_expect_continue(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    struct buf request;
    buf_init(&request, 1 << 20);
    put_request(&request, rig, "/api/v1/runner/run",
                "Content-Length: 18\r\nExpect: 100-continue\r\n", "");
    client_send(&client, request.data, request.len);
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 100);
    answer_free(&answer);
    client_text(&client, "{\"code\":\"echo hi\"}");
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    /* Who must not run is not asked for the body. */
    static const char no_token[] = "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\n"
                                   "Content-Length: 18\r\nExpect: 100-continue\r\n\r\n";
    expect_error(rig, no_token, strlen(no_token), 401, "unauthorized", "token");
    buf_finish(&request);
}

static void test_content_types(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *type;
        int status;
    } cases[] = {
        {"Content-Type: application/json\r\n", 200},
        {"Content-Type: application/json; charset=utf-8\r\n", 200},
        {"Content-Type: Application/JSON\r\n", 200},
        {"Content-Type:\r\n", 200},
        {"Content-Type: application/x-www-form-urlencoded\r\n", 200}, /* curl -d */
        {"Content-Type: text/plain\r\n", 200},
        {"", 200},
        {"Content-Type: multipart/form-data; boundary=x\r\n", 415},
        {"Content-Type: application/xml\r\n", 415},
        {"Content-Type: application/octet-stream\r\n", 415},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client client = client_open(rig);
        struct answer answer;
        struct buf request;
        char headers[200];
        buf_init(&request, 1 << 20);
        snprintf(headers, sizeof(headers), "Content-Length: 18\r\n%s", cases[i].type);
        put_request(&request, rig, "/api/v1/runner/run", headers, "{\"code\":\"echo hi\"}");
        client_send(&client, request.data, request.len);
        assert_true(client_read(&client, &answer));
        assert_int_equal(answer.status, cases[i].status);
        if (answer.status == 415)
            assert_error(&answer, 415, "unsupportedMediaType", "application/json");
        answer_free(&answer);
        client_close(&client);
        buf_finish(&request);
    }
}

static void test_pipelining(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    struct buf request;
    enum { COUNT = 200 };
    buf_init(&request, 1 << 24);
    for (int i = 0; i < COUNT; i++) {
        char body[40], headers[60];
        snprintf(body, sizeof(body), "{\"code\":\"run %03d\"}", i);
        snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n", strlen(body));
        put_request(&request, rig, "/api/v1/runner/run", headers, body);
        buf_append_str(&request, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    client_send(&client, request.data, request.len);
    for (int i = 0; i < COUNT; i++) {
        char code[20];
        snprintf(code, sizeof(code), "run %03d", i);
        assert_true(client_read(&client, &answer));
        assert_string_equal(answer_text(&answer, "stdout"), code);
        answer_free(&answer);
        assert_true(client_read(&client, &answer));
        assert_string_equal(answer_text(&answer, "status"), "ok");
        answer_free(&answer);
    }
    assert_int_equal(fake_worker_seen(rig->fake)->runs, COUNT);
    client_close(&client);
    buf_finish(&request);
}

static void test_keep_alive(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    for (int i = 0; i < 3; i++) {
        client_call(&client, "GET", "/nowhere", NULL, NULL, &answer);
        assert_error(&answer, 404, "notFound", "no such path");
        assert_contains(answer.head, "\r\nConnection: keep-alive\r\n");
        answer_free(&answer);
    }
    client_text(&client, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(client_read(&client, &answer));
    assert_contains(answer.head, "\r\nConnection: close\r\n");
    answer_free(&answer);
    client_wait_end(&client);
    client_close(&client);
    client = client_open(rig);
    client_text(&client, "GET /healthz HTTP/1.0\r\n\r\n");
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    client_wait_end(&client);
    client_close(&client);
}

static void test_methods(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer, head;
    client_call(&client, "GET", "/healthz", NULL, NULL, &answer);
    client_call(&client, "HEAD", "/healthz", NULL, NULL, &head);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.body_len, 0);
    assert_contains(head.head, "\r\nContent-Length: 15\r\n");
    assert_int_equal(answer.body_len, 15);
    answer_free(&answer);
    answer_free(&head);
    client_call(&client, "OPTIONS", "/api/v1/runner", NULL, NULL, &answer);
    assert_int_equal(answer.status, 204);
    assert_contains(answer.head, "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n");
    answer_free(&answer);
    client_call(&client, "OPTIONS", "*", NULL, NULL, &answer);
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
    client_call(&client, "PUT", "/api/v1/runner", rig->admin, NULL, &answer);
    assert_error(&answer, 405, "methodNotAllowed", "GET, HEAD, POST, OPTIONS");
    assert_contains(answer.head, "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n");
    answer_free(&answer);
    client_call(&client, "BREW", "/healthz", NULL, NULL, &answer);
    assert_error(&answer, 405, "methodNotAllowed", "GET, HEAD, OPTIONS");
    answer_free(&answer);
    client_call(&client, "GET", "/", NULL, NULL, &answer);
    assert_error(&answer, 404, "notFound", "");
    answer_free(&answer);
    client_close(&client);
}

static void test_long_targets(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    char path[3000];
    memset(path, 'x', sizeof(path));
    memcpy(path, "/api/v1/runner?", 15);
    path[15 + EXCHANGE_QUERY_MAX] = '\0';
    rig_call(rig, "GET", path, rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    path[15 + EXCHANGE_QUERY_MAX] = 'x';
    path[15 + EXCHANGE_QUERY_MAX + 1] = '\0';
    rig_call(rig, "GET", path, rig->admin, NULL, &answer);
    assert_error(&answer, 400, "badRequest", "the query has 257 bytes, at most 256");
    answer_free(&answer);
    memset(path, '/', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    rig_call(rig, "GET", path, rig->admin, NULL, &answer);
    assert_error(&answer, 404, "notFound", "");
    answer_free(&answer);
}

static void test_headers_of_answers(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "GET", "/healthz", NULL, NULL, &answer);
    assert_contains(answer.head, "\r\nDate: ");
    assert_contains(answer.head, "\r\nX-Request-Id: ");
    assert_contains(answer.head, "\r\nX-Content-Type-Options: nosniff\r\n");
    assert_contains(answer.head, "\r\nCache-Control: no-store\r\n");
    assert_null(strstr(answer.head, "Server:"));
    answer_free(&answer);
}

/* What a client sends ahead is kept within bounds and is not lost. */
static struct fake_op *held;

static void hold_script(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    held = op;
    fake_op_started(op);
}

static void test_sending_far_ahead(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    struct buf request;
    enum { COUNT = 20000 };
    buf_init(&request, 1 << 24);
    fake_worker_script(rig->fake, hold_script, NULL);
    put_request(&request, rig, "/api/v1/runner/run", "Content-Length: 18\r\n",
                "{\"code\":\"echo hi\"}");
    client_send(&client, request.data, request.len);
    loop_wait(&rig->loop, held);
    buf_clear(&request);
    for (int i = 0; i < COUNT; i++)
        buf_append_str(&request, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    size_t sent = 0;
    for (int idle = 0; idle < 20 && sent < request.len;) {
        ssize_t got = send(client.fd, request.data + sent, request.len - sent, MSG_NOSIGNAL);
        sent += got > 0 ? (size_t)got : 0;
        idle = got > 0 ? 0 : idle + 1;
        loop_turn(&rig->loop);
    }
    fake_op_result(held, "ok", 0);
    held = NULL;
    assert_true(client_read(&client, &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    for (size_t whole = sent / 36; whole > 0; whole--) {
        assert_true(client_read(&client, &answer));
        assert_string_equal(answer_text(&answer, "status"), "ok");
        answer_free(&answer);
    }
    client_close(&client);
    buf_finish(&request);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_heads_that_are_wrong),
        TEST(test_ten_thousand_headers),
        TEST(test_body_too_large),
        TEST(test_chunked_body_in_pieces),
        TEST(test_chunked_body_that_is_wrong),
        TEST(test_body_in_pieces),
        TEST(test_content_length_lies),
        TEST(test_body_cut_short),
        TEST(test_expect_continue),
        TEST(test_content_types),
        TEST(test_pipelining),
        TEST(test_keep_alive),
        TEST(test_methods),
        TEST(test_headers_of_answers),
        TEST(test_long_targets),
        TEST(test_sending_far_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
