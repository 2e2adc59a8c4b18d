/* From the first program to the answer: stages, their accounting, what ends them, and signals. The
 * agent is the test's; what run.c decides is in test_run.c.
 */
#include "../../../src/worker/run.h"

#include "../../../src/common/mem.h"
#include "wild_engine.h"

#include <signal.h>

#define KEY 0xab
#define ANY "'key':'00000000000000ab','argv':['prog','x'],'outputBytes':100"
#define RUN "{'id':'r1'," ANY ",'timeMs':60000,'queueMs':60000"
#define EXEC "{'id':'e1','runner':'demo'," ANY ",'timeMs':60000"
#define SHORT_EXEC "{'id':'e1','runner':'demo'," ANY ",'timeMs':20"
#define COMPILE ",'compile':{'argv':['cc','x.c'],'timeMs':60000,'outputBytes':5}"
#define SHORT_COMPILE ",'compile':{'argv':['cc'],'timeMs':20,'outputBytes':5}"
#define COLLECT ",'collect':{'globs':['*.txt','out/*'],'bytes':1000,'files':10}"

struct stage {
    struct worker_rig rig;
    struct peer caller;
    char name[NAME_MAX_LEN + 1];
};

static void begin(struct stage *stage)
{
    *stage = (struct stage){.caller = {.fd = -1}};
    worker_rig_init(&stage->rig);
    worker_rig_open(&stage->rig);
    worker_rig_warm(&stage->rig, 1);
    wild_begin(&stage->rig);
}

static void finish(struct stage *stage)
{
    wild_finish();
    worker_rig_finish(&stage->rig);
    peer_close(&stage->caller);
}

static const char *text_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_string(value) ? json_string_value(value) : "(none)";
}

static double number_of(const json_t *json, const char *key)
{
    assert_true(json_is_number(json_object_get(json, key)));
    return json_number_value(json_object_get(json, key));
}

static bool is_cut(const json_t *json, const char *stream)
{
    return json_is_true(json_object_get(json_object_get(json, "truncated"), stream));
}

static struct runner *find(struct stage *stage)
{
    return roster_find(stage->rig.services.roster, RIG_MANAGER, stage->name);
}

/* On a runner that goes with the run; or, with EXEC, on one that is kept. */
static void ask(struct stage *stage, const char *message)
{
    bool named = strstr(message, "'runner'");
    if (named) {
        worker_rig_run(&stage->rig, &stage->caller, FRAME_RUN,
                       "{'id':'k1','keep':{'name':'demo','owner':'ann'},'queueMs':60000}");
        json_decref(peer_expect_json(&stage->caller, FRAME_RESULT));
        peer_close(&stage->caller);
    }
    worker_rig_run(&stage->rig, &stage->caller, named ? FRAME_EXEC : FRAME_RUN, message);
}

static void expect_started(struct stage *stage)
{
    json_t *started = peer_expect_json(&stage->caller, FRAME_STARTED);
    strcpy(stage->name, text_of(started, "runner"));
    json_decref(started);
}

static void begin_run(struct stage *stage, const char *message)
{
    begin(stage);
    ask(stage, message);
    expect_started(stage);
}

static void expect_bytes(struct peer *peer, enum frame_type type, const char *bytes)
{
    struct frame frame;
    peer_expect(peer, type, &frame);
    assert_int_equal(frame.len, strlen(bytes));
    assert_memory_equal(frame.payload, bytes, frame.len);
}

/* The agent is to execute these words. */
static void expect_exec(const char *words)
{
    struct frame frame;
    struct agent_exec exec;
    char text[1024] = "";
    peer_expect(&wild.agent, FRAME_AGENT_EXEC, &frame);
    assert_true(agent_exec_decode(frame.payload, frame.len, &exec));
    for (uint32_t i = 0; i < exec.argc; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 exec.argv[i]);
    assert_string_equal(text, words);
}

