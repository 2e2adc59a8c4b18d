#include "session.h"

#include "../../../src/agent/op.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Of the agent alone, whatever it moves. */
#define OWN_MAX (512 << 10)
#define RESIDENT_MAX (1 << 20) /* with its executable's pages, all of which may be there */

static void assert_small(const struct cell *cell)
{
    if (cell_is_checked())
        return;
    assert_in_range(cell_own_bytes(cell), 1, OWN_MAX);
    assert_in_range(cell_resident_bytes(cell), 1, RESIDENT_MAX);
}

static void test_output_and_exit(void **state)
{
    struct outcome outcome;
    session_run(*state, 0, "echo out; echo err >&2; exit 7", &outcome);
    assert_false(outcome.failed);
    assert_string_equal(outcome.out, "out\n");
    assert_string_equal(outcome.err, "err\n");
    assert_int_equal(outcome.exit.exit, 7);
    assert_int_equal(outcome.exit.signal, 0);
    assert_true(outcome.exit.wall_us > 0);
    assert_in_range(outcome.exit.max_rss_bytes, 100 << 10, 1 << 30);
    outcome_free(&outcome);
}

static void test_order_is_kept(void **state)
{
    struct session session;
    struct frame frame;
    session_begin(*state, &session);
    session_sh(&session, 0, "for i in 1 2 3; do echo $i; read x; echo $i >&2; read x; done");
    session_started(&session);
    for (int i = 0; i < 6; i++) {
        assert_true(session_next(&session, &frame));
        assert_int_equal(frame.type, i % 2 == 0 ? FRAME_STDOUT : FRAME_STDERR);
        session_frame(&session, FRAME_STDIN, "\n", 1);
    }
    session_end(&session);
}

static void test_death_by_signal(void **state)
{
    struct outcome outcome;
    session_run(*state, 0, "kill -SEGV $$", &outcome);
    assert_int_equal(outcome.exit.signal, SIGSEGV);
    assert_int_equal(outcome.exit.exit, 0);
    outcome_free(&outcome);
}

