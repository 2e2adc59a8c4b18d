#include "../../../src/worker/op_parse.h"

#include "../../../src/common/buf.h"
#include "../../../src/common/mem.h"
#include "../../../src/worker/runner.h"
#include "../../support/cm.h"

/* ' stands for ". */
static const char *json_of(const char *text)
{
    static char json[4096];
    assert_true(strlen(text) < sizeof(json));
    strcpy(json, text);
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    return json;
}

static void parse(const char *text, bool exec, struct op_run *run)
{
    struct err err;
    const char *json = json_of(text);
    assert_ok(op_run_parse(json, strlen(json), exec, run, &err), err);
}

static const char *env_of(const struct op_run *run, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < run->exec.envc; i++)
        if (strncmp(run->exec.env[i], name, len) == 0 && run->exec.env[i][len] == '=')
            return run->exec.env[i] + len + 1;
    return NULL;
}

static void run_with_everything(void **state)
{
    struct op_run run;
    (void)state;
    parse("{'id':'5f1c','template':'base','argv':['sh','main.sh',''],'env':{'NAME':'a=b','E':''},"
          "'cwd':'/work','files':[{'name':'main.sh','mode':448,'bytes':8,'unlinkAfter':true},"
          "{'name':'dir/x','bytes':0}],'timeMs':60000,'memoryBytes':268435456,"
          "'outputBytes':1048576,'queueMs':10000,'network':'nat','keep':{'name':'demo','owner':'"
          "admin'}}",
          false, &run);
    assert_string_equal(run.id, "5f1c");
    assert_string_equal(run.template_name, "base");
    assert_null(run.runner);
    assert_int_equal(run.exec.argc, 3);
    assert_string_equal(run.exec.argv[1], "main.sh");
    assert_string_equal(run.exec.argv[2], "");
    assert_null(run.exec.argv[3]);
    assert_string_equal(env_of(&run, "NAME"), "a=b");
    assert_string_equal(env_of(&run, "E"), "");
    assert_non_null(env_of(&run, "PATH"));
    assert_null(run.exec.env[run.exec.envc]);
    assert_string_equal(run.exec.cwd, "/work");
    assert_int_equal(run.exec.flags, 0);
    assert_int_equal(run.files_len, 2);
    assert_string_equal(run.files[0].name, "main.sh");
    assert_int_equal(run.files[0].mode, 0700);
    assert_int_equal(run.files[0].bytes, 8);
    assert_true(run.files[0].unlink_after);
    assert_int_equal(run.files[1].mode, 0644);
    assert_false(run.files[1].unlink_after);
    assert_int_equal(run.time_ms, 60000);
    assert_int_equal(run.memory_bytes, 268435456);
    assert_int_equal(run.output_bytes, 1048576);
    assert_int_equal(run.queue_ms, 10000);
    assert_true(run.nat);
    assert_true(run.keep);
    assert_string_equal(run.keep_name, "demo");
    assert_string_equal(run.keep_owner, "admin");
    op_run_finish(&run);
}

static void what_may_be_left_out(void **state)
{
    struct op_run run;
    (void)state;
    parse("{'id':'','argv':['x'],'timeMs':1,'outputBytes':0}", false, &run);
    assert_string_equal(run.template_name, "");
    assert_string_equal(run.exec.cwd, "");
    assert_int_equal(run.files_len, 0);
    assert_int_equal(run.memory_bytes, 0);
    assert_int_equal(run.queue_ms, 0);
    assert_false(run.keep);
    op_run_finish(&run);
    parse("{'id':'1','argv':null,'keep':{'name':null,'owner':'a'}}", false, &run);
    assert_int_equal(run.exec.argc, 0);
    assert_true(run.keep);
    assert_null(run.keep_name);
    op_run_finish(&run);
    parse("{'id':'1','argv':[],'keep':{'owner':'a'},'timeMs':1,'outputBytes':1}", false, &run);
    assert_int_equal(run.exec.argc, 0);
    op_run_finish(&run);
    parse("{'id':'1','runner':'demo','argv':['x'],'timeMs':1,'outputBytes':0}", true, &run);
    assert_string_equal(run.runner, "demo");
    op_run_finish(&run);
}

#define REST "'timeMs':1,'outputBytes':1"

