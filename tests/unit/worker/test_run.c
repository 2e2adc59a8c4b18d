#include "../../../src/worker/run.h"

#include "../../../src/common/clock.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../support/scratch.h"
#include "wild_engine.h"

#include <poll.h>
#include <sys/stat.h>

/* Programs that end by themselves do so at once. */
static const struct fake_script quick = {.ending = FAKE_EXITS, .stdout_bytes = 3};
static const struct fake_script silent = {.ending = FAKE_SILENT, .stdout_bytes = 3};

#define RUN "{'id':'r1','argv':['sh'],'timeMs':60000,'outputBytes':1000000,'queueMs':60000"
#define KEEP "{'id':'k1','keep':{'name':'demo','owner':'ann'},'queueMs':60000"
#define EXEC "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':60000,'outputBytes':1000000"

struct stage {
    struct worker_rig rig;
    struct peer a, b;
};

static void begin(struct stage *stage, const struct fake_script *script)
{
    *stage = (struct stage){.a = {.fd = -1}, .b = {.fd = -1}};
    worker_rig_init(&stage->rig);
    worker_rig_open(&stage->rig);
    worker_rig_script(&stage->rig, script);
    worker_rig_warm(&stage->rig, 1);
}

static void finish(struct stage *stage)
{
    worker_rig_finish(&stage->rig);
    peer_close(&stage->a);
    peer_close(&stage->b);
}

static const char *text_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_string(value) ? json_string_value(value) : "(none)";
}

static bool truncated(const json_t *result, const char *stream)
{
    return json_is_true(json_object_get(json_object_get(result, "truncated"), stream));
}

/* STARTED; its runner's name is copied. */
static void expect_started(struct peer *peer, char name[NAME_MAX_LEN + 1])
{
    json_t *started = peer_expect_json(peer, FRAME_STARTED);
    if (name)
        strcpy(name, text_of(started, "runner"));
    assert_true(json_is_number(json_object_get(started, "queuedMs")));
    json_decref(started);
}

/* Output until the result. */
static json_t *expect_result(struct peer *peer, size_t *output)
{
    struct frame frame;
    for (;;) {
        assert_true(peer_next(peer, &frame));
        if (frame.type != FRAME_STDOUT && frame.type != FRAME_STDERR)
            break;
        if (output)
            *output += frame.len;
    }
    if (frame.type != FRAME_RESULT)
        fail_msg("%s: %.*s", frame_name(frame.type), (int)frame.len, frame.payload);
    return json_loadb(frame.payload, frame.len, 0, NULL);
}

static void expect_status(struct peer *peer, const char *status)
{
    json_t *result = expect_result(peer, NULL);
    assert_string_equal(text_of(result, "status"), status);
    json_decref(result);
    peer_expect_end(peer);
}

static json_t *expect_error(struct peer *peer, enum err_code code, const char *words)
{
    struct frame frame;
    do
        assert_true(peer_next(peer, &frame));
    while (frame.type == FRAME_STDOUT || frame.type == FRAME_STDERR);
    assert_int_equal(frame.type, FRAME_LINK_ERROR);
    json_t *error = json_loadb(frame.payload, frame.len, 0, NULL);
    assert_string_equal(text_of(error, "name"), err_name(code));
    assert_contains(text_of(error, "message"), words);
    return error;
}

static void expect_failure(struct peer *peer, enum err_code code, const char *words)
{
    json_decref(expect_error(peer, code, words));
    peer_expect_end(peer);
}

static struct runner *find(struct stage *stage, const char *name)
{
    return roster_find(stage->rig.services.roster, RIG_MANAGER, name);
}

/* Keeps a runner as "demo" and starts a program on it, whose STARTED has come. */
static void keep_demo(struct stage *stage)
{
    worker_rig_run(&stage->rig, &stage->a, FRAME_RUN, KEEP "}");
    json_decref(expect_result(&stage->a, NULL));
    peer_expect_end(&stage->a);
    peer_close(&stage->a);
}

static void start_on_demo(struct stage *stage, struct peer *peer)
{
    worker_rig_run(&stage->rig, peer, FRAME_EXEC, EXEC "}");
    peer_send(peer, FRAME_STDIN_EOF, NULL, 0);
    expect_started(peer, NULL);
}

static unsigned in_use(struct stage *stage)
{
    return worker_rig_count(&stage->rig, RUNNER_IN_USE);
}

/* ---- a fresh runner ---- */

static void run_is_started_its_output_comes_and_its_runner_goes(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    struct frame frame;
    (void)state;
    begin(&stage, &quick);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    peer_send(&stage.a, FRAME_STDIN_EOF, NULL, 0);
    expect_started(&stage.a, name);
    assert_non_null(find(&stage, name));
    peer_expect(&stage.a, FRAME_STDOUT, &frame);
    assert_memory_equal(frame.payload, "abc", 3);
    json_t *result = expect_result(&stage.a, NULL);
    assert_string_equal(text_of(result, "runner"), name);
    assert_string_equal(text_of(result, "status"), "ok");
    assert_int_equal(json_integer_value(json_object_get(result, "exit")), 0);
    assert_true(json_is_null(json_object_get(result, "signal")));
    assert_false(truncated(result, "stdout"));
    assert_int_equal(json_object_size(result), 10);
    json_decref(result);
    peer_expect_end(&stage.a);
    worker_rig_wait(&stage.rig, !find(&stage, name));
    assert_int_equal(in_use(&stage), 0);
    finish(&stage);
}

