#include "../../../src/worker/relay.h"

#include "../../../src/common/mem.h"
#include "../../support/loop_wait.h"
#include "peer.h"

#include <stdlib.h>
#include <sys/socket.h>

/* Both ends of a relay are the test's. */
struct stage {
    uv_loop_t loop;
    struct relay *relay;
    struct op_run request;
    struct peer caller, agent;
    unsigned ends;
    struct relay_end end;
    bool hears; /* the agent, past its socket */
    int heard[4];
    unsigned heard_len;
};

static void turn(void *data)
{
    struct stage *stage = data;
    struct pollfd ready = {.fd = uv_backend_fd(&stage->loop), .events = POLLIN};
    uv_run(&stage->loop, UV_RUN_NOWAIT);
    poll(&ready, 1, 1);
}

static void on_over(const struct relay_end *end, void *data)
{
    struct stage *stage = data;
    stage->ends++;
    stage->end = *end;
    relay_destroy(stage->relay);
    stage->relay = NULL;
}

static const struct chan_ops no_ops = {.on_frame = NULL};

static void begin(struct stage *stage, const char *message)
{
    struct err err;
    *stage = (struct stage){.ends = 0};
    uv_loop_init(&stage->loop);
    assert_ok(op_run_parse(message, strlen(message), false, &stage->request, &err), err);
    int fd = peer_pair(&stage->caller, turn, stage);
    struct chan *link = chan_create(&stage->loop, fd, &no_ops, NULL, &err);
    stage->relay = relay_create(&stage->loop, link, &stage->request, on_over, stage);
}

static bool on_signal(int number, void *data)
{
    struct stage *stage = data;
    if (stage->hears)
        stage->heard[stage->heard_len++] = number;
    return stage->hears;
}

static void open_agent(struct stage *stage)
{
    struct err err;
    const struct relay_stage whole = {
        .exec = &stage->request.exec,
        .files = true,
        .input = true,
        .output_bytes = stage->request.output_bytes,
        .signal = on_signal,
    };
    assert_ok(relay_open(stage->relay, peer_pair(&stage->agent, turn, stage), &whole, &err), err);
}

static void finish(struct stage *stage)
{
    relay_destroy(stage->relay);
    peer_close(&stage->caller);
    if (stage->agent.turn)
        peer_close(&stage->agent);
    op_run_finish(&stage->request);
    loop_finish(&stage->loop);
}

#define PLAIN "{\"id\":\"1\",\"argv\":[\"sh\"],\"timeMs\":1000,\"outputBytes\":1000000000}"

/* A relay whose program is about to run. */
static void begin_running(struct stage *stage, const char *message)
{
    struct frame frame;
    begin(stage, message);
    open_agent(stage);
    peer_expect(&stage->agent, FRAME_AGENT_EXEC, &frame);
}

static void send_started(struct stage *stage)
{
    unsigned char payload[64];
    const struct agent_started started = {.pid = 2};
    peer_send(&stage->agent, FRAME_AGENT_STARTED, payload,
              agent_started_encode(&started, payload, sizeof(payload)));
}

static void send_exit(struct stage *stage, const struct agent_exit *exit)
{
    unsigned char payload[64];
    peer_send(&stage->agent, FRAME_AGENT_EXIT, payload,
              agent_exit_encode(exit, payload, sizeof(payload)));
}

static void wait_for_end(struct stage *stage, enum relay_outcome outcome)
{
    loop_wait(&stage->loop, stage->ends > 0);
    assert_int_equal(stage->ends, 1);
    assert_int_equal(stage->end.outcome, outcome);
}

/* ---- from the caller to the agent ---- */

static void expect_file(struct stage *stage, const char *name, uint32_t mode, uint32_t unlink_after)
{
    struct frame frame;
    struct agent_file file;
    peer_expect(&stage->agent, FRAME_AGENT_FILE, &frame);
    assert_true(agent_file_decode(frame.payload, frame.len, &file));
    assert_string_equal(file.name, name);
    assert_string_equal(file.folder, "/work");
    assert_int_equal(file.mode, mode);
    assert_int_equal(file.unlink_after, unlink_after);
}

static void expect_bytes(struct peer *peer, enum frame_type type, const char *bytes)
{
    struct frame frame;
    peer_expect(peer, type, &frame);
    assert_int_equal(frame.len, strlen(bytes));
    assert_memory_equal(frame.payload, bytes, frame.len);
}

