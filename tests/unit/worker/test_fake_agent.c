/* The scripted agent: spoken to over a socket, as run.c speaks to crunner. */
#include "../../../src/worker/fake_agent.h"

#include "../../../src/common/buf.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../support/cm.h"

#include <errno.h>
#include <sys/socket.h>

static struct fake_agent *agent;
static int peer = -1;
static struct fake_script script;
static char program[200]; /* argv[0] of the last AGENT_EXEC */
static struct buf heard;  /* what the agent sent */

static void on_exec(const struct agent_exec *exec, struct fake_script *answer, void *data)
{
    assert_ptr_equal(data, &script);
    snprintf(program, sizeof(program), "%s", exec->argv[0]);
    *answer = script;
}

static int set_up(void **state)
{
    (void)state;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return -1;
    peer = pair[0];
    agent = fake_agent_create(pair[1], on_exec, &script);
    script = (struct fake_script){.ending = FAKE_EXITS, .run_us = 5000, .exit = {.exit = 3}};
    program[0] = '\0';
    buf_init(&heard, 16 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_agent_destroy(agent);
    agent = NULL;
    fd_close(&peer);
    buf_finish(&heard);
    return 0;
}

static void send_frame(enum frame_type type, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    assert_int_equal(send(peer, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
    if (len > 0)
        assert_int_equal(send(peer, payload, len, MSG_NOSIGNAL), len);
}

static void send_exec(void)
{
    unsigned char payload[1000];
    struct agent_exec exec = {.cwd = "", .argc = 2, .argv = {"sh", "main.sh"}};
    send_frame(FRAME_AGENT_EXEC, payload, agent_exec_encode(&exec, payload, sizeof(payload)));
}

/* Takes in what is there; false at end of file. */
static bool hear(void)
{
    static char chunk[100000];
    for (;;) {
        ssize_t got = recv(peer, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        assert_true(buf_append(&heard, chunk, (size_t)got));
    }
}

/* The next frame that was heard; its payload is good until the next call. */
static struct frame next(void)
{
    static size_t used;
    static char *last;
    free(last);
    last = NULL;
    struct frame frame;
    hear();
    assert_int_equal(frame_parse(heard.data, heard.len, &frame, &used), FRAME_OK);
    last = mem_calloc(1, frame.len + 1);
    memcpy(last, frame.payload, frame.len);
    frame.payload = last;
    buf_drop(&heard, used);
    return frame;
}

static void assert_frame(enum frame_type type)
{
    assert_string_equal(frame_name(next().type), frame_name((uint8_t)type));
}

static void assert_exit(uint32_t code, uint32_t sig)
{
    struct frame frame = next();
    struct agent_exit msg;
    assert_int_equal(frame.type, FRAME_AGENT_EXIT);
    assert_true(agent_exit_decode(frame.payload, frame.len, &msg));
    assert_int_equal(msg.exit, code);
    assert_int_equal(msg.signal, sig);
}

static void assert_failed(enum agent_stage stage, uint32_t sys_errno)
{
    struct frame frame = next();
    struct agent_failed msg;
    assert_int_equal(frame.type, FRAME_AGENT_FAILED);
    assert_true(agent_failed_decode(frame.payload, frame.len, &msg));
    assert_int_equal(msg.stage, stage);
    assert_int_equal(msg.sys_errno, sys_errno);
}

static void test_runs_a_program(void **state)
{
    (void)state;
    unsigned char payload[200];
    struct agent_file file = {.mode = 0644, .folder = "", .name = "main.sh"};
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_READS);
    send_frame(FRAME_AGENT_FILE, payload, agent_file_encode(&file, payload, sizeof(payload)));
    send_frame(FRAME_FILE_DATA, "echo hi\n", 8);
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_READS);
    assert_null(fake_agent_script(agent));
    script.stdout_bytes = 70000;
    script.stderr_bytes = 3;
    send_exec();
    send_frame(FRAME_STDIN, "in", 2);
    send_frame(FRAME_STDIN_EOF, NULL, 0);
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_READS);
    assert_non_null(fake_agent_script(agent));
    assert_string_equal(program, "sh");

    assert_frame(FRAME_AGENT_STARTED);
    struct frame frame = next();
    assert_int_equal(frame.type, FRAME_STDOUT);
    assert_int_equal(frame.len, FRAME_DATA_MAX);
    for (size_t i = 0; i < frame.len; i++)
        assert_int_equal(frame.payload[i], 'a' + i % 26);
    frame = next();
    assert_int_equal(frame.len, 70000 - FRAME_DATA_MAX);
    assert_int_equal(frame.payload[0], 'a' + FRAME_DATA_MAX % 26);
    frame = next();
    assert_int_equal(frame.type, FRAME_STDERR);
    assert_memory_equal(frame.payload, "abc", 3);
    assert_true(hear());
    assert_int_equal(heard.len, 0); /* it still runs */

    fake_agent_end(agent);
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_OVER);
    assert_exit(3, 0);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    unsigned char payload[1000], header[FRAME_HEADER_LEN];
    struct agent_exec exec = {.cwd = "", .argc = 1, .argv = {"true"}};
    size_t len = agent_exec_encode(&exec, payload, sizeof(payload));
    frame_put_header(header, FRAME_AGENT_EXEC, 0, (uint32_t)len);
    for (size_t i = 0; i < sizeof(header) + len; i++) {
        const unsigned char *byte = i < sizeof(header) ? &header[i] : &payload[i - sizeof(header)];
        assert_null(fake_agent_script(agent));
        assert_int_equal(send(peer, byte, 1, 0), 1);
        assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_READS);
    }
    assert_string_equal(program, "true");
    assert_frame(FRAME_AGENT_STARTED);
}