static void set_stats(struct stage *stage, const char *name, const struct engine_stats *stats)
{
    assert_true(engine_fake_set_stats(stage->rig.fake, name, stats));
}

static void verdict_comes_from_the_runners_own_figures(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN,
                   "{'id':'r1','argv':['sh'],'timeMs':200,'outputBytes':2,'queueMs':60000}");
    expect_started(&stage.a, name);
    set_stats(&stage, name,
              &(struct engine_stats){.memory_bytes = 4000,
                                     .memory_peak_bytes = 9000,
                                     .cpu_us = 20500,
                                     .user_us = 15000,
                                     .system_us = 5000});
    size_t output = 0;
    json_t *result = expect_result(&stage.a, &output);
    assert_string_equal(text_of(result, "status"), "timeout");
    assert_int_equal(output, 2);
    assert_true(truncated(result, "stdout"));
    assert_false(truncated(result, "stderr"));
    assert_int_equal(json_integer_value(json_object_get(result, "memoryPeak")), 9000);
    assert_float_equal(json_number_value(json_object_get(result, "cpuUser")), 15.375, 0.001);
    assert_float_equal(json_number_value(json_object_get(result, "cpuSys")), 5.125, 0.001);
    assert_true(json_number_value(json_object_get(result, "wall")) >= 150);
    assert_string_equal(text_of(result, "signal"), "SIGKILL");
    assert_true(json_is_null(json_object_get(result, "exit")));
    json_decref(result);
    finish(&stage);
}

static void runner_that_dies_is_a_gateway_that_failed(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    expect_started(&stage.a, name);
    assert_true(engine_fake_kill(stage.rig.fake, name));
    json_t *error = expect_error(&stage.a, ERR_BAD_GATEWAY, "lost during the run");
    assert_string_equal(text_of(error, "runner"), name);
    json_decref(error);
    peer_expect_end(&stage.a);
    worker_rig_warm(&stage.rig, 1);
    finish(&stage);
}

static void runner_that_dies_while_a_killed_run_ends_changes_nothing(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN,
                   "{'id':'r1','argv':['sh'],'timeMs':1,'outputBytes':100,'queueMs':60000}");
    expect_started(&stage.a, name);
    worker_rig_wait(&stage.rig, !find(&stage, name) || find(&stage, name)->state != RUNNER_IN_USE);
    engine_fake_kill(stage.rig.fake, name);
    expect_status(&stage.a, "timeout");
    finish(&stage);
}

static void program_that_cannot_start_is_an_error_with_its_runner(void **state)
{
    static const struct {
        struct agent_failed failed;
        enum err_code code;
        const char *words;
    } cases[] = {
        {{AGENT_STAGE_EXEC, 2},
         ERR_EXECUTION_FAILED,
         "cannot execute the program: No such file or directory"},
        {{AGENT_STAGE_FILE, 28}, ERR_NO_SPACE, "cannot write the program's files: No space"},
        {{AGENT_STAGE_LIMIT, 11}, ERR_RUNNER_BUSY, "cannot start another operation"},
        {{AGENT_STAGE_PROTOCOL, 0}, ERR_EXECUTION_FAILED, "cannot understand the operation"},
        {{99, UINT32_MAX}, ERR_EXECUTION_FAILED, "cannot do something unknown"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        struct fake_script fails = {.ending = FAKE_FAILS, .failed = cases[i].failed};
        begin(&stage, &fails);
        worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
        expect_started(&stage.a, NULL);
        expect_failure(&stage.a, cases[i].code, cases[i].words);
        worker_rig_wait(&stage.rig, in_use(&stage) == 0);
        finish(&stage);
    }
}

static void agent_that_takes_no_operation_is_an_error(void **state)
{
    struct stage stage;
    (void)state;
    stage = (struct stage){.a = {.fd = -1}, .b = {.fd = -1}};
    worker_rig_init(&stage.rig);
    engine_fake_set_fate(stage.rig.fake, &(struct engine_fake_fate){.ready_us = 1,
                                                                    .die_us = ENGINE_FAKE_NEVER,
                                                                    .gone_us = 1,
                                                                    .return_us = 1,
                                                                    .refuse_open = true});
    worker_rig_open(&stage.rig);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    json_t *error = expect_error(&stage.a, ERR_BAD_GATEWAY, "is not connected");
    assert_true(json_is_null(json_object_get(error, "runner"))); /* it may be tried elsewhere */
    json_decref(error);
    worker_rig_wait(&stage.rig, in_use(&stage) == 0);
    finish(&stage);
}

static void request_that_makes_no_sense_takes_no_runner(void **state)
{
    static const struct {
        const char *message, *words;
        enum err_code code;
    } cases[] = {
        {"{'id'", "not JSON: line 1", ERR_BAD_REQUEST},
        {"{'id':'1','argv':['sh'],'timeMs':0,'outputBytes':1}", "timeMs: 0 is out of bounds",
         ERR_BAD_REQUEST},
        {RUN ",'template':'other'}", "make it: sudo codeland template build other",
         ERR_NOT_AVAILABLE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin(&stage, &quick);
        worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, cases[i].message);
        expect_failure(&stage.a, cases[i].code, cases[i].words);
        assert_int_equal(in_use(&stage), 0);
        finish(&stage);
    }
}

static void caller_that_breaks_the_order_is_told_and_the_program_killed(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    expect_started(&stage.a, NULL);
    peer_send(&stage.a, FRAME_STDIN_EOF, NULL, 0);
    peer_send(&stage.a, FRAME_STDIN_EOF, NULL, 0);
    expect_failure(&stage.a, ERR_BAD_REQUEST, "STDIN_EOF");
    worker_rig_wait(&stage.rig, in_use(&stage) == 0);
    finish(&stage);
}

struct limits_of {
    const char *name;
    struct engine_limits limits;
};

static void find_limits(const struct engine_fake_view *view, void *data)
{
    struct limits_of *seen = data;
    if (strcmp(view->name, seen->name) == 0)
        seen->limits = view->limits;
}

static void memory_asked_for_is_set_before_the_program(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN ",'memoryBytes':33554432}");
    expect_started(&stage.a, name);
    struct limits_of seen = {.name = name};
    engine_fake_each(stage.rig.fake, find_limits, &seen);
    assert_int_equal(seen.limits.memory_bytes, 33554432);
    assert_int_equal(seen.limits.processes, 64);
    finish(&stage);
}