static void expect_folder(enum agent_folder_end end)
{
    struct frame frame;
    struct agent_folder folder;
    peer_expect(&wild.agent, FRAME_AGENT_FOLDER, &frame);
    assert_true(agent_folder_decode(frame.payload, frame.len, &folder));
    assert_string_equal(folder.name, "box");
    assert_string_equal(folder.folder, "/work");
    assert_int_equal(folder.end, end);
}

static void expect_verdict(struct stage *stage, enum frame_type type, const char *status)
{
    json_t *json = peer_expect_json(&stage->caller, type);
    assert_string_equal(text_of(json, "status"), status);
    json_decref(json);
}

static void expect_failure(struct stage *stage, enum err_code code, const char *words)
{
    json_t *error = peer_expect_json(&stage->caller, FRAME_LINK_ERROR);
    assert_string_equal(text_of(error, "name"), err_name(code));
    assert_string_equal(text_of(error, "runner"), stage->name);
    assert_contains(text_of(error, "message"), words);
    json_decref(error);
    peer_expect_end(&stage->caller);
}

static void exits(int code)
{
    wild_exits(&(struct agent_exit){.exit = (uint32_t)code});
}

static void dies_of(int signal)
{
    wild_exits(&(struct agent_exit){.signal = (uint32_t)signal});
}

static void compiles(struct stage *stage)
{
    wild_started();
    exits(0);
    expect_verdict(stage, FRAME_COMPILED, "ok");
}

static void wait_for_stage(struct stage *stage, unsigned number)
{
    worker_rig_wait(&stage->rig, wild.opens == number);
}

/* ---- one after the other ---- */

/* What `crunner collect` says, as its output. */
static void collector_says(enum frame_type type, const void *payload, size_t len)
{
    unsigned char bytes[FRAME_HEADER_LEN + 256];
    frame_put_header(bytes, (uint8_t)type, 0, (uint32_t)len);
    memcpy(bytes + FRAME_HEADER_LEN, payload, len);
    peer_send(&wild.agent, FRAME_STDOUT, bytes, FRAME_HEADER_LEN + len);
}

static void collector_finds(const char *path, const char *text)
{
    unsigned char payload[128];
    const struct agent_found found = {
        .kind = AGENT_FOUND_FILE, .mode = 0644, .size_bytes = strlen(text), .path = path};
    const struct agent_collected end = {.cut = 0};
    collector_says(FRAME_AGENT_FOUND, payload, agent_found_encode(&found, payload, 128));
    collector_says(FRAME_FILE_DATA, text, strlen(text));
    collector_says(FRAME_AGENT_COLLECTED, payload, agent_collected_encode(&end, payload, 128));
}