static void test_a_slow_reader(void **state)
{
    (void)state;
    script.stdout_bytes = 4 * 1000 * 1000;
    send_exec();
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_WRITES); /* the socket is full */
    fake_agent_end(agent);
    enum fake_agent_status status;
    do {
        status = fake_agent_pump(agent);
        hear();
    } while (status == FAKE_AGENT_WRITES);
    assert_int_equal(status, FAKE_AGENT_OVER);
    assert_frame(FRAME_AGENT_STARTED);
    uint64_t at = 0;
    while (at < script.stdout_bytes) {
        struct frame frame = next();
        assert_int_equal(frame.type, FRAME_STDOUT);
        assert_int_equal(frame.payload[0], 'a' + at % 26);
        assert_int_equal(frame.payload[frame.len - 1], 'a' + (at + frame.len - 1) % 26);
        at += frame.len;
    }
    assert_int_equal(at, script.stdout_bytes);
    assert_exit(3, 0);
}

static void test_cannot_start(void **state)
{
    (void)state;
    script = (struct fake_script){
        .ending = FAKE_FAILS, .stdout_bytes = 10, .failed = {AGENT_STAGE_EXEC, ENOENT}};
    send_exec();
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_READS);
    fake_agent_end(agent);
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_OVER);
    assert_failed(AGENT_STAGE_EXEC, ENOENT);
}

static void test_killed(void **state)
{
    (void)state;
    fake_agent_kill(agent); /* no program yet */
    script.ending = FAKE_SILENT;
    script.stdout_bytes = 4 * 1000 * 1000;
    send_exec();
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_WRITES);
    fake_agent_kill(agent);
    enum fake_agent_status status;
    do {
        status = fake_agent_pump(agent);
        hear();
    } while (status == FAKE_AGENT_WRITES);
    assert_int_equal(status, FAKE_AGENT_OVER);
    assert_frame(FRAME_AGENT_STARTED);
    struct frame frame;
    size_t output = 0;
    while ((frame = next()).type == FRAME_STDOUT)
        output += frame.len;
    assert_true(output > 0 && output < script.stdout_bytes);
    assert_int_equal(frame.type, FRAME_AGENT_EXIT);
}

static void test_signalled(void **state)
{
    (void)state;
    unsigned char payload[64];
    struct agent_signal term = {.signal = 15, .group = 1};
    script.ending = FAKE_SILENT;
    send_exec();
    send_frame(FRAME_AGENT_SIGNAL, payload, agent_signal_encode(&term, payload, sizeof(payload)));
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_OVER);
    assert_frame(FRAME_AGENT_STARTED);
    assert_exit(0, 15);
}

static void test_what_makes_no_sense(void **state)
{
    static const struct {
        enum frame_type type;
        const char *payload;
        size_t len;
        bool running;
    } wrong[] = {
        {FRAME_STDIN, "x", 1, false},         {FRAME_STDIN_EOF, "", 0, false},
        {FRAME_AGENT_SIGNAL, "", 0, false},   {FRAME_AGENT_EXEC, "junk", 4, false},
        {FRAME_AGENT_FILE, "junk", 4, false}, {FRAME_RUN, "{}", 2, false},
        {FRAME_FILE_DATA, "x", 1, true},      {FRAME_AGENT_FILE, "", 0, true},
        {FRAME_AGENT_EXEC, "", 0, true},      {FRAME_AGENT_SIGNAL, "x", 1, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (wrong[i].running) {
            send_exec();
            fake_agent_pump(agent);
            assert_frame(FRAME_AGENT_STARTED);
        }
        send_frame(wrong[i].type, wrong[i].payload, wrong[i].len);
        send_frame(FRAME_STDIN_EOF, NULL, 0); /* not heard any more */
        assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_OVER);
        assert_failed(AGENT_STAGE_PROTOCOL, 0);
        tear_down(state);
        set_up(state);
    }
    static const unsigned char garbage[FRAME_HEADER_LEN] = {255, 0, 0, 0, 1, 0, 0, 0};
    assert_int_equal(send(peer, garbage, sizeof(garbage), 0), sizeof(garbage));
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_OVER);
    assert_failed(AGENT_STAGE_PROTOCOL, 0);
}

static void test_a_peer_that_goes(void **state)
{
    (void)state;
    script.stdout_bytes = 4 * 1000 * 1000;
    send_exec();
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_WRITES);
    fd_close(&peer);
    assert_int_equal(fake_agent_pump(agent), FAKE_AGENT_OVER);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(runs_a_program), T(byte_by_byte), T(a_slow_reader),       T(cannot_start),
        T(killed),         T(signalled),    T(what_makes_no_sense), T(a_peer_that_goes),
    };
    return cmocka_run_group_tests_name("fake_agent", tests, NULL, NULL);
}