/* ---- the queue ---- */

/* ---- its network ---- */

static void network_fate(struct stage *stage, mono_us takes_us, bool refused)
{
    *stage = (struct stage){.a = {.fd = -1}, .b = {.fd = -1}};
    worker_rig_init(&stage->rig);
    engine_fake_set_fate(stage->rig.fake, &(struct engine_fake_fate){.ready_us = 1,
                                                                     .die_us = ENGINE_FAKE_NEVER,
                                                                     .gone_us = 1,
                                                                     .return_us = 1,
                                                                     .refuse_network = refused,
                                                                     .network_us = takes_us});
    worker_rig_open(&stage->rig);
    worker_rig_script(&stage->rig, &silent);
    worker_rig_warm(&stage->rig, 1);
}

#define NAT ",'network':'nat'"

struct network_of {
    const char *name;
    bool networked;
};

static void find_network(const struct engine_fake_view *view, void *data)
{
    struct network_of *seen = data;
    if (strcmp(view->name, seen->name) == 0)
        seen->networked = view->networked;
}

static bool networked(struct stage *stage, const char *name)
{
    struct network_of seen = {.name = name};
    engine_fake_each(stage->rig.fake, find_network, &seen);
    return seen.networked;
}

static void network_is_there_before_the_program_and_only_if_asked_for(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    network_fate(&stage, 2000, false);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN NAT "}");
    expect_started(&stage.a, name);
    assert_true(networked(&stage, name));
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN, RUN ",'network':'none'}");
    expect_started(&stage.b, name);
    assert_false(networked(&stage, name));
    finish(&stage);
}

static void kept_runner_has_its_network_for_the_next_worker_too(void **state)
{
    struct stage stage;
    (void)state;
    network_fate(&stage, 10, false);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, KEEP NAT "}");
    json_decref(expect_result(&stage.a, NULL));
    assert_true(find(&stage, "demo")->spec.networked);
    worker_rig_close(&stage.rig);
    worker_rig_open(&stage.rig);
    worker_rig_wait(&stage.rig, find(&stage, "demo")->state == RUNNER_IN_USE);
    assert_true(find(&stage, "demo")->spec.networked);
    finish(&stage);
}

static void run_without_its_network_is_not_started_and_may_be_tried_elsewhere(void **state)
{
    struct stage stage;
    (void)state;
    network_fate(&stage, 10, true);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN NAT "}");
    json_t *error = expect_error(&stage.a, ERR_NOT_AVAILABLE, "no network: scripted");
    assert_true(json_is_null(json_object_get(error, "runner")));
    json_decref(error);
    worker_rig_wait(&stage.rig, in_use(&stage) == 0);
    finish(&stage);
}

static void network_that_is_switched_off_is_forbidden(void **state)
{
    struct stage stage;
    (void)state;
    network_fate(&stage, 10, false);
    stage.rig.config.network_nat = false;
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN NAT "}");
    expect_failure(&stage.a, ERR_FORBIDDEN, "network.nat");
    assert_int_equal(in_use(&stage), 0);
    finish(&stage);
}

static void kill_used(const struct engine_fake_view *view, void *data)
{
    struct stage *stage = data;
    struct runner *runner = find(stage, view->name);
    if (runner && runner->state == RUNNER_IN_USE)
        assert_true(engine_fake_kill(stage->rig.fake, view->name));
}