static void stages_follow_each_other_and_each_has_what_is_its(void **state)
{
    struct stage stage;
    struct frame frame;
    (void)state;
    begin(&stage);
    ask(&stage,
        RUN COMPILE COLLECT ",'cwd':'/work','scratch':'box','files':[{'name':'x.c','bytes':3}]}");
    peer_send_text(&stage.caller, FRAME_FILE_DATA, "abc");
    peer_send_text(&stage.caller, FRAME_STDIN, "input");
    peer_send_text(&stage.caller, FRAME_STDIN_EOF, "");
    expect_started(&stage);

    expect_folder(AGENT_FOLDER_REMOVE_FAILED);
    peer_expect(&wild.agent, FRAME_AGENT_FILE, &frame);
    expect_bytes(&wild.agent, FRAME_FILE_DATA, "abc");
    expect_exec("cc x.c");
    assert_int_equal(wild.operation.output_bytes, 5);
    expect_bytes(&wild.agent, FRAME_STDIN_EOF, ""); /* the input is the program's */
    wild_started();
    peer_send_text(&wild.agent, FRAME_STDERR, "warn");
    exits(0);
    expect_bytes(&stage.caller, FRAME_STDERR, "warn");
    expect_verdict(&stage, FRAME_COMPILED, "ok");

    expect_folder(AGENT_FOLDER_REMOVE);
    expect_exec("prog x");
    assert_int_equal(wild.operation.output_bytes, 100);
    expect_bytes(&wild.agent, FRAME_STDIN, "input");
    expect_bytes(&wild.agent, FRAME_STDIN_EOF, "");
    wild_started();
    peer_send_text(&wild.agent, FRAME_STDOUT, "hello");
    exits(3);
    expect_bytes(&stage.caller, FRAME_STDOUT, "hello");

    wait_for_stage(&stage, 3);
    expect_exec(AGENT_PATH " collect 1000 10 *.txt out/*");
    expect_bytes(&wild.agent, FRAME_STDIN_EOF, "");
    assert_int_equal(wild.operation.id, 2);
    wild_started();
    peer_send_text(&wild.agent, FRAME_STDERR, "which is nobody's");
    collector_finds("out/a", "text");
    exits(0);
    json_t *found = peer_expect_json(&stage.caller, FRAME_FOUND);
    assert_string_equal(text_of(found, "path"), "out/a");
    json_decref(found);
    expect_bytes(&stage.caller, FRAME_FILE_DATA, "text");
    json_t *result = peer_expect_json(&stage.caller, FRAME_RESULT);
    assert_string_equal(text_of(result, "status"), "exit");
    assert_true(number_of(result, "exit") == 3);
    assert_true(json_is_false(json_object_get(result, "filesCut")));
    json_decref(result);
    peer_expect_end(&stage.caller);
    assert_false(wild.operation.confined);
    worker_rig_wait(&stage.rig, !find(&stage));
    finish(&stage);
}

static void each_stage_on_a_runner_that_stays_is_an_operation_that_ends(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, EXEC COMPILE COLLECT "}");
    assert_true(wild.operation.confined);
    compiles(&stage);
    assert_int_equal(wild.ends, 1);
    wild_started();
    exits(0);
    wait_for_stage(&stage, 3);
    assert_int_equal(wild.ends, 2);
    wild_started();
    exits(0);
    expect_verdict(&stage, FRAME_RESULT, "ok");
    assert_int_equal(wild.ends, 3);
    assert_int_equal(wild.kills, 0);
    assert_int_equal(find(&stage)->state, RUNNER_IN_USE);
    finish(&stage);
}

static void each_stage_has_its_own_bound_of_output(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, RUN COMPILE "}");
    wild_started();
    peer_send_text(&wild.agent, FRAME_STDOUT, "1234567");
    exits(0);
    expect_bytes(&stage.caller, FRAME_STDOUT, "12345");
    json_t *compiled = peer_expect_json(&stage.caller, FRAME_COMPILED);
    assert_string_equal(text_of(compiled, "status"), "output"); /* which is no failure */
    assert_true(is_cut(compiled, "stdout"));
    assert_false(is_cut(compiled, "stderr"));
    json_decref(compiled);
    wild_started();
    peer_send_text(&wild.agent, FRAME_STDOUT, "1234567");
    exits(0);
    expect_bytes(&stage.caller, FRAME_STDOUT, "1234567");
    json_t *result = peer_expect_json(&stage.caller, FRAME_RESULT);
    assert_string_equal(text_of(result, "status"), "ok");
    assert_false(is_cut(result, "stdout"));
    json_decref(result);
    finish(&stage);
}

/* ---- the compiler ---- */

