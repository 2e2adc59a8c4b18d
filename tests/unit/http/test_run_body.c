#include "../../../src/http/run_body.h"
#include "../../../src/http/run_files.h"
#include "../../support/cm.h"
#include "../../support/known_languages.h"

static struct run_limits limits = {
    .time_ms = 60000,
    .time_max_ms = 600000,
    .memory_bytes = 268435456,
    .memory_max_bytes = 2147483648,
    .cpu_max_ms = 600000,
    .processes_max = 1024,
    .disk_max_bytes = 1073741824,
    .output_max_bytes = 16777216,
    .queue_max_ms = 60000,
};
static struct run_request request;
static struct err err;

static int parse(enum run_body_kind kind, const char *text, const char *time)
{
    request = (struct run_request){0};
    limits.languages = known_languages();
    return run_body_parse(text, strlen(text), time, kind, &limits, &request, &err);
}

static void test_all_fields(void **state)
{
    (void)state;
    assert_ok(parse(RUN_BODY_FRESH,
                    "{\"code\":\"a\\u0000b\",\"language\":\"shell\",\"stdin\":\"x\\u0000\","
                    "\"args\":[\"1\",\"\"],\"env\":{\"A_1\":\"v\",\"_\":\"\"},\"time\":1.5,"
                    "\"memory\":4194304}",
                    NULL),
              err);
    assert_int_equal(request.code_len, 3);
    assert_memory_equal(request.code, "a\0b", 3);
    assert_int_equal(request.input_len, 2);
    assert_string_equal(request.language->name, "sh");
    assert_int_equal(json_array_size(request.args), 2);
    assert_int_equal(json_object_size(request.env), 2);
    assert_int_equal(request.time_ms, 1500);
    assert_int_equal(request.memory_bytes, 4194304);
    json_decref(request.hold);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_ok(parse(RUN_BODY_FRESH, "{\"code\":\"\"}", NULL), err);
    assert_non_null(request.code);
    assert_int_equal(request.code_len, 0);
    assert_null(request.input);
    assert_null(request.args);
    assert_null(request.env);
    assert_int_equal(request.time_ms, 60000);
    assert_int_equal(request.memory_bytes, 268435456);
    assert_string_equal(request.language->name, "sh");
    json_decref(request.hold);
    assert_ok(parse(RUN_BODY_FRESH, "{\"code\":\"x\",\"stdin\":null,\"time\":null}", NULL), err);
    json_decref(request.hold);
}

static void test_worker(void **state)
{
    (void)state;
    assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"\",\"worker\":\"lab1\"}", NULL), err,
                 ERR_FORBIDDEN, "worker: an admin's token alone may choose one");
    limits.admin = true;
    assert_ok(parse(RUN_BODY_NEW, "{\"worker\":\"lab1\"}", NULL), err);
    assert_string_equal(request.worker_name, "lab1");
    json_decref(request.hold);
    assert_ok(parse(RUN_BODY_FRESH, "{\"code\":\"\"}", NULL), err);
    assert_null(request.worker_name);
    json_decref(request.hold);
    assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"\",\"worker\":\"a/b\"}", NULL), err,
                 ERR_BAD_REQUEST, "worker: \"a/b\" is no worker's name");
    assert_fails(parse(RUN_BODY_NAMED, "{\"code\":\"\",\"worker\":\"lab1\"}", NULL), err,
                 ERR_BAD_REQUEST, "worker: is set when the runner is made");
    limits.admin = false;
}