/* The caller, the runner, the worker: each may go while the network comes. */
static void what_goes_while_the_network_comes_leaves_nothing(void **state)
{
    for (int who = 0; who < 3; who++) {
        struct stage stage;
        network_fate(&stage, who == 1 ? US_PER_SEC * (mono_us)600 : 50 * US_PER_MS, false);
        worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN NAT "}");
        worker_rig_wait(&stage.rig, in_use(&stage) == 1);
        if (who == 0) {
            peer_close(&stage.a);
        } else if (who == 1) {
            engine_fake_each(stage.rig.fake, kill_used, &stage);
            expect_failure(&stage.a, ERR_NOT_AVAILABLE, "the container ended");
        } else {
            runs_end(stage.rig.services.runs);
            expect_failure(&stage.a, ERR_NOT_AVAILABLE, "the worker is ending");
        }
        worker_rig_wait(&stage.rig, in_use(&stage) == 0);
        finish(&stage);
    }
    (void)state;
}

static void run_waits_for_a_runner_and_its_caller_may_leave(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    stage.rig.oven_frozen = true;
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN, RUN "}");
    peer_flood(&stage.a, FRAME_STDIN, 8 * 1024 * 1024);
    struct oven_figures figures;
    oven_get_figures(ovens_find(stage.rig.services.ovens, ""), &figures);
    assert_int_equal(figures.waiting, 2);
    peer_close(&stage.a);
    worker_rig_wait(&stage.rig,
                    (oven_get_figures(ovens_find(stage.rig.services.ovens, ""), &figures),
                     figures.waiting == 1));
    stage.rig.oven_frozen = false;
    expect_started(&stage.b, NULL);
    expect_status(&stage.b, "ok");
    finish(&stage);
}

static void run_that_may_not_wait_is_refused_at_once(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    stage.rig.oven_frozen = true;
    /* The warm one is for the first. */
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN,
                   "{'id':'r2','argv':['sh'],'timeMs':1000,'outputBytes':1,'queueMs':0}");
    stage.rig.oven_frozen = false;
    json_t *error = expect_error(&stage.b, ERR_NOT_AVAILABLE, "no runner is warm");
    assert_true(json_integer_value(json_object_get(error, "retryAfterMs")) > 0);
    assert_true(json_is_null(json_object_get(error, "runner")));
    json_decref(error);
    expect_started(&stage.a, NULL);
    finish(&stage);
}

/* ---- the caller leaves ---- */

static void caller_that_leaves_ends_the_run_in_every_phase(void **state)
{
    enum { RUNNING, WITH_INPUT, ENDING, PHASES };
    (void)state;
    for (int phase = RUNNING; phase < PHASES; phase++) {
        struct stage stage;
        char name[NAME_MAX_LEN + 1];
        begin(&stage, &silent);
        worker_rig_run(&stage.rig, &stage.a, FRAME_RUN,
                       phase == ENDING ? "{'id':'r1','argv':['sh'],'timeMs':1,'outputBytes':0,"
                                         "'queueMs':60000}"
                                       : RUN "}");
        expect_started(&stage.a, name);
        if (phase == WITH_INPUT)
            peer_flood(&stage.a, FRAME_STDIN, 2 * 1024 * 1024);
        if (phase == ENDING)
            worker_rig_wait(&stage.rig, in_use(&stage) == 0);
        peer_close(&stage.a);
        worker_rig_wait(&stage.rig, !find(&stage, name));
        finish(&stage);
    }
}

/* ---- named runners ---- */

static void runner_is_kept_under_its_name_and_runs_again(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, KEEP "}");
    json_t *result = expect_result(&stage.a, NULL);
    assert_string_equal(text_of(result, "runner"), "demo");
    assert_int_equal(json_object_size(result), 2); /* nothing was run */
    json_decref(result);
    peer_expect_end(&stage.a);
    struct runner *demo = find(&stage, "demo");
    assert_true(demo->kept);
    assert_string_equal(demo->owner, "ann");
    assert_true(scratch_exists(scratch_path(stage.rig.folder, "runners")));
    for (int i = 0; i < 3; i++) {
        start_on_demo(&stage, &stage.b);
        expect_status(&stage.b, "ok");
        peer_close(&stage.b);
    }
    assert_string_equal(demo->last_status, "ok");
    assert_int_equal(demo->operations, 3);
    assert_int_equal(demo->active, 0);
    assert_ptr_equal(find(&stage, "demo"), demo);
    finish(&stage);
}

static void first_program_runs_on_the_runner_that_is_kept(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage, &quick);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN ",'keep':{'name':'demo','owner':'ann'}}");
    expect_started(&stage.a, name);
    assert_string_equal(name, "demo");
    expect_status(&stage.a, "ok");
    assert_true(find(&stage, "demo")->kept);
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN, RUN ",'keep':{'owner':'bob'}}");
    expect_started(&stage.b, name);
    expect_status(&stage.b, "ok");
    assert_string_equal(find(&stage, name)->owner, "bob"); /* under its own name */
    finish(&stage);
}