static void test_times_are_measured(void **state)
{
    struct outcome outcome;
    session_run(*state, 0, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done", &outcome);
    assert_true(outcome.exit.user_us > 0);
    assert_true(outcome.exit.wall_us >= outcome.exit.user_us / 4); /* clocks differ in grain */
    outcome_free(&outcome);
}

static void test_stdin_to_its_end(void **state)
{
    struct session session;
    struct outcome outcome;
    session_begin(*state, &session);
    session_sh(&session, 0, "cat; echo end");
    session_frame(&session, FRAME_STDIN, "one ", 4);
    session_frame(&session, FRAME_STDIN, NULL, 0);
    session_frame(&session, FRAME_STDIN, "two ", 4);
    session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
    session_finish(&session, &outcome);
    assert_string_equal(outcome.out, "one two end\n");
    outcome_free(&outcome);
}

/* The byte at a place of a stream that does not repeat itself in any way a mistake would. */
static unsigned char stream_byte(uint64_t at)
{
    uint64_t x = (at / 8 + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned char)(x >> (at % 8 * 8) ^ x >> 59);
}

static size_t stream_frame(unsigned char *frame, uint64_t at, size_t len)
{
    frame_put_header(frame, FRAME_STDIN, 0, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        frame[FRAME_HEADER_LEN + i] = stream_byte(at + i);
    return FRAME_HEADER_LEN + len;
}

static void check_stream(const struct frame *frame, uint64_t at)
{
    for (uint32_t i = 0; i < frame->len; i++)
        if ((unsigned char)frame->payload[i] != stream_byte(at + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
}

static void test_much_both_ways(void **state)
{
    const uint64_t total = 100 << 20;
    static unsigned char out[FRAME_HEADER_LEN + FRAME_DATA_MAX];
    struct session session;
    session_begin(*state, &session);
    session_sh(&session, 0, "exec cat");
    session_started(&session);
    uint64_t sent = 0, got = 0;
    size_t at = 0, len = 0;
    bool eof = false;
    while (got < total) {
        if (at == len && sent < total) {
            size_t piece = 1 + (size_t)(sent * 7919 % FRAME_DATA_MAX); /* of every size */
            piece = piece < total - sent ? piece : (size_t)(total - sent);
            len = stream_frame(out, sent, piece);
            at = 0;
            sent += piece;
        } else if (at == len && !eof) {
            eof = true;
            session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
        }
        struct pollfd ready = {.fd = session.fd, .events = at < len ? POLLIN | POLLOUT : POLLIN};
        assert_int_equal(poll(&ready, 1, CELL_DEADLINE_MS), 1);
        if (ready.revents & POLLOUT)
            at += session_try(&session, out + at, len - at);
        if (ready.revents & POLLIN) {
            struct frame frame;
            assert_true(session_next(&session, &frame));
            assert_int_equal(frame.type, FRAME_STDOUT);
            check_stream(&frame, got);
            got += frame.len;
        }
    }
    assert_small(*state);
    struct agent_exit exit;
    struct frame frame;
    assert_true(session_next(&session, &frame));
    assert_int_equal(frame.type, FRAME_AGENT_EXIT);
    assert_true(agent_exit_decode(frame.payload, frame.len, &exit));
    assert_int_equal(exit.exit, 0);
    session_end(&session);
}

static bool sleeps(pid_t pid)
{
    return cell_status_line(pid, "State")[0] == 'S';
}

/* Whether a process sleeps and has done nothing between two looks, nor is the agent about to do
 * something for it: it sleeps too, and has not woken the process before that.
 */
static bool has_stopped(const struct cell *cell, pid_t pid)
{
    static char before[512];
    char path[64], now[512];
    snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
    if (!sleeps(pid) || !sleeps(cell->pid) || !sleeps(pid) ||
        fd_read_file(AT_FDCWD, path, now, sizeof(now)) < 0)
        return false;
    bool same = strcmp(before, now) == 0;
    memcpy(before, now, sizeof(before));
    return same;
}

static void test_slow_reader_pauses_the_program(void **state)
{
    struct session session;
    struct frame frame;
    session_begin(*state, &session);
    session_sh(&session, 0, "exec yes");
    pid_t pid = cell_find(*state, session_started(&session));
    assert_true(pid > 0);
    cell_wait(has_stopped(*state, pid));
    assert_small(*state);
    uint64_t got = 0;
    while (got < 10 << 20) { /* and goes on when the reader does */
        assert_true(session_next(&session, &frame));
        assert_int_equal(frame.type, FRAME_STDOUT);
        for (uint32_t i = 0; i < frame.len; i++)
            assert_int_equal(frame.payload[i], (got + i) % 2 ? '\n' : 'y');
        got += frame.len;
    }
    cell_wait(has_stopped(*state, pid));
    session_end(&session);
    cell_wait(cell_processes(*state, NULL) == 0);
}

/* Fills the agent's socket with input that the program does not read. */
static void stuff(struct session *session)
{
    static unsigned char frame[FRAME_HEADER_LEN + FRAME_DATA_MAX];
    frame_put_header(frame, FRAME_STDIN, 0, FRAME_DATA_MAX);
    size_t at = 0, sent;
    for (int idle = 0; idle < 10;) {
        sent = session_try(session, frame + at, sizeof(frame) - at);
        at = (at + sent) % sizeof(frame);
        idle = sent ? 0 : idle + 1;
        if (sent == 0)
            cell_nap();
    }
}

static void test_program_that_does_not_read(void **state)
{
    struct session session;
    session_begin(*state, &session);
    session_sh(&session, 0, "exec sleep 1000");
    session_started(&session);
    stuff(&session);
    assert_small(*state);
    session_end(&session); /* seen although nothing is read */
    cell_wait(cell_processes(*state, NULL) == 0);
}

static void test_signal_overtakes_input(void **state)
{
    struct cell *cell = *state;
    struct session session, other;
    struct frame frame;
    struct agent_exit exit;
    session_begin(cell, &session);
    session_sh(&session, 0, "trap 'echo told' USR1; echo; while :; do sleep 0.01; done");
    session_started(&session);
    assert_true(session_next(&session, &frame));
    stuff(&session);
    assert_small(cell);
    for (int i = 0; i < 3; i++) {
        cell_signal(cell, SIGUSR1, false);
        assert_true(session_next(&session, &frame));
        assert_int_equal(frame.type, FRAME_STDOUT);
        assert_memory_equal(frame.payload, "told\n", frame.len);
    }
    session_begin(cell, &other); /* nothing runs there yet, so nothing is signalled */
    cell_signal(cell, SIGKILL, true);
    assert_true(session_next(&session, &frame));
    assert_int_equal(frame.type, FRAME_AGENT_EXIT);
    assert_true(agent_exit_decode(frame.payload, frame.len, &exit));
    assert_int_equal(exit.signal, SIGKILL);
    session_end(&session);
    session_sh(&other, 0, "echo unharmed");
    struct outcome outcome;
    session_finish(&other, &outcome);
    assert_string_equal(outcome.out, "unharmed\n");
    outcome_free(&outcome);
}

static void test_input_waits_and_goes_on(void **state)
{
    struct cell *cell = *state;
    struct session session;
    session_begin(cell, &session);
    session_sh(&session, 0, "trap 'wc -c; exit' TERM; echo; while :; do sleep 0.01; done");
    struct frame frame;
    uint32_t pid = session_started(&session);
    assert_true(session_next(&session, &frame));
    static const char input[3 * FRAME_DATA_MAX]; /* a pipe full, a buffer full and some more */
    for (size_t at = 0; at < sizeof(input); at += FRAME_DATA_MAX)
        session_frame(&session, FRAME_STDIN, input + at, FRAME_DATA_MAX);
    session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
    pid_t here = cell_find(cell, pid);
    assert_true(here > 0);
    kill(here, SIGTERM);
    assert_true(session_next(&session, &frame));
    assert_int_equal(frame.type, FRAME_STDOUT);
    assert_int_equal(strtol(frame.payload, NULL, 10), sizeof(input));
    assert_true(session_next(&session, &frame));
    assert_int_equal(frame.type, FRAME_AGENT_EXIT);
    session_end(&session);
}

static void test_program_that_closed_its_input(void **state)
{
    struct session session;
    session_begin(*state, &session);
    session_sh(&session, 0,
               "exec <&-; trap 'echo told; exit 3' USR1; echo closed; "
               "while :; do sleep 0.01; done");
    struct frame frame;
    session_started(&session);
    assert_true(session_next(&session, &frame));
    static const char input[FRAME_DATA_MAX];
    for (int i = 0; i < 16; i++)
        session_frame(&session, FRAME_STDIN, input, sizeof(input));
    session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
    session_signal(&session, SIGUSR1, false);
    assert_true(session_next(&session, &frame));
    assert_memory_equal(frame.payload, "told\n", frame.len);
    struct agent_exit exit;
    assert_true(session_next(&session, &frame));
    assert_true(agent_exit_decode(frame.payload, frame.len, &exit));
    assert_int_equal(exit.exit, 3);
    session_end(&session);
}

static void test_signals(void **state)
{
    struct session session;
    struct frame frame;
    struct agent_exit exit;
    session_begin(*state, &session);
    /* The program alone: its child lives on, and tells. */
    session_sh(&session, 0,
               "trap '' HUP; trap 'echo parent; wait' USR1; "
               "(trap 'echo child; exit' HUP; echo; while :; do sleep 0.01; done) & "
               "wait; wait; exit 5");
    session_started(&session);
    assert_true(session_next(&session, &frame));
    session_signal(&session, SIGUSR1, false);
    assert_true(session_next(&session, &frame));
    assert_memory_equal(frame.payload, "parent\n", frame.len);
    session_signal(&session, SIGKILL, true);
    do
        assert_true(session_next(&session, &frame));
    while (frame.type != FRAME_AGENT_EXIT);
    assert_true(agent_exit_decode(frame.payload, frame.len, &exit));
    assert_int_equal(exit.signal, SIGKILL);
    session_end(&session);
    cell_wait(cell_processes(*state, NULL) == 0);
}

static void test_background_holds_nothing_up(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, 0,
                   "mkfifo gate; "
                   "{ read x <gate; head -c 1000000 /dev/zero && echo alive >told; } & "
                   "echo done",
                   "done\n");
    assert_int_not_equal(cell_processes(cell, NULL), 0);
    /* It writes to what was its standard output, and does not die of that. */
    session_expect(cell, 0, "echo >gate; while [ ! -s told ]; do sleep 0.01; done; cat told",
                   "alive\n");
    cell_wait(cell_processes(cell, NULL) == 0);
    cell_wait(cell_descriptors(cell) <= 10);
}

/* The pid in the AGENT_STARTED that comes first, which stays to be read. */
static uint32_t peek_pid(const struct session *session)
{
    unsigned char frame[FRAME_HEADER_LEN + 4];
    struct agent_started started;
    cell_wait(recv(session->fd, frame, sizeof(frame), MSG_PEEK | MSG_DONTWAIT) == sizeof(frame));
    assert_true(agent_started_decode(frame + FRAME_HEADER_LEN, 4, &started));
    return started.pid;
}

/* Waits until the program of a session nobody reads is stuck with its pipe full, and kills it; how
 * much it has written.
 */
static unsigned long kill_when_stuck(const struct cell *cell, const struct session *session)
{
    char path[64], io[512];
    pid_t pid = cell_find(cell, peek_pid(session));
    assert_true(pid > 0);
    cell_wait(has_stopped(cell, pid));
    snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
    assert_true(fd_read_file(AT_FDCWD, path, io, sizeof(io)) > 0);
    kill(pid, SIGKILL);
    cell_wait(cell_find(cell, peek_pid(session)) == 0);
    return strtoul(strstr(io, "wchar: ") + 7, NULL, 10);
}

/* What was printed before the end is delivered however late it is read. */
static void test_background_and_a_late_reader(void **state)
{
    struct session session;
    struct outcome outcome;
    session_begin(*state, &session);
    session_sh(&session, 0, "sleep 1000 2>&- & exec head -c 10000000 /dev/zero");
    unsigned long written = kill_when_stuck(*state, &session);
    session_finish(&session, &outcome);
    assert_int_equal(outcome.exit.signal, SIGKILL);
    assert_in_range(outcome.out_len, written, written + FRAME_DATA_MAX);
    outcome_free(&outcome);
    session_expect(*state, 0, "kill -9 -1", "");
}

/* A user that reads its own output back keeps nobody waiting for it. */
static void test_output_that_was_taken_back(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct outcome outcome;
    session_expect(cell, 0, "mkfifo gate taken", "");
    session_begin(cell, &session);
    session_sh(&session, 0,
               "{ read x <gate; cat </proc/self/fd/1 >taken; sleep 1000; } 2>&- & exec head -c "
               "10000000 /dev/zero");
    unsigned long written = kill_when_stuck(cell, &session);
    session_expect(cell, 0, "echo >gate; head -c 50000 taken | wc -c", "50000\n");
    session_finish(&session, &outcome);
    assert_int_equal(outcome.exit.signal, SIGKILL);
    assert_in_range(outcome.out_len, 0, written - 1);
    outcome_free(&outcome);
    session_expect(cell, 0, "kill -9 -1", "");
}

/* One byte more than is wanted comes of each stream, and the program runs to its end. */
static void test_output_that_is_not_wanted(void **state)
{
    static const struct {
        uint64_t wanted;
        const char *script, *out, *err;
    } cases[] = {
        {3, "printf 12; printf ab >&2", "12", "ab"},
        {3, "printf 123; printf abc >&2", "123", "abc"},
        {3, "printf 12345; printf ab >&2", "1234", "ab"},
        {3, "printf abcdef >&2; head -c 3000000 /dev/zero >&2; printf 123", "123", "abcd"},
        {3, "printf 1234; sleep 0.02; head -c 3000000 /dev/zero; printf ab >&2", "1234", "ab"},
        {0, "head -c 3000000 /dev/zero | tr '\\0' x; printf y >&2", "x", "y"},
        {0, ":", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct session session;
        struct outcome outcome;
        session_over(&session, cell_open(*state, -1, cases[i].wanted));
        session_sh(&session, 0, cases[i].script);
        session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
        session_finish(&session, &outcome);
        assert_false(outcome.failed);
        assert_string_equal(outcome.out, cases[i].out);
        assert_string_equal(outcome.err, cases[i].err);
        assert_int_equal(outcome.exit.signal, 0);
        assert_int_equal(outcome.exit.exit, 0);
        outcome_free(&outcome);
    }
}

static void test_endless_background_output(void **state)
{
    struct outcome outcome;
    session_run(*state, 0, "yes & echo $! >pid", &outcome);
    assert_int_equal(outcome.exit.exit, 0);
    outcome_free(&outcome);
    session_expect(*state, 0, "kill -0 $(cat pid) && kill -9 $(cat pid)", "");
    cell_wait(cell_processes(*state, NULL) == 0);
}

static void test_abandoned_program_is_killed(void **state)
{
    struct session session;
    session_begin(*state, &session);
    session_sh(&session, 0, "trap '' TERM HUP INT; sleep 1000 & sleep 1000 | sleep 1000");
    session_started(&session);
    cell_wait(cell_processes(*state, NULL) == 4);
    session_end(&session);
    cell_wait(cell_processes(*state, NULL) == 0);
}

static void test_abandoned_before_it_began(void **state)
{
    struct cell *cell = *state;
    struct session session;
    unsigned before = cell_descriptors(cell);
    session_begin(cell, &session);
    cell_wait(cell_descriptors(cell) > before);
    session_end(&session);
    cell_wait(cell_descriptors(cell) == before);
    session_begin(cell, &session);
    session_raw(&session, "\103\0\0\0\0\0\1", 7); /* less than a header */
    session_end(&session);
    session_begin(cell, &session);
    session_raw(&session, "\103\0\0\0\0\0\1\0 and so on", 17); /* some of 64 KiB of AGENT_EXEC */
    session_end(&session);
    cell_wait(cell_descriptors(cell) == before);
}

static void test_frames_in_pieces(void **state)
{
    struct session session;
    struct outcome outcome;
    session_begin(*state, &session);
    const struct agent_exec exec = {.cwd = "", .argc = 2, .argv = {"/bin/echo", "whole"}};
    unsigned char frame[FRAME_HEADER_LEN + 256];
    size_t len = agent_exec_encode(&exec, frame + FRAME_HEADER_LEN, 256);
    frame_put_header(frame, FRAME_AGENT_EXEC, 0, (uint32_t)len);
    for (size_t i = 0; i < FRAME_HEADER_LEN + len; i++) {
        session_raw(&session, frame + i, 1);
        cell_nap();
    }
    session_finish(&session, &outcome);
    assert_string_equal(outcome.out, "whole\n");
    outcome_free(&outcome);
}

static void test_large_exec(void **state)
{
    enum { ARGS = 500, ARG = 2000 };
    struct agent_exec exec = {.cwd = "", .argc = ARGS, .argv = {"sh", "-c", "echo $#", "sh"}};
    char *arg = calloc(1, ARG + 1);
    struct session session;
    struct outcome outcome;
    memset(arg, 'a', ARG);
    for (int i = 4; i < ARGS; i++)
        exec.argv[i] = arg;
    session_begin(*state, &session);
    session_exec(&session, &exec);
    session_finish(&session, &outcome);
    assert_string_equal(outcome.out, "496\n");
    outcome_free(&outcome);
    free(arg);
    assert_small(*state);
}

static void test_limit_of_operations(void **state)
{
    struct cell *cell = *state;
    struct session sessions[OP_ACTIVE_MAX], more;
    struct outcome outcome;
    for (int i = 0; i < OP_ACTIVE_MAX; i++) {
        session_begin(cell, &sessions[i]);
        session_sh(&sessions[i], 0, "exec cat");
    }
    session_begin(cell, &more);
    session_sh(&more, 0, "echo");
    session_expect_failure(&more, AGENT_STAGE_LIMIT, EAGAIN);
    assert_small(cell);
    for (int i = 0; i < OP_ACTIVE_MAX; i++) {
        session_frame(&sessions[i], FRAME_STDIN, "x", 1);
        session_frame(&sessions[i], FRAME_STDIN_EOF, NULL, 0);
        session_finish(&sessions[i], &outcome);
        assert_string_equal(outcome.out, "x");
        outcome_free(&outcome);
    }
    session_expect(cell, 0, "echo again", "again\n");
}

static void leave_behind(struct cell *cell, int count)
{
    struct session sessions[OP_ACTIVE_MAX];
    for (int i = 0; i < count; i++) {
        session_begin(cell, &sessions[i]);
        session_sh(&sessions[i], 0, "sleep 1000 2>&- & echo");
    }
    for (int i = 0; i < count; i++) {
        struct outcome outcome;
        session_finish(&sessions[i], &outcome);
        assert_false(outcome.failed);
        outcome_free(&outcome);
    }
}

static void test_bound_of_what_drains(void **state)
{
    struct cell *cell = *state;
    unsigned before = cell_descriptors(cell);
    leave_behind(cell, OP_DRAINING_MAX - 1);
    /* The agent closes an operation's socket a moment after its last frame. */
    cell_wait(cell_descriptors(cell) == before + OP_DRAINING_MAX - 1);
    leave_behind(cell, 10);
    cell_wait(cell_descriptors(cell) == before + OP_DRAINING_MAX);
    assert_small(cell);
    session_expect(cell, 0, "kill -9 -1; echo free", "free\n");
    cell_wait(cell_descriptors(cell) == before);
}

static void expect_protocol_failure(struct cell *cell, const void *data, size_t len)
{
    struct session session;
    session_begin(cell, &session);
    session_raw(&session, data, len);
    session_expect_failure(&session, AGENT_STAGE_PROTOCOL, 0);
}

static void test_frames_that_make_no_sense(void **state)
{
    struct cell *cell = *state;
    static unsigned char header[FRAME_HEADER_LEN];
    const struct {
        uint8_t type;
        uint32_t len;
    } bad[] = {
        {0, 0},
        {255, 10},
        {FRAME_STDIN, FRAME_DATA_MAX + 1},
        {FRAME_AGENT_EXEC, FRAME_CONTROL_MAX + 1},
        {FRAME_AGENT_EXEC, 0}, /* no message */
        {FRAME_AGENT_FILE, 0},
        {FRAME_STDIN, 0}, /* before the program */
        {FRAME_STDIN_EOF, 0},
        {FRAME_FILE_DATA, 0}, /* without a file */
        {FRAME_AGENT_SIGNAL, 0},
        {FRAME_AGENT_STARTED, 0}, /* the agent's own */
        {FRAME_AGENT_OPEN, 0},
        {FRAME_RUN, 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        frame_put_header(header, bad[i].type, 0, bad[i].len);
        expect_protocol_failure(cell, header, sizeof(header));
    }
    frame_put_header(header, FRAME_STDIN_EOF, 0, 0);
    header[2] = 1; /* reserved */
    expect_protocol_failure(cell, header, sizeof(header));
    session_expect(cell, 0, "echo well", "well\n");
}

/* What a program was doing when its frames stopped making sense does not go on. */
static void test_nonsense_during_a_program(void **state)
{
    struct cell *cell = *state;
    for (int i = 0; i < 3; i++) {
        struct session session;
        session_begin(cell, &session);
        session_sh(&session, 0, "exec sleep 1000");
        if (i == 0)
            session_sh(&session, 0, "a second program");
        else if (i == 1)
            session_frame(&session, FRAME_AGENT_SIGNAL, "\0\0\0\0\0\0\0\0", 8);
        else
            session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
        if (i == 2)
            session_frame(&session, FRAME_STDIN, "more", 4);
        session_expect_failure(&session, AGENT_STAGE_PROTOCOL, 0);
        cell_wait(cell_processes(cell, NULL) == 0);
    }
}

static void test_random_bytes(void **state)
{
    struct cell *cell = *state;
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        unsigned char data[512];
        size_t len = sizeof(data) - (size_t)round;
        for (size_t i = 0; i < len; i++)
            data[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
        /* Every third is a message's type and length, so that its decoder sees the noise. */
        if (round % 3 == 0)
            frame_put_header(data, round % 2 ? FRAME_AGENT_EXEC : FRAME_AGENT_FILE, 0,
                             (uint32_t)(len - FRAME_HEADER_LEN));
        struct session session;
        session_begin(cell, &session);
        session_raw(&session, data, len);
        session_end(&session);
    }
    session_expect(cell, 0, "echo well", "well\n");
}

int main(int argc, char **argv)
{
    cell_init(argc, argv);
#define CELL_TEST(test) cmocka_unit_test_setup_teardown(test, cell_setup, cell_teardown)
    const struct CMUnitTest tests[] = {
        CELL_TEST(test_output_and_exit),
        CELL_TEST(test_order_is_kept),
        CELL_TEST(test_death_by_signal),
        CELL_TEST(test_times_are_measured),
        CELL_TEST(test_stdin_to_its_end),
        CELL_TEST(test_much_both_ways),
        CELL_TEST(test_slow_reader_pauses_the_program),
        CELL_TEST(test_program_that_does_not_read),
        CELL_TEST(test_signal_overtakes_input),
        CELL_TEST(test_input_waits_and_goes_on),
        CELL_TEST(test_program_that_closed_its_input),
        CELL_TEST(test_signals),
        CELL_TEST(test_background_holds_nothing_up),
        CELL_TEST(test_background_and_a_late_reader),
        CELL_TEST(test_output_that_was_taken_back),
        CELL_TEST(test_output_that_is_not_wanted),
        CELL_TEST(test_endless_background_output),
        CELL_TEST(test_abandoned_program_is_killed),
        CELL_TEST(test_abandoned_before_it_began),
        CELL_TEST(test_frames_in_pieces),
        CELL_TEST(test_large_exec),
        CELL_TEST(test_limit_of_operations),
        CELL_TEST(test_bound_of_what_drains),
        CELL_TEST(test_frames_that_make_no_sense),
        CELL_TEST(test_nonsense_during_a_program),
        CELL_TEST(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