static void test_network(void **state)
{
    (void)state;
    assert_ok(parse(RUN_BODY_FRESH, "{\"code\":\"\"}", NULL), err);
    assert_false(request.nat);
    json_decref(request.hold);
    assert_ok(parse(RUN_BODY_FRESH, "{\"code\":\"\",\"network\":\"none\"}", NULL), err);
    assert_false(request.nat);
    json_decref(request.hold);
    assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"\",\"network\":\"nat\"}", NULL), err,
                 ERR_FORBIDDEN, "network: nat is switched off here (network.nat)");
    limits.nat = true;
    assert_ok(parse(RUN_BODY_NEW, "{\"network\":\"nat\"}", NULL), err);
    assert_true(request.nat);
    json_decref(request.hold);
    assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"\",\"network\":\"host\"}", NULL), err,
                 ERR_BAD_REQUEST, "network: \"host\" is neither none nor nat");
    assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"\",\"network\":true}", NULL), err,
                 ERR_BAD_REQUEST, "network");
    assert_fails(parse(RUN_BODY_NAMED, "{\"code\":\"\",\"network\":\"none\"}", NULL), err,
                 ERR_BAD_REQUEST, "network: is set when the runner is made");
    limits.nat = false;
}

static void test_time(void **state)
{
    (void)state;
    static const struct {
        const char *body, *query;
        int64_t ms;
    } cases[] = {
        {"{\"code\":\"\"}", "2", 2000},
        {"{\"code\":\"\"}", "0.25", 250},
        {"{\"code\":\"\"}", "600", 600000},
        {"{\"code\":\"\",\"time\":3}", "2", 3000},
        {"{\"code\":\"\",\"time\":0.0001}", NULL, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ok(parse(RUN_BODY_FRESH, cases[i].body, cases[i].query), err);
        assert_int_equal(request.time_ms, cases[i].ms);
        json_decref(request.hold);
    }
    static const char *const bad[] = {"",    "0",   "-1",  "600.1", "x",    "1x",
                                      "inf", "nan", "1e3", " 1",    "0x10", "1.2.3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"\"}", bad[i]), err, ERR_BAD_REQUEST,
                     "time");
}