static void compiler_that_fails_ends_the_run(void **state)
{
    static const struct {
        struct agent_exit exit;
        const char *status;
    } cases[] = {{{.exit = 1}, "exit"}, {{.signal = SIGSEGV}, "signal"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin_run(&stage, EXEC COMPILE COLLECT "}");
        wild_started();
        wild_exits(&cases[i].exit);
        expect_verdict(&stage, FRAME_COMPILED, cases[i].status);
        json_t *result = peer_expect_json(&stage.caller, FRAME_RESULT);
        assert_string_equal(text_of(result, "status"), "compile_error");
        assert_true(json_is_null(json_object_get(result, "exit")));
        assert_true(json_is_null(json_object_get(result, "signal")));
        assert_true(json_is_true(json_object_get(result, "filesCut")));
        json_decref(result);
        peer_expect_end(&stage.caller);
        assert_int_equal(wild.opens, 1);
        assert_string_equal(find(&stage)->last_status, "compile_error");
        finish(&stage);
    }
}

static void agent_fails(enum agent_stage at, int number)
{
    unsigned char payload[64];
    const struct agent_failed failed = {.stage = at, .sys_errno = (uint32_t)number};
    peer_send(&wild.agent, FRAME_AGENT_FAILED, payload,
              agent_failed_encode(&failed, payload, sizeof(payload)));
}

static void compiler_that_cannot_start_is_named_as_such(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, RUN COMPILE "}");
    agent_fails(AGENT_STAGE_EXEC, 2);
    expect_failure(&stage, ERR_EXECUTION_FAILED, "compile: cannot execute the program: No such");
    finish(&stage);
    begin_run(&stage, RUN COMPILE "}");
    compiles(&stage);
    agent_fails(AGENT_STAGE_FILE, 122); /* EDQUOT */
    expect_failure(&stage, ERR_NO_SPACE, "cannot write the program's files: Disk quota");
    finish(&stage);
}

/* Its time is up; what it says after is too late, whatever it is. */
static void compiler_that_takes_too_long_has_failed(void **state)
{
    static const struct agent_exit ends[] = {{.signal = SIGKILL}, {.exit = 0, .wall_us = 1}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct stage stage;
        begin_run(&stage, EXEC SHORT_COMPILE "}");
        wild_started();
        worker_rig_wait(&stage.rig, wild.kills == 1);
        wild_exits(&ends[i]);
        expect_verdict(&stage, FRAME_COMPILED, "timeout");
        expect_verdict(&stage, FRAME_RESULT, "compile_error");
        assert_int_equal(wild.opens, 1);
        finish(&stage);
    }
}

static void run_whose_next_stage_cannot_be_is_an_error(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, EXEC COMPILE "}");
    wild.opens_most = 1;
    compiles(&stage);
    expect_failure(&stage, ERR_BAD_GATEWAY, "the agent is the test's");
    assert_int_equal(wild.kills, 1);
    finish(&stage);

    begin_run(&stage, EXEC COMPILE "}");
    runner_destroy(find(&stage));
    compiles(&stage);
    expect_failure(&stage, ERR_RUNNER_NOT_FOUND, "the runner is going away");
    assert_int_equal(wild.opens, 1);
    finish(&stage);
}

/* ---- what is collected ---- */

static void expect_files_cut(struct stage *stage, const char *status)
{
    json_t *result = peer_expect_json(&stage->caller, FRAME_RESULT);
    assert_string_equal(text_of(result, "status"), status);
    assert_true(json_is_true(json_object_get(result, "filesCut")));
    json_decref(result);
    peer_expect_end(&stage->caller);
}

static void nothing_is_collected_behind_a_program_that_was_ended(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, SHORT_EXEC COLLECT "}");
    wild_started();
    worker_rig_wait(&stage.rig, wild.kills == 1);
    dies_of(SIGKILL);
    expect_files_cut(&stage, "timeout");
    assert_int_equal(wild.opens, 1);
    finish(&stage);

    begin_run(&stage, EXEC COLLECT "}");
    wild_started();
    runner_destroy(find(&stage));
    exits(0);
    expect_files_cut(&stage, "ok");
    assert_int_equal(wild.opens, 1);
    finish(&stage);
}

