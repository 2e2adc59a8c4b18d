/* The runner routes in front of a worker that does as each test says. */
#include "rig.h"

#include <stdlib.h>
#include <sys/socket.h>

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig_init(rig);
    rig->config.run_output = 1000000;
    rig_start(rig);
    *state = rig;
    return 0;
}

/* What the last operation brought, and where it is held until the test answers it. */
static struct {
    struct fake_op *op;
    json_t *message;
    char code[1000], input[1000];
    size_t code_len, input_len;
} seen;

static void look(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)data;
    seen.op = op;
    json_decref(seen.message);
    seen.message = json_deep_copy(request->message);
    seen.code_len = request->code.len;
    seen.input_len = request->input.len;
    if (request->code.len)
        memcpy(seen.code, request->code.data, request->code.len);
    if (request->input.len)
        memcpy(seen.input, request->input.data, request->input.len);
}

static void look_and_answer(struct fake_op *op, const struct fake_request *request, void *data)
{
    look(op, request, data);
    fake_op_started(op);
    fake_op_result(op, "ok", 0);
}

static void forget(void)
{
    json_decref(seen.message);
    memset(&seen, 0, sizeof(seen));
}

static const char *text_at(const char *key)
{
    return json_string_value(json_object_get(seen.message, key));
}

static int64_t number_at(const char *key)
{
    return json_integer_value(json_object_get(seen.message, key));
}

static void test_what_a_run_becomes(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_script(rig->fake, look_and_answer, NULL);
    rig_call(rig, "POST", "/api/v1/runner/run?time=9", rig->admin,
             "{\"code\":\"a\\u0000b\",\"stdin\":\"\\u0000in\",\"args\":[\"x\",\"\xC3\xA9\"],"
             "\"env\":{\"A\":\"1\"},\"memory\":5000000}",
             &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(seen.code_len, 3);
    assert_memory_equal(seen.code, "a\0b", 3);
    assert_int_equal(seen.input_len, 3);
    assert_memory_equal(seen.input, "\0in", 3);
    json_t *argv = json_pack("[s, s, s, s]", "sh", "main.sh", "x", "\xC3\xA9");
    assert_true(json_equal(argv, json_object_get(seen.message, "argv")));
    json_t *files = json_pack("[{s:s, s:i, s:i, s:b}]", "name", "main.sh", "mode", 0644, "bytes", 3,
                              "unlinkAfter", 0);
    assert_true(json_equal(files, json_object_get(seen.message, "files")));
    json_decref(argv);
    json_decref(files);
    assert_string_equal(text_at("id"), answer_text(&answer, "requestId"));
    assert_string_equal(text_at("template"), "base");
    assert_int_equal(number_at("timeMs"), 9000);
    assert_int_equal(number_at("memoryBytes"), 5000000);
    assert_int_equal(number_at("outputBytes"), 1000000);
    assert_int_equal(number_at("queueMs"), 10000);
    assert_null(json_object_get(seen.message, "keep"));
    answer_free(&answer);
    forget();
}

static void test_result_fields(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    static const char *const fields[] = {
        "runner", "domain",     "duration",  "res",      "status",   "exit",
        "signal", "stdout",     "stderr",    "queued",   "wall",     "cpuUser",
        "cpuSys", "memoryPeak", "truncated", "language", "requestId"};
    rig_call(rig, "POST", "/api/v1/runner", rig->user, "{\"code\":\"echo hi\"}", &answer);
    assert_int_equal(answer.status, 200);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (!json_object_get(answer.json, fields[i]))
            fail_msg("%s is missing: %s", fields[i], answer.body);
    assert_int_equal(json_object_size(answer.json), sizeof(fields) / sizeof(fields[0]));
    assert_true(json_is_null(json_object_get(answer.json, "domain")));
    assert_string_equal(answer_text(&answer, "runner"), "cr-00000001");
    answer_free(&answer);
}

static void end_with(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    fake_op_started(op);
    fake_op_output(op, false, "so far", 6);
    fake_op_result(op, data, strcmp(data, "exit") == 0 ? 3 : -1);
}

static void test_ends_of_programs(void **state)
{
    struct rig *rig = *state;
    static const char *const ends[] = {"exit", "signal", "memory", "pids", "killed"};
    struct answer answer;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        fake_worker_script(rig->fake, end_with, (void *)ends[i]);
        rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer_text(&answer, "status"), ends[i]);
        const json_t *code = json_object_get(answer.json, "exit");
        assert_true(i == 0 ? json_integer_value(code) == 3 : json_is_null(code));
        assert_string_equal(answer_text(&answer, "signal"), i == 1 ? "SIGSEGV" : "");
        answer_free(&answer);
    }
    fake_worker_script(rig->fake, end_with, (void *)(uintptr_t) "timeout");
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
    assert_int_equal(answer.status, 498);
    assert_string_equal(answer_text(&answer, "name"), "runnerTimedOut");
    assert_string_equal(answer_text(&answer, "stdout"), "so far");
    assert_string_equal(answer_text(&answer, "res"), "c28gZmFy");
    assert_string_equal(answer_text(&answer, "status"), "timeout");
    assert_non_null(json_object_get(answer.json, "requestId"));
    answer_free(&answer);
}