static void taken_name_is_refused_without_a_runner_or_with_it_gone(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    keep_demo(&stage);
    unsigned before = in_use(&stage);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, KEEP "}");
    expect_failure(&stage.a, ERR_NAME_TAKEN, "there is a runner demo already");
    assert_int_equal(in_use(&stage), before);
    peer_close(&stage.a);

    /* Two who want the same name wait side by side: one of them gets it. */
    stage.rig.oven_frozen = true;
    static const char both[] = "{'id':'k2','keep':{'name':'both','owner':'ann'},'queueMs':60000}";
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, both);
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN, both);
    stage.rig.oven_frozen = false;
    json_decref(expect_result(&stage.a, NULL));
    expect_failure(&stage.b, ERR_NAME_TAKEN, "both");
    worker_rig_wait(&stage.rig, in_use(&stage) == before + 1);
    finish(&stage);
}

static void runner_whose_first_program_cannot_start_is_not_kept(void **state)
{
    struct stage stage;
    const struct fake_script fails = {.ending = FAKE_FAILS, .failed = {AGENT_STAGE_EXEC, 2}};
    (void)state;
    begin(&stage, &fails);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN ",'keep':{'name':'demo','owner':'ann'}}");
    expect_started(&stage.a, NULL);
    expect_failure(&stage.a, ERR_EXECUTION_FAILED, "execute the program");
    worker_rig_wait(&stage.rig, !find(&stage, "demo"));
    finish(&stage);
}

static void runner_whose_maker_leaves_is_not_kept(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN ",'keep':{'name':'demo','owner':'ann'}}");
    expect_started(&stage.a, NULL);
    peer_close(&stage.a);
    worker_rig_wait(&stage.rig, !find(&stage, "demo"));
    finish(&stage);
}

static void runner_that_cannot_be_noted_is_not_kept(void **state)
{
    struct stage stage = {.a = {.fd = -1}, .b = {.fd = -1}};
    (void)state;
    worker_rig_init(&stage.rig);
    scratch_small(stage.rig.folder, 1 << 20);
    worker_rig_open(&stage.rig);
    scratch_fill(stage.rig.folder);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, KEEP "}");
    expect_failure(&stage.a, ERR_NO_SPACE, "the worker cannot note that it has demo");
    worker_rig_wait(&stage.rig, in_use(&stage) == 0 && !find(&stage, "demo"));
    peer_close(&stage.a);
    /* Runs that leave no trace go on, and with room it works again. */
    worker_rig_script(&stage.rig, &quick);
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN, RUN "}");
    expect_started(&stage.b, NULL);
    expect_status(&stage.b, "ok");
    scratch_unfill(stage.rig.folder);
    keep_demo(&stage);
    finish(&stage);
}

static void exec_needs_a_named_runner(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1], message[256];
    (void)state;
    begin(&stage, &silent);
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC, EXEC "}");
    expect_failure(&stage.a, ERR_RUNNER_NOT_FOUND, "there is no runner demo");
    peer_close(&stage.a);
    /* A throw-away one has a name too, but it is nobody's. */
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    expect_started(&stage.a, name);
    snprintf(message, sizeof(message),
             "{'id':'e','runner':'%s','argv':['sh'],'timeMs':1,'outputBytes':1}", name);
    worker_rig_run(&stage.rig, &stage.b, FRAME_EXEC, message);
    expect_failure(&stage.b, ERR_RUNNER_NOT_FOUND, name);
    finish(&stage);
}

static void programs_overlap_on_a_named_runner(void **state)
{
    struct stage stage;
    const struct fake_script slow = {
        .ending = FAKE_EXITS, .run_us = 30 * US_PER_MS, .exit = {.exit = 7}};
    (void)state;
    begin(&stage, &silent);
    struct frame frame;
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    peer_expect(&stage.a, FRAME_STDOUT, &frame);
    worker_rig_script(&stage.rig, &slow);
    start_on_demo(&stage, &stage.b);
    assert_int_equal(find(&stage, "demo")->active, 2);
    /* The runner's faults may be the other's: this one exited. */
    set_stats(&stage, find(&stage, "demo")->spec.name, &(struct engine_stats){.oom_kills = 5});
    expect_status(&stage.b, "exit");
    assert_int_equal(find(&stage, "demo")->active, 1);
    peer_close(&stage.a);
    worker_rig_wait(&stage.rig, find(&stage, "demo")->active == 0);
    finish(&stage);
}

static void fault_on_a_named_runner_is_that_of_the_program_alone_on_it(void **state)
{
    struct stage stage;
    const struct fake_script fails = {.ending = FAKE_EXITS,
                                      .run_us = 30 * US_PER_MS,
                                      .exit = {.signal = 9, .max_rss_bytes = 4096}};
    (void)state;
    begin(&stage, &fails);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    set_stats(&stage, find(&stage, "demo")->spec.name,
              &(struct engine_stats){.oom_kills = 1, .memory_peak_bytes = 1 << 20});
    json_t *result = expect_result(&stage.a, NULL);
    assert_string_equal(text_of(result, "status"), "memory");
    /* The peak may be that of a process that was there before. */
    assert_int_equal(json_integer_value(json_object_get(result, "memoryPeak")), 4096);
    json_decref(result);
    start_on_demo(&stage, &stage.b); /* the kill before it is not its own */
    expect_status(&stage.b, "signal");
    finish(&stage);
}