static void test_new(void **state)
{
    (void)state;
    assert_ok(parse(RUN_BODY_NEW, "", NULL), err);
    assert_null(request.code);
    assert_null(request.keep_name);
    json_decref(request.hold);
    assert_ok(parse(RUN_BODY_NEW, "{\"name\":\"demo-1\",\"memory\":5000000}", NULL), err);
    assert_string_equal(request.keep_name, "demo-1");
    json_decref(request.hold);
    static const char *const names[] = {
        "Demo", "",    "1a",  "a_b",
        "../x", "run", "new", "a23456789012345678901234567890123456789012"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "{\"name\":\"%s\"}", names[i]);
        assert_fails(parse(RUN_BODY_NEW, text, NULL), err, ERR_BAD_REQUEST, "name: ");
    }
    assert_fails(parse(RUN_BODY_NEW, "{\"stdin\":\"x\"}", NULL), err, ERR_BAD_REQUEST,
                 "stdin: is of no use without code");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "code: is missing"},
        {"{}", "code: is missing"},
        {"{\"code\":null}", "code: is missing"},
        {"{\"code\":1}", "code: must be a string"},
        {"[]", "must be a JSON object"},
        {"{\"code\":\"x\"", "line 1, column 11"},
        {"{\n\n  oops}", "line 3"},
        {"{\"code\":\"\xFF\"}", "not JSON"},
        {"{\"code\":\"x\",\"code\":\"y\"}", "not JSON"},
        {"{\"code\":\"x\"} trailing", "not JSON"},
        {"{\"code\":\"x\",\"nope\":1}", "nope: unknown field"},
        {"{\"code\":\"x\",\"name\":\"a\"}", "name: unknown field"},
        {"{\"code\":\"x\",\"stdinBase64\":\"eA\"}", "stdinBase64: is not base64: see byte 2 of 2"},
        {"{\"code\":\"x\",\"stdinBase64\":\"e*==\"}", "see byte 1 of 4"},
        {"{\"code\":\"x\",\"stdin\":\"\",\"stdinBase64\":\"\"}", "stdin was given as well"},
        {"{\"code\":\"x\",\"cwd\":\"tmp\"}", "cwd: must be absolute"},
        {"{\"code\":\"x\",\"cwd\":\"/\\u0000\"}", "cwd: must not hold a NUL"},
        {"{\"code\":\"x\",\"cwd\":\"/\\n\"}", "cwd: must not hold control"},
        {"{\"code\":\"x\",\"cpuTime\":0}", "cpuTime: 0 is out of bounds, must be more than 0 and"},
        {"{\"code\":\"x\",\"cpuTime\":601}", "at most 600 seconds"},
        {"{\"code\":\"x\",\"queue\":-1}", "queue: -1 is out of bounds, must be 0 or more and at"},
        {"{\"code\":\"x\",\"queue\":61}", "at most 60 seconds"},
        {"{\"code\":\"x\",\"processes\":1}", "processes: 1 is out of bounds, must be 2..1024"},
        {"{\"code\":\"x\",\"disk\":1048575}", "disk: 1048575 is out of bounds"},
        {"{\"code\":\"x\",\"disk\":1073741825}", "1073741824"},
        {"{\"code\":\"x\",\"output\":-1}", "output: -1 is out of bounds, must be 0..16777216"},
        {"{\"code\":\"x\",\"template\":\"../x\"}", "template: \"../x\" must be"},
        {"{\"code\":\"x\",\"files\":{}}", "files: must be an array"},
        {"{\"code\":\"x\",\"files\":[1]}", "files.0: must be an object"},
        {"{\"code\":\"x\",\"files\":[{\"path\":\"a\"}]}", "files.0: content: is missing"},
        {"{\"code\":\"x\",\"files\":[{\"content\":\"a\"}]}", "files.0: path: is missing"},
        {"{\"code\":\"x\",\"files\":[{\"path\":\"a\",\"content\":\"\",\"mode\":512}]}",
         "files.0: mode: 512"},
        {"{\"code\":\"x\",\"files\":[{\"path\":\"a\",\"content\":\"\",\"x\":1}]}",
         "x: unknown field"},
        {"{\"code\":\"x\",\"files\":[{\"path\":\"a\",\"content\":\"\",\"encoding\":\"hex\"}]}",
         "encoding: must be utf8 or base64"},
        {"{\"code\":\"x\",\"collect\":\"a\"}", "collect: must be an array"},
        {"{\"code\":\"x\",\"collect\":[1]}", "collect.0: must be a string"},
        {"{\"code\":\"x\",\"collect\":[\"a\",\"../b\"]}",
         "collect.1: must not hold the components"},
        {"{\"code\":\"x\",\"stdin\":1}", "stdin: must be a string"},
        {"{\"code\":\"x\",\"args\":\"a\"}", "args: must be an array"},
        {"{\"code\":\"x\",\"args\":[\"a\",1]}", "args.1: must be a string"},
        {"{\"code\":\"x\",\"args\":[\"a\\u0000\"]}", "args.0: must not hold a NUL"},
        {"{\"code\":\"x\",\"env\":[]}", "env: must be an object"},
        {"{\"code\":\"x\",\"env\":{\"1A\":\"\"}}", "\"1A\" is no name"},
        {"{\"code\":\"x\",\"env\":{\"\":\"\"}}", "\"\" is no name"},
        {"{\"code\":\"x\",\"env\":{\"A=B\":\"\"}}", "\"A=B\" is no name"},
        {"{\"code\":\"x\",\"env\":{\"A\":2}}", "env.A: must be a string"},
        {"{\"code\":\"x\",\"env\":{\"A\":\"\\u0000\"}}", "env.A: must not hold a NUL"},
        {"{\"code\":\"x\",\"time\":\"1\"}", "time: must be a number"},
        {"{\"code\":\"x\",\"time\":0}", "time: 0 is out of bounds"},
        {"{\"code\":\"x\",\"time\":-1}", "more than 0 and at most 600"},
        {"{\"code\":\"x\",\"time\":600.5}", "at most 600 seconds"},
        {"{\"code\":\"x\",\"time\":1e999}", "not JSON"},
        {"{\"code\":\"x\",\"memory\":4194303}", "memory: 4194303 is out of bounds"},
        {"{\"code\":\"x\",\"memory\":2147483649}", "2147483648"},
        {"{\"code\":\"x\",\"memory\":1e7}", "memory: must be a whole number"},
        {"{\"code\":\"x\",\"language\":7}", "language: must be a string"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_fails(parse(RUN_BODY_FRESH, cases[i].text, NULL), err, ERR_BAD_REQUEST,
                     cases[i].words);
    assert_fails(parse(RUN_BODY_FRESH, "{\"code\":\"x\",\"language\":\"klingon\"}", NULL), err,
                 ERR_UNKNOWN_LANGUAGE, "known: ada, awk");
    assert_fails(parse(RUN_BODY_NAMED, "{\"code\":\"x\",\"memory\":5000000}", NULL), err,
                 ERR_BAD_REQUEST, "memory: is set when the runner is made");
    assert_fails(parse(RUN_BODY_NAMED, "{}", NULL), err, ERR_BAD_REQUEST, "code: is missing");
}