static void collector_that_fails_costs_the_files_alone(void **state)
{
    enum { CANNOT_START, GOES, TALKS_NONSENSE, WAYS };
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct stage stage;
        begin_run(&stage, EXEC COLLECT "}");
        wild_started();
        exits(0);
        wait_for_stage(&stage, 2);
        if (way == CANNOT_START) {
            agent_fails(AGENT_STAGE_EXEC, 2);
        } else {
            wild_started();
            if (way == TALKS_NONSENSE)
                peer_send_text(&wild.agent, FRAME_STDOUT, "GET / HTTP/1.1\r\n\r\n");
            if (way == GOES)
                peer_close(&wild.agent);
            else
                exits(1);
        }
        expect_files_cut(&stage, "ok");
        assert_int_equal(find(&stage)->state, RUNNER_IN_USE);
        finish(&stage);
    }
}

/* ---- what is counted ---- */

static void set_stats(struct stage *stage, const struct engine_stats *stats)
{
    assert_true(engine_fake_set_stats(stage->rig.fake, find(stage)->spec.name, stats));
}

static void what_the_compiler_used_is_not_the_programs(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, RUN COMPILE ",'cpuMs':40}");
    wild_started();
    set_stats(&stage, &(struct engine_stats){.memory_bytes = 1000,
                                             .memory_peak_bytes = 9000,
                                             .cpu_us = 50000,
                                             .user_us = 40000,
                                             .system_us = 10000});
    exits(0);
    json_t *compiled = peer_expect_json(&stage.caller, FRAME_COMPILED);
    assert_string_equal(text_of(compiled, "status"), "ok");
    assert_true(number_of(compiled, "memoryPeak") == 9000);
    assert_float_equal(number_of(compiled, "cpuUser"), 40, 0.001);
    json_decref(compiled);
    wild_started();
    set_stats(&stage, &(struct engine_stats){.memory_bytes = 1000,
                                             .memory_peak_bytes = 5000,
                                             .cpu_us = 70000,
                                             .user_us = 55000,
                                             .system_us = 15000});
    /* The peak is believed since it is one of the program's time. */
    wild_exits(&(struct agent_exit){.max_rss_bytes = 100});
    json_t *result = peer_expect_json(&stage.caller, FRAME_RESULT);
    assert_string_equal(text_of(result, "status"), "ok");
    assert_true(number_of(result, "memoryPeak") == 4000);
    assert_float_equal(number_of(result, "cpuUser"), 15, 0.001);
    assert_float_equal(number_of(result, "cpuSys"), 5, 0.001);
    json_decref(result);
    finish(&stage);
}

static void processor_time_is_bounded(void **state)
{
    static const struct {
        struct agent_exit exit;
        const char *status;
    } cases[] = {
        {{.signal = SIGKILL}, "cpu_timeout"},
        {{.exit = 4, .wall_us = 1}, "exit"}, /* it was over just before it was killed */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin_run(&stage, EXEC ",'cpuMs':10}");
        wild_started();
        set_stats(&stage, &(struct engine_stats){.cpu_us = 9999});
        for (int turns = 0; turns < 20; turns++)
            worker_rig_turn(&stage.rig);
        assert_int_equal(wild.kills, 0);
        set_stats(&stage, &(struct engine_stats){.cpu_us = 10000});
        worker_rig_wait(&stage.rig, wild.kills == 1);
        wild_exits(&cases[i].exit);
        expect_verdict(&stage, FRAME_RESULT, cases[i].status);
        finish(&stage);
    }
}