static void program_on_a_named_runner_is_killed_alone(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC,
                   "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':50,'outputBytes':100}");
    expect_started(&stage.a, NULL);
    size_t output = 0;
    json_t *result = expect_result(&stage.a, &output);
    assert_string_equal(text_of(result, "status"), "timeout");
    assert_string_equal(text_of(result, "signal"), "SIGKILL");
    assert_int_equal(output, 3);
    json_decref(result);
    assert_int_equal(find(&stage, "demo")->state, RUNNER_IN_USE);
    worker_rig_script(&stage.rig, &quick);
    start_on_demo(&stage, &stage.b);
    expect_status(&stage.b, "ok");
    finish(&stage);
}

static void named_runner_that_is_destroyed_ends_all_its_runs(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    start_on_demo(&stage, &stage.b);
    runner_destroy(find(&stage, "demo"));
    expect_status(&stage.a, "killed");
    expect_status(&stage.b, "killed");
    peer_close(&stage.a);
    worker_rig_wait(&stage.rig, !find(&stage, "demo"));
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC, EXEC "}");
    expect_failure(&stage.a, ERR_RUNNER_NOT_FOUND, "demo");
    finish(&stage);
}

static void named_runner_that_dies_fails_all_its_runs(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    start_on_demo(&stage, &stage.b);
    assert_true(engine_fake_kill(stage.rig.fake, find(&stage, "demo")->spec.name));
    expect_failure(&stage.a, ERR_BAD_GATEWAY, "lost");
    expect_failure(&stage.b, ERR_BAD_GATEWAY, "lost");
    finish(&stage);
}

static void caller_that_leaves_kills_its_program_but_not_the_runner(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    assert_int_equal(engine_fake_count(stage.rig.fake).operations, 1);
    peer_close(&stage.a);
    worker_rig_wait(&stage.rig, engine_fake_count(stage.rig.fake).operations == 0);
    assert_int_equal(find(&stage, "demo")->state, RUNNER_IN_USE);
    assert_string_equal(find(&stage, "demo")->last_status, "killed");
    finish(&stage);
}

static void runner_that_comes_back_with_its_worker_is_awaited(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    keep_demo(&stage);
    worker_rig_close(&stage.rig);
    worker_rig_open(&stage.rig);
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC, EXEC "}");
    json_t *error = expect_error(&stage.a, ERR_NOT_AVAILABLE, "runner demo is coming back");
    assert_true(json_integer_value(json_object_get(error, "retryAfterMs")) > 0);
    json_decref(error);
    worker_rig_wait(&stage.rig, find(&stage, "demo")->state == RUNNER_IN_USE);
    start_on_demo(&stage, &stage.b);
    expect_status(&stage.b, "ok");
    finish(&stage);
}

/* ---- agents that do what they like ---- */

static void begin_wild(struct stage *stage)
{
    begin(stage, &silent);
    wild_begin(&stage->rig);
}

static void finish_wild(struct stage *stage)
{
    wild_finish();
    finish(stage);
}

static void agent_that_makes_no_sense_loses_its_runner_even_a_named_one(void **state)
{
    struct stage stage;
    (void)state;
    begin_wild(&stage);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    peer_send_text(&wild.agent, FRAME_AGENT_HELLO, "12345678");
    expect_failure(&stage.a, ERR_BAD_GATEWAY, "the runner's agent sent AGENT_HELLO");
    worker_rig_wait(&stage.rig, !find(&stage, "demo"));
    finish_wild(&stage);
}

static void agent_that_drops_a_program_fails_it_alone(void **state)
{
    struct stage stage;
    (void)state;
    begin_wild(&stage);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    wild_started();
    peer_close(&wild.agent);
    expect_failure(&stage.a, ERR_BAD_GATEWAY, "the runner was lost during the run");
    assert_int_equal(wild.kills, 1);
    assert_int_equal(wild.ends, 1);
    assert_int_equal(find(&stage, "demo")->state, RUNNER_IN_USE);
    finish_wild(&stage);
}

static void runner_that_dies_for_want_of_memory_is_memory(void **state)
{
    struct stage stage;
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin_wild(&stage);
    worker_rig_run(&stage.rig, &stage.a, FRAME_RUN, RUN "}");
    expect_started(&stage.a, name);
    wild_started();
    set_stats(&stage, name, &(struct engine_stats){.oom_kills = 1});
    peer_close(&wild.agent); /* which is heard of before the container's end */
    expect_status(&stage.a, "memory");
    finish_wild(&stage);
}