static int parse_value(const char *field, json_t *value)
{
    json_t *body = json_pack("{s:s, s:o}", "code", "x", field, value);
    char *text = json_dumps(body, 0);
    int status = parse(RUN_BODY_FRESH, text, NULL);
    if (status == 0)
        json_decref(request.hold);
    free(text);
    json_decref(body);
    return status;
}

static json_t *strings(size_t count, size_t len)
{
    json_t *list = json_array();
    char *text = calloc(1, len + 1);
    memset(text, 'x', len);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_stringn(text, len));
    free(text);
    return list;
}

static json_t *variables(size_t count, size_t len)
{
    json_t *env = json_object();
    char *text = calloc(1, len + 1);
    memset(text, 'x', len);
    for (size_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "V%03zu", i);
        json_object_set_new(env, name, json_stringn(text, len));
    }
    free(text);
    return env;
}

static void test_bounds(void **state)
{
    (void)state;
    assert_ok(parse_value("args", strings(RUN_ARGS_MAX, 1)), err);
    assert_fails(parse_value("args", strings(RUN_ARGS_MAX + 1, 1)), err, ERR_BAD_REQUEST, "256");
    assert_ok(parse_value("args", strings(1, RUN_STRING_MAX)), err);
    assert_fails(parse_value("args", strings(1, RUN_STRING_MAX + 1)), err, ERR_BAD_REQUEST,
                 "131071");
    assert_ok(parse_value("env", variables(RUN_ENV_MAX, 1)), err);
    assert_fails(parse_value("env", variables(RUN_ENV_MAX + 1, 1)), err, ERR_BAD_REQUEST, "256");
    assert_ok(parse_value("env", variables(1, RUN_STRING_MAX - 5)), err);
    assert_fails(parse_value("env", variables(1, RUN_STRING_MAX - 4)), err, ERR_BAD_REQUEST,
                 "env.V000");
}