static void program_that_filled_its_disk_is_told_so(void **state)
{
    static const struct {
        struct engine_disk left;
        const char *status;
    } cases[] = {{{0, 1}, "disk"}, {{1, 0}, "disk"}, {{1, 1}, "exit"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin_run(&stage, RUN "}");
        wild_started();
        assert_true(engine_fake_set_disk_left(stage.rig.fake, stage.name, &cases[i].left));
        exits(1);
        expect_verdict(&stage, FRAME_RESULT, cases[i].status);
        finish(&stage);
    }
}

static void time_that_cannot_be_is_not_believed(void **state)
{
    static const uint64_t said_us[] = {5, UINT64_MAX / 2, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(said_us); i++) {
        struct stage stage;
        begin_run(&stage, RUN "}");
        wild_started();
        const struct clock *clock = stage.rig.services.clock;
        mono_us from = clock_now(clock);
        worker_rig_wait(&stage.rig, clock_now(clock) > from + US_PER_MS);
        wild_exits(&(struct agent_exit){.wall_us = said_us[i]});
        json_t *result = peer_expect_json(&stage.caller, FRAME_RESULT);
        double wall = number_of(result, "wall");
        if (i == 0)
            assert_float_equal(wall, 0.005, 0.0001);
        else
            assert_true(wall > 0.005 && wall < 1000.0 * 3600);
        json_decref(result);
        finish(&stage);
    }
}

static void agent_that_sends_garbage_loses_its_runner(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, EXEC "}");
    wild_started();
    peer_send_bytes(&wild.agent, "\xff\x00\x00\x00\x00\x00\x00\x00", 8);
    expect_failure(&stage, ERR_BAD_GATEWAY, "the runner was lost during the run: the peer sent a");
    worker_rig_wait(&stage.rig, !find(&stage));
    finish(&stage);
}

/* ---- signals ---- */

static void send_signal(struct stage *stage, int number)
{
    runs_signal(stage->rig.services.runs, RIG_MANAGER, KEY, number);
}

static void expect_signal(int number)
{
    struct frame frame;
    struct agent_signal signal;
    peer_expect(&wild.agent, FRAME_AGENT_SIGNAL, &frame);
    assert_true(agent_signal_decode(frame.payload, frame.len, &signal));
    assert_int_equal(signal.signal, number);
    assert_int_equal(signal.group, 1);
}

/* One of before protocol 2: its engine says that it cannot be told. */
static void signal_for_an_earlier_agent_goes_behind_the_input(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, EXEC COMPILE "}");
    peer_send_text(&stage.caller, FRAME_STDIN, "input");
    expect_exec("cc x.c");
    expect_bytes(&wild.agent, FRAME_STDIN_EOF, "");
    compiles(&stage);
    expect_exec("prog x");
    expect_bytes(&wild.agent, FRAME_STDIN, "input");
    send_signal(&stage, SIGTERM);
    for (int i = 0; i < 5; i++)
        worker_rig_turn(&stage.rig);
    assert_int_equal(wild.signals, 0); /* there is no program yet */
    assert_false(peer_has_frame(&wild.agent));
    wild_started();
    expect_signal(SIGTERM);
    assert_int_equal(wild.signals, 1); /* the better way was asked for first */
    assert_int_equal(wild.signal_id, 1);
    assert_int_equal(wild.signal, SIGTERM);
    peer_send_text(&stage.caller, FRAME_STDIN, "more");
    expect_bytes(&wild.agent, FRAME_STDIN, "more");
    send_signal(&stage, SIGINT);
    expect_signal(SIGINT);
    dies_of(SIGINT);
    expect_verdict(&stage, FRAME_RESULT, "signal");
    finish(&stage);
}

static void signal_for_an_agent_of_today_is_no_part_of_the_operations_bytes(void **state)
{
    struct stage stage;
    (void)state;
    begin_run(&stage, EXEC "}");
    wild.hears = true;
    expect_exec("prog x");
    wild_started();
    send_signal(&stage, SIGTERM); /* which waits until the agent's word has been read */
    worker_rig_wait(&stage.rig, wild.signals == 1);
    assert_int_equal(wild.signal_id, 0);
    runs_signal(stage.rig.services.runs, RIG_MANAGER, KEY + 1, SIGKILL);
    runs_signal(stage.rig.services.runs, "fedcba9876543210fedcba9876543210", KEY, SIGKILL);
    peer_send_text(&stage.caller, FRAME_STDIN, "input");
    expect_bytes(&wild.agent, FRAME_STDIN, "input");
    assert_int_equal(wild.signals, 1);
    finish(&stage);
}