static void bad_requests_name_the_field_and_the_bound(void **state)
{
    static const struct {
        bool exec;
        const char *text, *words;
    } cases[] = {
        {false, "", "not JSON"},
        {false, "[]", "must be a JSON object"},
        {false, "{'id':1}", "id: must be a string"},
        {false, "{'argv':['x']," REST "}", "id: is missing"},
        {false, "{'id':'1'," REST "}", "argv: is missing"},
        {false, "{'id':'1','argv':[]," REST "}", "argv: is missing"},
        {false, "{'id':'1','argv':'x'," REST "}", "argv: must be an array"},
        {false, "{'id':'1','argv':[1]," REST "}", "argv[0]: must be a string"},
        {false, "{'id':'1','argv':['a\\u0000b']," REST "}", "not JSON"},
        {false, "{'id':'1','argv':['x'],'more':1," REST "}", "more: unknown field"},
        {false, "{'id':'1','argv':['x'],'runner':'r'," REST "}", "runner: unknown field"},
        {false, "{'id':'1','argv':['x'],'outputBytes':1}", "timeMs: is missing"},
        {false, "{'id':'1','argv':['x'],'timeMs':1}", "outputBytes: is missing"},
        {false, "{'id':'1','argv':['x'],'timeMs':0,'outputBytes':1}",
         "timeMs: 0 is out of bounds, must be 1..2147483647"},
        {false, "{'id':'1','argv':['x'],'timeMs':1.5,'outputBytes':1}", "timeMs: must be a whole"},
        {false, "{'id':'1','argv':['x'],'timeMs':1,'outputBytes':-1}", "outputBytes: -1"},
        {false, "{'id':'1','argv':['x'],'queueMs':2147483648," REST "}", "queueMs: 2147483648"},
        {false, "{'id':'1','argv':['x'],'network':'host'," REST "}",
         "network: must be none or nat"},
        {true, "{'id':'1','runner':'a','argv':['x'],'network':'nat'," REST "}", "network"},
        {false, "{'id':'1','argv':['x'],'memoryBytes':4194303," REST "}",
         "memoryBytes: 4194303 is out of bounds, must be 4194304.."},
        {false, "{'id':'123456789012345678901234567890123','argv':['x']," REST "}",
         "id: at most 32 characters"},
        {false, "{'id':'1','argv':['x'],'cwd':'work'," REST "}", "cwd: must be absolute"},
        {false, "{'id':'1','argv':['x'],'env':[]," REST "}", "env: must be an object"},
        {false, "{'id':'1','argv':['x'],'env':{'A':1}," REST "}", "env: \"A\""},
        {false, "{'id':'1','argv':['x'],'env':{'':'1'}," REST "}", "env: \"\""},
        {false, "{'id':'1','argv':['x'],'env':{'A=B':'1'}," REST "}", "env: \"A=B\""},
        {false, "{'id':'1','argv':['x'],'files':{}," REST "}", "files: must be an array"},
        {false, "{'id':'1','argv':['x'],'files':[1]," REST "}", "files: must hold objects"},
        {false, "{'id':'1','argv':['x'],'files':[{'bytes':1}]," REST "}",
         "files: name: is missing"},
        {false, "{'id':'1','argv':['x'],'files':[{'name':'','bytes':1}]," REST "}",
         "files: name: must have 1..2048 bytes"},
        {false, "{'id':'1','argv':['x'],'files':[{'name':'f'}]," REST "}",
         "files: bytes: is missing"},
        {false, "{'id':'1','argv':['x'],'files':[{'name':'f','bytes':268435457}]," REST "}",
         "files: bytes: 268435457 is out of bounds, must be 0..268435456"},
        {false, "{'id':'1','argv':['x'],'files':[{'name':'f','bytes':1,'mode':512}]," REST "}",
         "files: mode: 512"},
        {false, "{'id':'1','argv':['x'],'files':[{'name':'f','bytes':1,'more':1}]," REST "}",
         "files: more: unknown field"},
        {false, "{'id':'1','keep':{'owner':'a'},'files':[{'name':'f','bytes':1}]}",
         "argv: is missing"},
        {false, "{'id':'1','keep':{'name':'x'}}", "keep: owner: is missing"},
        {false, "{'id':'1','keep':{'name':'Demo','owner':'a'}}", "name: must match [a-z]"},
        {false, "{'id':'1','keep':{'name':'../x','owner':'a'}}", "name: must match [a-z]"},
        {false, "{'id':'1','keep':{'owner':'a','x':1}}", "keep: x: unknown field"},
        {false,
         "{'id':'1','keep':{'owner':"
         "'12345678901234567890123456789012345678901234567890123456789012345'}}",
         "owner: longer than 64 bytes"},
        {true, "{'id':'1','argv':['x']," REST "}", "runner: is missing"},
        {true, "{'id':'1','runner':'r'," REST "}", "argv: is missing"},
        {true, "{'id':'1','runner':'r','argv':[]," REST "}", "argv: is missing"},
        {true, "{'id':'1','runner':'r','argv':['x'],'keep':{'owner':'a'}," REST "}",
         "keep: unknown field"},
        {true, "{'id':'1','runner':'r','argv':['x'],'queueMs':1," REST "}",
         "queueMs: unknown field"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct op_run run;
        struct err err;
        const char *json = json_of(cases[i].text);
        assert_fails(op_run_parse(json, strlen(json), cases[i].exec, &run, &err), err,
                     ERR_BAD_REQUEST, cases[i].words);
    }
}

static void exec_on_a_name_that_nobody_has(void **state)
{
    struct op_run run;
    struct err err;
    const char *json = json_of("{'id':'1','runner':'No/../Name','argv':['x']," REST "}");
    (void)state;
    assert_fails(op_run_parse(json, strlen(json), true, &run, &err), err, ERR_RUNNER_NOT_FOUND,
                 "no runner has such a name");
}

/* Whatever is accepted fits into the agent's frames. */
static void add_array(struct buf *text, const char *key, size_t count, size_t len)
{
    buf_printf(text, "\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        buf_append_str(text, i ? ",\"" : "\"");
        for (size_t k = 0; k < len; k++)
            buf_append_str(text, "x");
        buf_append_str(text, "\"");
    }
    buf_append_str(text, "],");
}