static void test_every_field(void **state)
{
    (void)state;
    assert_ok(
        parse(RUN_BODY_FRESH,
              "{\"code\":\"x\",\"stdinBase64\":\"AP8=\",\"cwd\":\"/tmp\",\"cpuTime\":0.5,"
              "\"processes\":8,\"disk\":1048576,\"output\":0,\"queue\":0,\"template\":\"web\","
              "\"files\":[{\"path\":\"a/b\",\"content\":\"t\\u0000\"},"
              "{\"path\":\"a/c\",\"content\":\"/w==\",\"encoding\":\"base64\",\"mode\":493}],"
              "\"collect\":[\"out/*.txt\"]}",
              NULL),
        err);
    assert_int_equal(request.input_len, 2);
    assert_memory_equal(request.input, "\0\xFF", 2);
    assert_string_equal(request.cwd, "/tmp");
    assert_int_equal(request.cpu_ms, 500);
    assert_int_equal(request.processes, 8);
    assert_int_equal(request.disk_bytes, 1048576);
    assert_int_equal(request.output_bytes, 0);
    assert_int_equal(request.queue_ms, 0);
    assert_string_equal(request.template_name, "web");
    assert_int_equal(json_array_size(request.files), 2);
    const json_t *file = json_array_get(request.files, 1);
    assert_string_equal(json_string_value(json_array_get(file, 0)), "a/c");
    assert_int_equal(json_integer_value(json_array_get(file, 1)), 0755);
    assert_int_equal(json_string_length(json_array_get(file, 2)), 1);
    assert_memory_equal(json_string_value(json_array_get(file, 2)), "\xFF", 1);
    assert_int_equal(json_array_size(request.globs), 1);
    json_decref(request.hold);
    static const char *const of_the_runner[] = {"memory", "processes", "disk", "queue"};
    for (size_t i = 0; i < sizeof(of_the_runner) / sizeof(of_the_runner[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "{\"code\":\"x\",\"%s\":8}", of_the_runner[i]);
        assert_fails(parse(RUN_BODY_NAMED, text, NULL), err, ERR_BAD_REQUEST,
                     "is set when the runner is made");
    }
}

static json_t *files_of(const char *first, const char *second)
{
    json_t *files = json_pack("[{s:s, s:s}]", "path", first, "content", "");
    if (second)
        json_array_append_new(files, json_pack("{s:s, s:s}", "path", second, "content", ""));
    return files;
}

static void test_paths_of_files(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *words;
    } cases[] = {
        {"/etc/passwd", NULL, "files.0: path: must be relative"},
        {"../x", NULL, "must not hold the components"},
        {"a/../b", NULL, "must not hold the components"},
        {"./a", NULL, "must not hold the components"},
        {"a//b", NULL, "without empty components"},
        {"a/", NULL, "without empty components"},
        {"", NULL, "has 0 bytes, must have 1..1024"},
        {"a\nb", NULL, "control characters"},
        {"a", "a", "files.1: path: is given twice"},
        {"main.sh", NULL, "is the program's own"},
        {"a", "a/b", "is below another file"},
        {"a/b", "a", "is a folder of another file"},
        {"main.sh/x", NULL, "is below another file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_fails(parse_value("files", files_of(cases[i].first, cases[i].second)), err,
                     ERR_BAD_REQUEST, cases[i].words);
    char part[300], path[1100];
    memset(part, 'p', sizeof(part));
    part[256] = '\0';
    assert_fails(parse_value("files", files_of(part, NULL)), err, ERR_BAD_REQUEST,
                 "a component has 256 bytes, at most 255");
    part[255] = '\0';
    assert_ok(parse_value("files", files_of(part, NULL)), err);
    for (size_t i = 0; i < sizeof(path) - 1; i++)
        path[i] = i % 2 ? '/' : 'a';
    path[1025] = '\0';
    assert_fails(parse_value("files", files_of(path, NULL)), err, ERR_BAD_REQUEST,
                 "has 1025 bytes, must have 1..1024");
    json_t *many = json_array();
    for (int i = 0; i <= RUN_FILES_MAX; i++)
        json_array_append_new(
            many, json_pack("{s:o, s:s}", "path", json_sprintf("f%d", i), "content", ""));
    json_t *fewer = json_copy(many);
    json_array_remove(fewer, 0);
    assert_ok(parse_value("files", fewer), err);
    assert_fails(parse_value("files", many), err, ERR_BAD_REQUEST,
                 "files: has 257 entries, at most 256");
    assert_ok(parse_value("collect", strings(RUN_GLOBS_MAX, 1)), err);
    assert_fails(parse_value("collect", strings(RUN_GLOBS_MAX + 1, 1)), err, ERR_BAD_REQUEST,
                 "collect: has 65 entries, at most 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field), cmocka_unit_test(test_paths_of_files),
        cmocka_unit_test(test_all_fields),  cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_worker),      cmocka_unit_test(test_network),
        cmocka_unit_test(test_time),        cmocka_unit_test(test_new),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