static void each_file_is_announced_in_its_turn_and_the_program_last(void **state)
{
    struct stage stage;
    struct frame frame;
    struct agent_exec exec;
    (void)state;
    begin(&stage, "{\"id\":\"1\",\"argv\":[\"sh\",\"b\"],\"cwd\":\"/work\",\"env\":{\"A\":\"1\"},"
                  "\"files\":[{\"name\":\"empty\",\"bytes\":0},"
                  "{\"name\":\"b\",\"bytes\":6,\"mode\":493,\"unlinkAfter\":true},"
                  "{\"name\":\"also-empty\",\"bytes\":0}],\"timeMs\":1000,\"outputBytes\":10}");
    peer_send_text(&stage.caller, FRAME_FILE_DATA, "abc");
    peer_send_text(&stage.caller, FRAME_FILE_DATA, "");
    peer_send_text(&stage.caller, FRAME_FILE_DATA, "def");
    peer_send_text(&stage.caller, FRAME_STDIN, "input");
    peer_send_text(&stage.caller, FRAME_STDIN_EOF, "");
    open_agent(&stage);

    expect_file(&stage, "empty", 0644, 0);
    expect_file(&stage, "b", 0755, 1);
    expect_bytes(&stage.agent, FRAME_FILE_DATA, "abc");
    expect_bytes(&stage.agent, FRAME_FILE_DATA, "");
    expect_bytes(&stage.agent, FRAME_FILE_DATA, "def");
    expect_file(&stage, "also-empty", 0644, 0);
    peer_expect(&stage.agent, FRAME_AGENT_EXEC, &frame);
    assert_true(agent_exec_decode(frame.payload, frame.len, &exec));
    assert_string_equal(exec.argv[1], "b");
    assert_string_equal(exec.cwd, "/work");
    expect_bytes(&stage.agent, FRAME_STDIN, "input");
    expect_bytes(&stage.agent, FRAME_STDIN_EOF, "");
    assert_int_equal(stage.ends, 0);
    finish(&stage);
}

static void caller_that_sends_what_does_not_belong_is_told(void **state)
{
    static const struct {
        enum frame_type before[2]; /* 0: none */
        enum frame_type wrong;
        size_t len;
    } cases[] = {
        {{0}, FRAME_STDIN, 1},                                    /* the file is not complete */
        {{0}, FRAME_FILE_DATA, 4},                                /* a byte too many */
        {{FRAME_FILE_DATA}, FRAME_FILE_DATA, 0},                  /* the program runs already */
        {{FRAME_FILE_DATA, FRAME_STDIN_EOF}, FRAME_STDIN, 1},     /* after the end */
        {{FRAME_FILE_DATA, FRAME_STDIN_EOF}, FRAME_STDIN_EOF, 0}, /* twice */
        {{FRAME_FILE_DATA}, FRAME_RUN, 2},                        /* another operation */
        {{FRAME_FILE_DATA}, FRAME_STDOUT, 1},                     /* the other direction's */
        {{FRAME_FILE_DATA}, FRAME_AGENT_EXIT, 40},                /* another hop's */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin(&stage, "{\"id\":\"1\",\"argv\":[\"sh\"],\"files\":[{\"name\":\"f\",\"bytes\":3}],"
                      "\"timeMs\":1000,\"outputBytes\":10}");
        open_agent(&stage);
        for (size_t k = 0; k < 2 && cases[i].before[k]; k++)
            peer_send(&stage.caller, cases[i].before[k], "abc",
                      cases[i].before[k] == FRAME_FILE_DATA ? 3 : 0);
        char bytes[64] = {0};
        peer_send(&stage.caller, cases[i].wrong, bytes, cases[i].len);
        wait_for_end(&stage, RELAY_CALLER_WRONG);
        assert_int_equal(stage.end.why.code, ERR_BAD_REQUEST);
        assert_contains(stage.end.why.msg, frame_name((uint8_t)cases[i].wrong));
        finish(&stage);
    }
}