static int parse_argv(size_t count, size_t len, struct err *err)
{
    static unsigned char payload[FRAME_CONTROL_MAX];
    struct op_run run;
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    buf_append_str(&text, "{\"id\":\"1\",");
    add_array(&text, "argv", count, len);
    buf_append_str(&text, "\"timeMs\":1,\"outputBytes\":1}");
    int status = op_run_parse(text.data, text.len, false, &run, err);
    if (status == 0) {
        assert_true(agent_exec_encode(&run.exec, payload, sizeof(payload)) > 0);
        op_run_finish(&run);
    }
    buf_finish(&text);
    return status;
}

static void arguments_fit_into_one_message_or_are_refused(void **state)
{
    struct err err;
    (void)state;
    assert_ok(parse_argv(AGENT_ARGV_MAX, 0, &err), err);
    assert_fails(parse_argv(AGENT_ARGV_MAX + 1, 0, &err), err, ERR_BAD_REQUEST,
                 "argv: 513 entries, at most 512");
    assert_ok(parse_argv(511, 2000, &err), err);
    assert_fails(parse_argv(512, 2048, &err), err, ERR_BAD_REQUEST, "at most 1048576 fit");
    /* Around the bound: nothing may be accepted that cannot be encoded. */
    for (size_t len = 2035; len < 2048; len++)
        parse_argv(512, len, &err);
    for (size_t len = FRAME_CONTROL_MAX - 300; len < FRAME_CONTROL_MAX; len++)
        parse_argv(1, len, &err);
}

static void paths_of_files_fit_into_their_message(void **state)
{
    struct op_run run;
    struct err err;
    struct buf text;
    unsigned char payload[8192];
    (void)state;
    buf_init(&text, 65536);
    buf_append_str(&text,
                   "{\"id\":\"1\",\"argv\":[\"x\"],\"timeMs\":1,\"outputBytes\":1,\"cwd\":\"");
    for (int i = 0; i < OP_PATH_MAX; i++)
        buf_append_str(&text, "/");
    buf_append_str(&text, "\",\"files\":[{\"bytes\":0,\"name\":\"");
    for (int i = 0; i < OP_PATH_MAX; i++)
        buf_append_str(&text, "n");
    buf_append_str(&text, "\"}]}");
    assert_ok(op_run_parse(text.data, text.len, false, &run, &err), err);
    const struct agent_file file = {
        .mode = 0777, .unlink_after = 1, .folder = run.exec.cwd, .name = run.files[0].name};
    assert_true(agent_file_encode(&file, payload, sizeof(payload)) > 0);
    op_run_finish(&run);
    char *at = strstr(text.data, "nnnn");
    memmove(at + 1, at, strlen(at) - 3); /* one more, at the cost of the end */
    assert_int_equal(op_run_parse(text.data, text.len, false, &run, &err), -1);
    buf_finish(&text);
}

static void too_many_files(void **state)
{
    struct op_run run;
    struct err err;
    struct buf text;
    (void)state;
    buf_init(&text, 65536);
    buf_append_str(&text,
                   "{\"id\":\"1\",\"argv\":[\"x\"],\"timeMs\":1,\"outputBytes\":1,\"files\":[");
    for (int i = 0; i <= OP_FILES_MAX; i++)
        buf_printf(&text, "%s{\"name\":\"f%d\",\"bytes\":0}", i ? "," : "", i);
    buf_append_str(&text, "]}");
    assert_fails(op_run_parse(text.data, text.len, false, &run, &err), err, ERR_BAD_REQUEST,
                 "files: 258 entries, at most 257");
    buf_finish(&text);
}