static void bytes_of_all_kinds(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    fake_op_started(op);
    fake_op_output(op, false, "a\0\xFF", 3);
    fake_op_output(op, true, "\xED\xA0\x80", 3);
    fake_op_output(op, false, "\xE2\x82", 2);
    fake_op_output(op, false, "\xAC.", 2);
    fake_op_result(op, "ok", 0);
}

static void test_bytes_out(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_script(rig->fake, bytes_of_all_kinds, NULL);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
    const json_t *out = json_object_get(answer.json, "stdout");
    assert_int_equal(json_string_length(out), 9);
    assert_memory_equal(json_string_value(out), "a\0\xEF\xBF\xBD\xE2\x82\xAC.", 9);
    assert_string_equal(answer_text(&answer, "stderr"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_string_equal(answer_text(&answer, "res"), "YQD/7aCA4oKsLg==");
    answer_free(&answer);
}

static void test_bytes_in_that_are_no_utf8(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"\xFF\xFE\"}", &answer);
    assert_error(&answer, 400, "badRequest", "line 1, column 9");
    answer_free(&answer);
    assert_int_equal(fake_worker_seen(rig->fake)->runs, 0);
}

/* More than was asked for is cut here too, whatever the worker does. */
static void flood(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    char bytes[65536];
    memset(bytes, '\x01', sizeof(bytes)); /* six bytes each in JSON */
    fake_op_started(op);
    for (int i = 0; i < 20; i++) {
        fake_op_output(op, false, bytes, sizeof(bytes));
        fake_op_output(op, true, bytes, sizeof(bytes));
    }
    fake_op_result(op, "ok", 0);
}

static void test_flood(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_script(rig->fake, flood, NULL);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(answer.json);
    assert_int_equal(json_string_length(json_object_get(answer.json, "stdout")), 1000000);
    assert_int_equal(json_string_length(json_object_get(answer.json, "stderr")), 1000000);
    assert_int_equal(json_string_length(json_object_get(answer.json, "res")), 2666668);
    const json_t *truncated = json_object_get(answer.json, "truncated");
    assert_true(json_is_true(json_object_get(truncated, "stdout")));
    assert_true(json_is_true(json_object_get(truncated, "stderr")));
    assert_contains(answer.head, "\r\nTransfer-Encoding: chunked\r\n");
    answer_free(&answer);
}

/* HTTP/1.0 knows no chunks: a long answer ends with the connection. */
static void test_flood_to_an_old_client(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    char text[300];
    fake_worker_script(rig->fake, flood, NULL);
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.0\r\nConnection: keep-alive\r\nauth-token: %s\r\n"
             "Content-Length: 12\r\n\r\n{\"code\":\"x\"}",
             rig->admin);
    client_text(&client, text);
    client_wait_end(&client);
    const char *body = strstr(client.in.data, "\r\n\r\n") + 4;
    assert_null(memmem(client.in.data, 400, "chunked", 7));
    json_t *json = json_loadb(body, client.in.len - (size_t)(body - client.in.data), 0, NULL);
    assert_int_equal(json_string_length(json_object_get(json, "stdout")), 1000000);
    json_decref(json);
    client_close(&client);
}