static void signal_that_comes_too_late_is_for_nobody(void **state)
{
    struct stage stage;
    struct frame frame;
    (void)state;
    begin_run(&stage, SHORT_EXEC "}");
    expect_exec("prog x");
    wild_started();
    worker_rig_wait(&stage.rig, wild.kills == 1);
    send_signal(&stage, SIGTERM); /* it has been killed */
    dies_of(SIGKILL);
    expect_verdict(&stage, FRAME_RESULT, "timeout");
    assert_false(peer_next(&wild.agent, &frame));
    assert_int_equal(wild.signals, 0);
    finish(&stage);

    begin_run(&stage, EXEC "}"); /* its runner has gone, of which its agent's side says nothing */
    wild.hears = true;
    wild_started();
    assert_true(engine_fake_kill(stage.rig.fake, find(&stage)->spec.name));
    worker_rig_wait(&stage.rig, !find(&stage));
    send_signal(&stage, SIGTERM);
    assert_int_equal(wild.signals, 0);
    peer_close(&wild.agent);
    expect_failure(&stage, ERR_BAD_GATEWAY, "the runner was lost during the run");
    finish(&stage);
}

/* Those that an earlier agent could not be told any more are not for what collects the files. */
static void signal_does_not_outlive_its_program(void **state)
{
    struct stage stage;
    struct frame frame;
    (void)state;
    begin_run(&stage, EXEC COLLECT "}");
    wild_started();
    peer_flood(&stage.caller, FRAME_STDIN, 16 * 1024 * 1024); /* which the program does not read */
    send_signal(&stage, SIGTERM);
    assert_int_equal(wild.signals, 1);
    exits(0);
    wait_for_stage(&stage, 2);
    expect_exec(AGENT_PATH " collect 1000 10 *.txt out/*");
    wild_started();
    collector_finds("a.txt", "text");
    json_decref(peer_expect_json(&stage.caller, FRAME_FOUND));
    send_signal(&stage, SIGINT);
    exits(0);
    expect_bytes(&stage.caller, FRAME_FILE_DATA, "text");
    expect_verdict(&stage, FRAME_RESULT, "ok");
    expect_bytes(&wild.agent, FRAME_STDIN_EOF, "");
    assert_false(peer_next(&wild.agent, &frame));
    assert_int_equal(wild.signals, 1);
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_follow_each_other_and_each_has_what_is_its),
        cmocka_unit_test(each_stage_on_a_runner_that_stays_is_an_operation_that_ends),
        cmocka_unit_test(each_stage_has_its_own_bound_of_output),
        cmocka_unit_test(compiler_that_fails_ends_the_run),
        cmocka_unit_test(compiler_that_cannot_start_is_named_as_such),
        cmocka_unit_test(compiler_that_takes_too_long_has_failed),
        cmocka_unit_test(run_whose_next_stage_cannot_be_is_an_error),
        cmocka_unit_test(nothing_is_collected_behind_a_program_that_was_ended),
        cmocka_unit_test(collector_that_fails_costs_the_files_alone),
        cmocka_unit_test(what_the_compiler_used_is_not_the_programs),
        cmocka_unit_test(processor_time_is_bounded),
        cmocka_unit_test(program_that_filled_its_disk_is_told_so),
        cmocka_unit_test(time_that_cannot_be_is_not_believed),
        cmocka_unit_test(agent_that_sends_garbage_loses_its_runner),
        cmocka_unit_test(signal_for_an_earlier_agent_goes_behind_the_input),
        cmocka_unit_test(signal_for_an_agent_of_today_is_no_part_of_the_operations_bytes),
        cmocka_unit_test(signal_that_comes_too_late_is_for_nobody),
        cmocka_unit_test(signal_does_not_outlive_its_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