static void destroy(void **state)
{
    char name[NAME_MAX_LEN + 1];
    struct err err;
    (void)state;
    assert_ok(op_destroy_parse("{\"runner\":\"demo\"}", 17, name, &err), err);
    assert_string_equal(name, "demo");
    assert_fails(op_destroy_parse("{}", 2, name, &err), err, ERR_BAD_REQUEST, "runner: is missing");
    assert_fails(op_destroy_parse("{\"runner\":\"a/b\"}", 16, name, &err), err,
                 ERR_RUNNER_NOT_FOUND, "no runner has such a name");
    const char *more = json_of("{'runner':'demo','force':true}");
    assert_fails(op_destroy_parse(more, strlen(more), name, &err), err, ERR_BAD_REQUEST,
                 "force: unknown field");
    const char *longer = json_of("{'runner':'a12345678901234567890123456789012345678901'}");
    assert_fails(op_destroy_parse(longer, strlen(longer), name, &err), err, ERR_RUNNER_NOT_FOUND,
                 "no runner");
}

static void zombies(void **state)
{
    struct err err;
    bool remove = true;
    (void)state;
    assert_ok(op_zombies_parse("{}", 2, &remove, &err), err);
    assert_false(remove);
    assert_ok(op_zombies_parse("{\"remove\":true}", 15, &remove, &err), err);
    assert_true(remove);
    assert_fails(op_zombies_parse("{\"remove\":1}", 12, &remove, &err), err, ERR_BAD_REQUEST,
                 "remove: must be true or false");
    assert_ok(op_footprint_parse("{}", 2, &err), err);
    assert_fails(op_footprint_parse("{\"x\":1}", 7, &err), err, ERR_BAD_REQUEST, "x");
    assert_fails(op_footprint_parse("[]", 2, &err), err, ERR_BAD_REQUEST, "");
    assert_fails(op_zombies_parse("{\"x\":1}", 7, &remove, &err), err, ERR_BAD_REQUEST,
                 "x: unknown field");
}

static void hello(void **state)
{
    struct err err;
    char manager[MANAGER_ID_LEN + 1];
    const char *good = json_of("{'protocol':3,'program':'codeland 9','later':true,"
                               "'manager':'0123456789abcdef0123456789abcdef'}");
    (void)state;
    assert_ok(op_hello_parse(good, strlen(good), manager, &err), err);
    assert_string_equal(manager, "0123456789abcdef0123456789abcdef");
    static const struct {
        const char *text, *words;
        enum err_code code;
    } cases[] = {
        {"{'protocol':4,'program':'codeland 9'}", "codeland 9 speaks protocol 4, this worker 3",
         ERR_BAD_GATEWAY},
        {"{'protocol':1,'program':'codeland 0'}", "codeland 0 speaks protocol 1, this worker 3",
         ERR_BAD_GATEWAY},
        {"{'program':'x'}", "protocol: is missing", ERR_BAD_REQUEST},
        {"{'protocol':3}", "program: is missing", ERR_BAD_REQUEST},
        {"{'protocol':3,'program':'x'}", "manager: is missing", ERR_BAD_REQUEST},
        {"{'protocol':3,'program':'x','manager':7}", "manager", ERR_BAD_REQUEST},
        {"{'protocol':3,'program':'x','manager':''}", "manager: must be 32 hex digits",
         ERR_BAD_REQUEST},
        {"{'protocol':3,'program':'x','manager':'0123456789abcdef0123456789abcdef0'}",
         "manager: must be 32 hex digits", ERR_BAD_REQUEST},
        {"{'protocol':3,'program':'x','manager':'0123456789ABCDEF0123456789ABCDEF'}",
         "manager: must be 32 hex digits", ERR_BAD_REQUEST},
        {"\xff", "not JSON", ERR_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = json_of(cases[i].text);
        assert_fails(op_hello_parse(text, strlen(text), manager, &err), err, cases[i].code,
                     cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_with_everything),
        cmocka_unit_test(what_may_be_left_out),
        cmocka_unit_test(bad_requests_name_the_field_and_the_bound),
        cmocka_unit_test(exec_on_a_name_that_nobody_has),
        cmocka_unit_test(arguments_fit_into_one_message_or_are_refused),
        cmocka_unit_test(paths_of_files_fit_into_their_message),
        cmocka_unit_test(too_many_files),
        cmocka_unit_test(destroy),
        cmocka_unit_test(zombies),
        cmocka_unit_test(hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