static void fail_with(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    const char *const *what = data;
    if (strcmp(what[0], "RunnerNotAvailable") != 0)
        fake_op_started(op);
    fake_op_error(op, what[0], what[1], strcmp(what[0], "RunnerNotAvailable") == 0 ? 1500 : 0);
}

static void test_errors_of_the_worker(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *what[2];
        int status;
    } cases[] = {
        {{"RunnerNotAvailable", "the queue is full"}, 503},
        {{"runnerExecutionFailed", "exec: sh: No such file or directory"}, 400},
        {{"noSpace", "main.sh does not fit"}, 507},
        {{"workerBadGateway", "the runner was lost"}, 502},
    };
    struct answer answer;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_worker_script(rig->fake, fail_with, (void *)cases[i].what);
        rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\"}", &answer);
        assert_error(&answer, cases[i].status, cases[i].what[0], cases[i].what[1]);
        if (i == 0)
            assert_contains(answer.head, "\r\nRetry-After: 2\r\n");
        else
            assert_contains(answer_text(&answer, "runner"), "cr-");
        answer_free(&answer);
    }
}

static void test_requests_that_are_wrong(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *path, *body, *name, *words;
    } cases[] = {
        {"/api/v1/runner/run", "{", "badRequest", "line 1"},
        {"/api/v1/runner/run", "{\"code\":5}", "badRequest", "code: must be a string"},
        {"/api/v1/runner", "{\"cod\":\"x\"}", "badRequest", "cod: unknown field"},
        {"/api/v1/runner/run", "{\"code\":\"x\",\"time\":1000}", "badRequest", "600"},
        {"/api/v1/runner/run?time=-3", "{\"code\":\"x\"}", "badRequest", "time"},
        {"/api/v1/runner/run?time=%zz", "{\"code\":\"x\"}", "badRequest", "time"},
        {"/api/v1/runner/run", "{\"code\":\"x\",\"language\":\"klingon\"}", "UnknownLanguage",
         "sh"},
        {"/api/v1/runner/new", "{\"name\":\"No\"}", "badRequest", "name"},
        {"/api/v1/runner/demo", "{\"code\":\"x\",\"memory\":5000000}", "badRequest", "memory"},
    };
    struct answer answer;
    fake_worker_runner(rig->fake, "demo", "inUse", "admin");
    loop_wait(&rig->loop, registry_count(worker_runners(rig_worker(rig))) == 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_call(rig, "POST", cases[i].path, rig->admin, cases[i].body, &answer);
        assert_error(&answer, 400, cases[i].name, cases[i].words);
        answer_free(&answer);
    }
    assert_int_equal(fake_worker_seen(rig->fake)->runs + fake_worker_seen(rig->fake)->execs, 0);
}

/* Together they are too long for the message, though each is short enough. */
static void test_args_too_long_together(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    struct buf body;
    buf_init(&body, 1 << 24);
    buf_append_str(&body, "{\"code\":\"x\",\"args\":[\"\"");
    for (int i = 0; i < 12; i++) {
        buf_append_str(&body, ",\"");
        for (int k = 0; k < 100; k++)
            for (int m = 0; m < 10; m++)
                buf_append_str(&body, "012345678901234567890123456789012345678901234567890123456789"
                                      "0123456789012345678"
                                      "901234567890123456789");
        buf_append_str(&body, "\"");
    }
    buf_append_str(&body, "]}");
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, body.data, &answer);
    assert_error(&answer, 400, "badRequest", "at most 1032192 fit");
    answer_free(&answer);
    buf_finish(&body);
}

/* More code and stdin than a connection takes at once. */
static void test_big_request(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    enum { SIZE = 900000 };
    char *text = malloc(SIZE + 1);
    memset(text, 'c', SIZE);
    text[SIZE] = '\0';
    json_t *body = json_pack("{s:s, s:s}", "code", text, "stdin", text);
    char *dump = json_dumps(body, 0);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, dump, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "stdout"), text);
    answer_free(&answer);
    json_decref(body);
    free(dump);
    free(text);
}