static void killed_program_whose_agent_says_nothing_is_answered(void **state)
{
    struct stage stage;
    (void)state;
    begin_wild(&stage);
    keep_demo(&stage);
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC,
                   "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':20,'outputBytes':100}");
    expect_started(&stage.a, NULL);
    wild_started();
    json_t *result = expect_result(&stage.a, NULL);
    assert_string_equal(text_of(result, "status"), "timeout");
    /* Not the time that was spent waiting for the agent. */
    assert_true(json_number_value(json_object_get(result, "wall")) < 2000);
    json_decref(result);
    assert_int_equal(wild.kills, 2);
    assert_int_equal(find(&stage, "demo")->state, RUNNER_IN_USE);
    finish_wild(&stage);
}

static void slow_caller_gets_all_output_of_a_killed_program(void **state)
{
    struct stage stage;
    (void)state;
    begin_wild(&stage);
    keep_demo(&stage);
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC,
                   "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':20,"
                   "'outputBytes':100000000}");
    expect_started(&stage.a, NULL);
    wild_started();
    size_t sent = peer_flood(&wild.agent, FRAME_STDOUT, 64 * 1024 * 1024), output = 0;
    worker_rig_wait(&stage.rig, wild.kills == 1);
    /* The rest of the frame that the socket cut off, then the end. */
    size_t rest = (FRAME_HEADER_LEN + FRAME_DATA_MAX) - sent % (FRAME_HEADER_LEN + FRAME_DATA_MAX);
    static const char zeros[FRAME_HEADER_LEN + FRAME_DATA_MAX];
    for (mono_us until = clock_now(&clock_system) + US_PER_SEC; clock_now(&clock_system) < until;)
        worker_rig_turn(&stage.rig);
    assert_false(stage.a.over);
    struct frame frame;
    for (size_t i = 0; i < 4; i++) { /* he takes some, so that there is room for the end */
        peer_expect(&stage.a, FRAME_STDOUT, &frame);
        output += frame.len;
    }
    peer_send_bytes(&wild.agent, zeros, rest % (FRAME_HEADER_LEN + FRAME_DATA_MAX));
    wild_exits(&(struct agent_exit){.signal = 9});
    json_t *result = expect_result(&stage.a, &output);
    assert_string_equal(text_of(result, "status"), "timeout");
    assert_false(truncated(result, "stdout"));
    size_t frames =
        (sent + rest % (FRAME_HEADER_LEN + FRAME_DATA_MAX)) / (FRAME_HEADER_LEN + FRAME_DATA_MAX);
    assert_int_equal(output, frames * FRAME_DATA_MAX);
    json_decref(result);
    finish_wild(&stage);
}

static void caller_who_takes_nothing_does_not_hold_a_killed_run(void **state)
{
    struct stage stage;
    (void)state;
    begin_wild(&stage);
    keep_demo(&stage);
    worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC,
                   "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':20,"
                   "'outputBytes':100000000}");
    expect_started(&stage.a, NULL);
    wild_started();
    peer_flood(&wild.agent, FRAME_STDOUT, 64 * 1024 * 1024);
    worker_rig_wait(&stage.rig, find(&stage, "demo")->active == 0);
    size_t output = 0;
    json_t *result = expect_result(&stage.a, &output); /* what had been read is there */
    assert_string_equal(text_of(result, "status"), "timeout");
    assert_true(truncated(result, "stdout"));
    assert_true(output > 0);
    json_decref(result);
    finish_wild(&stage);
}

static void program_that_ends_as_its_time_does_has_ended(void **state)
{
    static const struct {
        struct agent_exit exit;
        const char *status;
    } cases[] = {
        {{.exit = 0, .wall_us = 19000}, "ok"},
        {{.exit = 4, .wall_us = 19999}, "exit"},
        {{.signal = 11, .wall_us = 1}, "signal"},
        {{.exit = 0, .wall_us = 20000}, "timeout"},   /* too late, if only just */
        {{.signal = 9, .wall_us = 19000}, "timeout"}, /* that was the kill */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin_wild(&stage);
        keep_demo(&stage);
        worker_rig_run(&stage.rig, &stage.a, FRAME_EXEC,
                       "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':20,'outputBytes':1}");
        expect_started(&stage.a, NULL);
        wild_started();
        wild_exits(&cases[i].exit);
        /* Nobody turns the loop until the timer is due too: it comes first then. */
        for (mono_us until = clock_now(&clock_system) + 30 * US_PER_MS;
             clock_now(&clock_system) < until;)
            poll(NULL, 0, 1);
        expect_status(&stage.a, cases[i].status);
        assert_int_equal(wild.kills, 1);
        finish_wild(&stage);
    }
}

/* ---- the worker ends ---- */