static void input_that_nobody_reads_stays_with_the_caller(void **state)
{
    struct stage stage;
    struct frame frame;
    (void)state;
    begin_running(&stage, PLAIN);
    size_t most = 100 * 1024 * 1024;
    size_t taken = peer_flood(&stage.caller, FRAME_STDIN, most);
    assert_in_range(taken, 1, 2 * 1024 * 1024); /* two sockets' and a channel's queue */
    /* The program begins to read after all: it goes on, and nothing is lost. */
    size_t got = 0;
    for (size_t i = 0; i < 10; i++) {
        peer_expect(&stage.agent, FRAME_STDIN, &frame);
        got += frame.len;
    }
    assert_int_equal(got, 10 * FRAME_DATA_MAX);
    while (got + FRAME_DATA_MAX < taken) {
        peer_expect(&stage.agent, FRAME_STDIN, &frame);
        got += frame.len;
    }
    finish(&stage);
}

static void nothing_is_read_before_there_is_an_agent(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, PLAIN);
    assert_in_range(peer_flood(&stage.caller, FRAME_STDIN, 100 * 1024 * 1024), 1, 1024 * 1024);
    finish(&stage);
}

static void signals_wait_for_the_program_and_for_nothing_else(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, PLAIN);
    stage.hears = true;
    relay_signal(stage.relay, 15);
    open_agent(&stage);
    relay_signal(stage.relay, 2);
    relay_signal(stage.relay, 15); /* the same, as long as it waits */
    assert_int_equal(stage.heard_len, 0);
    send_started(&stage);
    loop_wait(&stage.loop, stage.heard_len == 2);
    assert_int_equal(stage.heard[0], 2);
    assert_int_equal(stage.heard[1], 15);
    peer_flood(&stage.caller, FRAME_STDIN, 100 * 1024 * 1024);
    relay_signal(stage.relay, 64);
    assert_int_equal(stage.heard_len, 3);
    assert_int_equal(stage.heard[2], 64);
    finish(&stage);
}

/* An agent of before protocol 2 has them in its turn; none is lost, and nothing grows. */
static void signals_for_an_earlier_agent_go_with_the_input(void **state)
{
    struct stage stage;
    struct frame frame;
    struct agent_signal signal = {.signal = 0};
    (void)state;
    begin_running(&stage, PLAIN);
    relay_signal(stage.relay, 1);
    assert_false(peer_has_frame(&stage.agent));
    send_started(&stage);
    peer_expect(&stage.agent, FRAME_AGENT_SIGNAL, &frame);
    assert_true(agent_signal_decode(frame.payload, frame.len, &signal));
    assert_int_equal(signal.signal, 1);
    assert_int_equal(signal.group, 1);
    peer_flood(&stage.caller, FRAME_STDIN, 100 * 1024 * 1024);
    for (int i = 0; i < 1000000; i++)
        relay_signal(stage.relay, 10);
    do
        assert_true(peer_next(&stage.agent, &frame));
    while (frame.type == FRAME_STDIN);
    assert_int_equal(frame.type, FRAME_AGENT_SIGNAL);
    assert_true(agent_signal_decode(frame.payload, frame.len, &signal));
    assert_int_equal(signal.signal, 10);
    finish(&stage);
}

/* ---- the caller goes away ---- */

static void caller_that_goes_away_is_noticed_while_his_input_waits(void **state)
{
    enum { BEFORE, READ_SLOWLY, CLOSED, OPEN, WAYS };
    (void)state;
    for (int way = BEFORE; way < WAYS; way++) {
        struct stage stage;
        if (way == BEFORE)
            begin(&stage, PLAIN);
        else
            begin_running(&stage, PLAIN);
        if (way == CLOSED)
            relay_close_input(stage.relay);
        if (way != OPEN)
            peer_flood(&stage.caller, FRAME_STDIN, 100 * 1024 * 1024);
        assert_int_equal(stage.ends, 0);
        peer_close(&stage.caller);
        wait_for_end(&stage, RELAY_CALLER_GONE);
        finish(&stage);
    }
}

static void caller_that_closes_one_direction_has_gone(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, PLAIN);
    shutdown(stage.caller.fd, SHUT_WR);
    wait_for_end(&stage, RELAY_CALLER_GONE);
    finish(&stage);
}

/* ---- from the agent to the caller ---- */