static void test_named_runner(void **state)
{
    struct rig *rig = *state;
    struct client client = client_open(rig);
    struct answer answer;
    client_call(&client, "POST", "/api/v1/runner/new", rig->user, "{\"name\":\"demo\"}", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "runner"), "demo");
    assert_null(json_object_get(answer.json, "stdout"));
    answer_free(&answer);
    /* It is there at once, for its owner. */
    client_call(&client, "GET", "/api/v1/runner/demo", rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "owner"), "user");
    answer_free(&answer);
    fake_worker_script(rig->fake, look_and_answer, NULL);
    client_call(&client, "POST", "/api/v1/runner/demo", rig->user,
                "{\"code\":\"x\",\"args\":[\"1\"]}", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "runner"), "demo");
    char file[64];
    snprintf(file, sizeof(file), ".run-%s.sh", answer_text(&answer, "requestId"));
    json_t *argv = json_pack("[s, s, s]", "sh", file, "1");
    assert_true(json_equal(argv, json_object_get(seen.message, "argv")));
    json_decref(argv);
    const json_t *entry = json_array_get(json_object_get(seen.message, "files"), 0);
    assert_true(json_is_true(json_object_get(entry, "unlinkAfter")));
    assert_null(json_object_get(seen.message, "memoryBytes"));
    assert_null(json_object_get(seen.message, "template"));
    answer_free(&answer);
    forget();
    fake_worker_script(rig->fake, NULL, NULL);
    client_call(&client, "DELETE", "/api/v1/runner/demo", rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"res\":\"success\"}");
    answer_free(&answer);
    static const char *const methods[] = {"GET", "DELETE", "POST"};
    for (size_t i = 0; i < 3; i++) {
        client_call(&client, methods[i], "/api/v1/runner/demo", rig->user,
                    i == 2 ? "{\"code\":\"x\"}" : NULL, &answer);
        assert_error(&answer, 404, "runnerNotFound", "demo");
        answer_free(&answer);
    }
    client_close(&client);
}

static void test_new_with_code(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "POST", "/api/v1/runner/new", rig->user, "{\"code\":\"echo hi\"}", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "stdout"), "echo hi");
    char path[100];
    snprintf(path, sizeof(path), "/api/v1/runner/%s", answer_text(&answer, "runner"));
    answer_free(&answer);
    rig_call(rig, "POST", path, rig->user, "{\"code\":\"again\"}", &answer);
    assert_string_equal(answer_text(&answer, "stdout"), "again");
    answer_free(&answer);
}

static void test_list(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    fake_worker_runner(rig->fake, "demo", "inUse", "admin");
    fake_worker_runner(rig->fake, "cr-b", "available", NULL);
    loop_wait(&rig->loop, registry_count(worker_runners(rig_worker(rig))) == 2);
    rig_call(rig, "GET", "/api/v1/runner", rig->admin, NULL, &answer);
    json_t *wanted =
        json_pack("{s:{s:i, s:i, s:i, s:i}, s:[{s:s, s:b, s:n, s:n, s:s, s:s, s:n, s:b},"
                  "{s:s, s:b, s:n, s:n, s:s, s:s, s:s, s:b}]}",
                  "memory", "total", 1000, "available", 750, "used", 250, "percent", 25, "runners",
                  "name", "cr-b", "inUse", 0, "domain", "lastStatus", "worker", "local", "template",
                  "base", "owner", "kept", 0, "name", "demo", "inUse", 1, "domain", "lastStatus",
                  "worker", "local", "template", "base", "owner", "admin", "kept", 1);
    if (!json_equal(wanted, answer.json))
        fail_msg("%s", answer.body);
    json_decref(wanted);
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/runner?detail", rig->admin, NULL, &answer);
    static const char *const fields[] = {"state", "pid", "ip", "memory", "kmem",
                                         "link",  "tx",  "rx", "total",  "statusHistory"};
    const json_t *first = json_array_get(json_object_get(answer.json, "runners"), 0);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        assert_non_null(json_object_get(first, fields[i]));
    assert_int_equal(json_integer_value(json_object_get(first, "pid")), 4711);
    answer_free(&answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_a_run_becomes),
        TEST(test_result_fields),
        TEST(test_ends_of_programs),
        TEST(test_bytes_out),
        TEST(test_bytes_in_that_are_no_utf8),
        TEST(test_flood),
        TEST(test_flood_to_an_old_client),
        TEST(test_errors_of_the_worker),
        TEST(test_requests_that_are_wrong),
        TEST(test_args_too_long_together),
        TEST(test_big_request),
        TEST(test_named_runner),
        TEST(test_new_with_code),
        TEST(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