static void every_run_is_answered_when_the_worker_ends(void **state)
{
    struct stage stage;
    struct peer c = {.fd = -1}, d = {.fd = -1};
    char name[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    start_on_demo(&stage, &stage.a);
    worker_rig_run(&stage.rig, &stage.b, FRAME_RUN, RUN "}");
    expect_started(&stage.b, name);
    stage.rig.oven_frozen = true;
    worker_rig_run(&stage.rig, &c, FRAME_RUN, RUN "}");
    worker_rig_run(&stage.rig, &d, FRAME_RUN, KEEP "}");
    expect_failure(&d, ERR_NAME_TAKEN, "demo");

    runs_end(stage.rig.services.runs);
    expect_failure(&stage.a, ERR_BAD_GATEWAY, "the worker was stopped during the run");
    expect_failure(&stage.b, ERR_BAD_GATEWAY, "the worker was stopped during the run");
    expect_failure(&c, ERR_NOT_AVAILABLE, "the worker is ending");
    assert_int_equal(find(&stage, "demo")->state, RUNNER_IN_USE); /* its fate is another's affair */
    assert_int_equal(find(&stage, "demo")->active, 0);
    worker_rig_wait(&stage.rig, !find(&stage, name));
    assert_int_equal(engine_fake_count(stage.rig.fake).operations, 0);
    peer_close(&c);
    peer_close(&d);
    finish(&stage);
}

static void many_runs_at_once_all_end(void **state)
{
    struct stage stage;
    enum { RUNS = 100 };
    static struct peer peers[RUNS];
    (void)state;
    begin(&stage, &quick);
    worker_rig_close(&stage.rig);
    stage.rig.oven_config.queue_length = RUNS;
    worker_rig_open(&stage.rig);
    for (int i = 0; i < RUNS; i++) {
        worker_rig_run(&stage.rig, &peers[i], FRAME_RUN, RUN "}");
        if (i % 10 == 3)
            peer_close(&peers[i]);
    }
    for (int i = 0; i < RUNS; i++) {
        if (i % 10 == 3)
            continue;
        expect_started(&peers[i], NULL);
        expect_status(&peers[i], "ok");
        peer_close(&peers[i]);
    }
    worker_rig_wait(&stage.rig, in_use(&stage) == 0);
    finish(&stage);
}

int main(void)
{
    scratch_own_mounts();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_is_started_its_output_comes_and_its_runner_goes),
        cmocka_unit_test(verdict_comes_from_the_runners_own_figures),
        cmocka_unit_test(runner_that_dies_is_a_gateway_that_failed),
        cmocka_unit_test(runner_that_dies_while_a_killed_run_ends_changes_nothing),
        cmocka_unit_test(program_that_cannot_start_is_an_error_with_its_runner),
        cmocka_unit_test(agent_that_takes_no_operation_is_an_error),
        cmocka_unit_test(request_that_makes_no_sense_takes_no_runner),
        cmocka_unit_test(caller_that_breaks_the_order_is_told_and_the_program_killed),
        cmocka_unit_test(memory_asked_for_is_set_before_the_program),
        cmocka_unit_test(network_is_there_before_the_program_and_only_if_asked_for),
        cmocka_unit_test(kept_runner_has_its_network_for_the_next_worker_too),
        cmocka_unit_test(run_without_its_network_is_not_started_and_may_be_tried_elsewhere),
        cmocka_unit_test(network_that_is_switched_off_is_forbidden),
        cmocka_unit_test(what_goes_while_the_network_comes_leaves_nothing),
        cmocka_unit_test(run_waits_for_a_runner_and_its_caller_may_leave),
        cmocka_unit_test(run_that_may_not_wait_is_refused_at_once),
        cmocka_unit_test(caller_that_leaves_ends_the_run_in_every_phase),
        cmocka_unit_test(runner_is_kept_under_its_name_and_runs_again),
        cmocka_unit_test(first_program_runs_on_the_runner_that_is_kept),
        cmocka_unit_test(taken_name_is_refused_without_a_runner_or_with_it_gone),
        cmocka_unit_test(runner_whose_first_program_cannot_start_is_not_kept),
        cmocka_unit_test(runner_whose_maker_leaves_is_not_kept),
        cmocka_unit_test(runner_that_cannot_be_noted_is_not_kept),
        cmocka_unit_test(exec_needs_a_named_runner),
        cmocka_unit_test(programs_overlap_on_a_named_runner),
        cmocka_unit_test(fault_on_a_named_runner_is_that_of_the_program_alone_on_it),
        cmocka_unit_test(program_on_a_named_runner_is_killed_alone),
        cmocka_unit_test(named_runner_that_is_destroyed_ends_all_its_runs),
        cmocka_unit_test(named_runner_that_dies_fails_all_its_runs),
        cmocka_unit_test(caller_that_leaves_kills_its_program_but_not_the_runner),
        cmocka_unit_test(runner_that_comes_back_with_its_worker_is_awaited),
        cmocka_unit_test(agent_that_makes_no_sense_loses_its_runner_even_a_named_one),
        cmocka_unit_test(agent_that_drops_a_program_fails_it_alone),
        cmocka_unit_test(runner_that_dies_for_want_of_memory_is_memory),
        cmocka_unit_test(killed_program_whose_agent_says_nothing_is_answered),
        cmocka_unit_test(slow_caller_gets_all_output_of_a_killed_program),
        cmocka_unit_test(caller_who_takes_nothing_does_not_hold_a_killed_run),
        cmocka_unit_test(program_that_ends_as_its_time_does_has_ended),
        cmocka_unit_test(every_run_is_answered_when_the_worker_ends),
        cmocka_unit_test(many_runs_at_once_all_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