static void output_is_cut_at_its_bound_each_stream_by_itself(void **state)
{
    struct stage stage;
    (void)state;
    begin_running(&stage, "{\"id\":\"1\",\"argv\":[\"sh\"],\"timeMs\":1000,\"outputBytes\":5}");
    send_started(&stage);
    peer_send_text(&stage.agent, FRAME_STDOUT, "abc");
    peer_send_text(&stage.agent, FRAME_STDERR, "12345");
    peer_send_text(&stage.agent, FRAME_STDOUT, "defg");
    peer_send_text(&stage.agent, FRAME_STDOUT, "hij");
    expect_bytes(&stage.caller, FRAME_STDOUT, "abc");
    expect_bytes(&stage.caller, FRAME_STDERR, "12345");
    expect_bytes(&stage.caller, FRAME_STDOUT, "de");
    loop_wait(&stage.loop, relay_truncated(stage.relay, FRAME_STDOUT));
    assert_false(relay_truncated(stage.relay, FRAME_STDERR));
    peer_send_text(&stage.agent, FRAME_STDERR, "6");
    loop_wait(&stage.loop, relay_truncated(stage.relay, FRAME_STDERR));
    assert_false(peer_has_frame(&stage.caller));
    finish(&stage);
}

static void no_output_is_wanted(void **state)
{
    struct stage stage;
    (void)state;
    begin_running(&stage, "{\"id\":\"1\",\"argv\":[\"sh\"],\"timeMs\":1000,\"outputBytes\":0}");
    send_started(&stage);
    /* A gigabyte is read and dropped: it takes memory for one piece. */
    size_t most = 64 * 1024 * 1024;
    assert_true(peer_flood(&stage.agent, FRAME_STDOUT, most) >= most);
    assert_false(peer_has_frame(&stage.caller));
    assert_true(relay_truncated(stage.relay, FRAME_STDOUT));
    finish(&stage);
}

static void slow_caller_stops_the_program_and_loses_nothing(void **state)
{
    struct stage stage;
    struct frame frame;
    (void)state;
    begin_running(&stage, PLAIN);
    send_started(&stage);
    size_t most = 100 * 1024 * 1024;
    size_t taken = peer_flood(&stage.agent, FRAME_STDOUT, most);
    assert_in_range(taken, 1, 2 * 1024 * 1024);
    assert_true(relay_waits(stage.relay));
    relay_stalled(stage.relay);
    assert_true(relay_stalled(stage.relay));
    assert_true(relay_truncated(stage.relay, FRAME_STDERR)); /* not read yet */
    size_t got = 0;
    while (got + FRAME_DATA_MAX < taken) {
        peer_expect(&stage.caller, FRAME_STDOUT, &frame);
        got += frame.len;
    }
    loop_wait(&stage.loop, !relay_waits(stage.relay));
    assert_false(relay_stalled(stage.relay));
    assert_false(relay_truncated(stage.relay, FRAME_STDOUT));
    finish(&stage);
}

static void caller_who_takes_a_little_has_not_stalled(void **state)
{
    struct stage stage;
    struct frame frame;
    (void)state;
    begin_running(&stage, PLAIN);
    send_started(&stage);
    peer_flood(&stage.agent, FRAME_STDOUT, 100 * 1024 * 1024);
    relay_stalled(stage.relay);
    assert_true(relay_stalled(stage.relay));
    for (int i = 0; i < 3; i++)
        peer_expect(&stage.caller, FRAME_STDOUT, &frame);
    for (int i = 0; i < 10; i++)
        turn(&stage);
    assert_false(relay_stalled(stage.relay));
    finish(&stage);
}

/* ---- the end ---- */

static void the_end_says_what_the_agent_said(void **state)
{
    struct stage stage;
    unsigned char payload[64];
    const struct agent_exit exit = {
        .exit = 3, .user_us = 1, .system_us = 2, .max_rss_bytes = 4096, .wall_us = 77};
    const struct agent_failed failed = {.stage = AGENT_STAGE_CWD, .sys_errno = 2};
    (void)state;
    begin_running(&stage, PLAIN);
    send_started(&stage);
    send_exit(&stage, &exit);
    wait_for_end(&stage, RELAY_EXITED);
    assert_memory_equal(&stage.end.exit, &exit, sizeof(exit));
    finish(&stage);

    begin_running(&stage, PLAIN);
    peer_send(&stage.agent, FRAME_AGENT_FAILED, payload,
              agent_failed_encode(&failed, payload, sizeof(payload)));
    wait_for_end(&stage, RELAY_FAILED);
    assert_memory_equal(&stage.end.failed, &failed, sizeof(failed));
    finish(&stage);
}

static void agent_that_goes_away_is_gone(void **state)
{
    struct stage stage;
    (void)state;
    begin_running(&stage, PLAIN);
    peer_close(&stage.agent);
    wait_for_end(&stage, RELAY_AGENT_GONE);
    assert_int_equal(stage.end.why.code, ERR_NONE);
    finish(&stage);

    begin_running(&stage, PLAIN);
    send_started(&stage);
    peer_send_bytes(&stage.agent,
                    "\x03\x00\x00\x00\x05\x00\x00\x00"
                    "ab",
                    10);
    peer_close(&stage.agent);
    wait_for_end(&stage, RELAY_AGENT_GONE);
    assert_contains(stage.end.why.msg, "middle of a frame");
    finish(&stage);

    begin_running(&stage, PLAIN); /* no such type */
    peer_send_bytes(&stage.agent, "\xff\x00\x00\x00\x00\x00\x00\x00", 8);
    wait_for_end(&stage, RELAY_AGENT_GONE);
    assert_contains(stage.end.why.msg, "malformed");
    finish(&stage);
}

static void agent_that_makes_no_sense_is_found_out(void **state)
{
    static const struct {
        bool started;
        enum frame_type wrong;
        size_t len;
    } cases[] = {
        {false, FRAME_STDOUT, 1},       {false, FRAME_STDERR, 1},
        {false, FRAME_AGENT_EXIT, 40},  {false, FRAME_AGENT_STARTED, 3},
        {true, FRAME_AGENT_STARTED, 4}, {true, FRAME_AGENT_EXIT, 39},
        {true, FRAME_AGENT_FAILED, 7},  {true, FRAME_STDIN, 1},
        {true, FRAME_AGENT_HELLO, 8},   {true, FRAME_RESULT, 2},
        {true, FRAME_STDOUT, 0},        {true, FRAME_STDERR, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        char bytes[64] = {0};
        begin_running(&stage, PLAIN);
        if (cases[i].started)
            send_started(&stage);
        peer_send(&stage.agent, cases[i].wrong, bytes, cases[i].len);
        wait_for_end(&stage, RELAY_AGENT_WRONG);
        assert_int_equal(stage.end.why.code, ERR_BAD_GATEWAY);
        assert_contains(stage.end.why.msg, frame_name((uint8_t)cases[i].wrong));
        finish(&stage);
    }
}

static void callers_channel_can_be_taken_for_the_answer(void **state)
{
    struct stage stage;
    (void)state;
    begin_running(&stage, PLAIN);
    struct chan *link = relay_take_link(stage.relay);
    relay_destroy(stage.relay);
    stage.relay = NULL;
    chan_send(link, FRAME_RESULT, "{}", 2);
    chan_destroy(link, true);
    json_decref(peer_expect_json(&stage.caller, FRAME_RESULT));
    peer_expect_end(&stage.caller);
    relay_destroy(NULL);
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_file_is_announced_in_its_turn_and_the_program_last),
        cmocka_unit_test(caller_that_sends_what_does_not_belong_is_told),
        cmocka_unit_test(input_that_nobody_reads_stays_with_the_caller),
        cmocka_unit_test(nothing_is_read_before_there_is_an_agent),
        cmocka_unit_test(signals_wait_for_the_program_and_for_nothing_else),
        cmocka_unit_test(signals_for_an_earlier_agent_go_with_the_input),
        cmocka_unit_test(caller_that_goes_away_is_noticed_while_his_input_waits),
        cmocka_unit_test(caller_that_closes_one_direction_has_gone),
        cmocka_unit_test(output_is_cut_at_its_bound_each_stream_by_itself),
        cmocka_unit_test(no_output_is_wanted),
        cmocka_unit_test(slow_caller_stops_the_program_and_loses_nothing),
        cmocka_unit_test(caller_who_takes_a_little_has_not_stalled),
        cmocka_unit_test(the_end_says_what_the_agent_said),
        cmocka_unit_test(agent_that_goes_away_is_gone),
        cmocka_unit_test(agent_that_makes_no_sense_is_found_out),
        cmocka_unit_test(callers_channel_can_be_taken_for_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
