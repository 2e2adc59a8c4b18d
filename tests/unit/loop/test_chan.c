/* Channels against a peer that is a bare socket, so that it can do what no channel would. */
#include "../../../src/loop/chan.h"

#include "../../../src/common/fd.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FRAMES_MAX 20000

/* One channel under test and what it told. */
static struct side {
    struct chan *chan;
    struct {
        uint8_t type;
        uint32_t len;
        uint64_t sum;
    } frames[FRAMES_MAX];
    unsigned count, drained, closed;
    struct err why;
    bool inside; /* a call of ours is on the stack: no callback may fire */
    unsigned pause_at, destroy_at, resume_at; /* in the callback of that frame, counted from 1 */
    bool destroy_when_closed, destroy_when_drained, linger;
    uint64_t bytes;
} a, b;

static uv_loop_t loop;
static int peer; /* the other end of a.chan, non-blocking; -1 when another channel has it */
static struct err err;

static uint64_t sum_of(const void *data, size_t len)
{
    uint64_t sum = 1469598103934665603u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    return sum;
}

static void destroy(struct side *side)
{
    chan_destroy(side->chan, side->linger);
    side->chan = NULL;
}

static void on_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct side *side = data;
    assert_false(side->inside);
    assert_ptr_equal(side->chan, chan);
    assert_int_equal(side->closed, 0);
    assert_true(side->count < FRAMES_MAX);
    side->frames[side->count].type = frame->type;
    side->frames[side->count].len = frame->len;
    side->frames[side->count].sum = sum_of(frame->payload, frame->len);
    side->bytes += frame->len;
    side->count++;
    if (side->count == side->pause_at)
        chan_pause(chan);
    if (side->count == side->resume_at) {
        chan_resume(chan);
    }
    if (side->count == side->destroy_at)
        destroy(side);
}

static void on_closed(struct chan *chan, const struct err *why, void *data)
{
    struct side *side = data;
    assert_false(side->inside);
    assert_ptr_equal(side->chan, chan);
    side->closed++;
    side->why = *why;
    if (side->destroy_when_closed)
        destroy(side);
}

static void on_drain(struct chan *chan, void *data)
{
    struct side *side = data;
    assert_false(side->inside);
    assert_ptr_equal(side->chan, chan);
    side->drained++;
    if (side->destroy_when_drained)
        destroy(side);
}

static const struct chan_ops ops = {on_frame, on_closed, on_drain};

static void make_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
}

/* Every call into a channel goes through this: none may call back before it returns. */
#define INTO(side, call)                                                                           \
    do {                                                                                           \
        (side)->inside = true;                                                                     \
        call;                                                                                      \
        (side)->inside = false;                                                                    \
    } while (0)

static void open_side(struct side *side, int fd)
{
    INTO(side, side->chan = chan_create(&loop, fd, &ops, side, &err));
    assert_non_null(side->chan);
}

static unsigned next_seed; /* of the next frame that queue_up sends */

static int set_up(void **state)
{
    (void)state;
    int ends[2];
    next_seed = 0;
    a = b = (struct side){.chan = NULL};
    assert_int_equal(uv_loop_init(&loop), 0);
    make_pair(ends);
    peer = ends[1];
    open_side(&a, ends[0]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    chan_destroy(a.chan, false);
    chan_destroy(b.chan, false);
    fd_close(&peer);
    loop_finish(&loop);
    return 0;
}

/* Both ends channels. */
static void pair_up(void)
{
    open_side(&b, steal_fd(&peer));
}

static void send_to(struct side *side, enum frame_type type, const void *payload, size_t len)
{
    INTO(side, chan_send(side->chan, type, payload, len));
}

static const char *pattern(size_t len, unsigned seed)
{
    static char bytes[FRAME_CONTROL_MAX];
    assert_true(len <= sizeof(bytes));
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 + seed + (i >> 8));
    return bytes;
}

static void peer_sends(const void *data, size_t len)
{
    const char *at = data;
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    while (len > 0) {
        ssize_t sent = send(peer, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (clock_now(&clock_system) > deadline)
                fail_msg("the channel does not read");
            loop_turn(&loop);
            continue;
        }
        assert_true(sent > 0);
        at += sent;
        len -= (size_t)sent;
    }
}

static void peer_frame(enum frame_type type, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    peer_sends(header, sizeof(header));
    peer_sends(payload, len);
}

/* Reads exactly len bytes at the peer, turning the loop meanwhile. */
static void peer_reads(char *into, size_t len)
{
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    for (size_t got = 0; got < len;) {
        ssize_t more = recv(peer, into + got, len - got, 0);
        if (more < 0 && errno == EAGAIN) {
            if (clock_now(&clock_system) > deadline)
                fail_msg("%zu of %zu bytes came", got, len);
            loop_turn(&loop);
            continue;
        }
        assert_true(more > 0);
        got += (size_t)more;
    }
}

static void peer_sees_frame(enum frame_type type, const char *payload, size_t len)
{
    static char bytes[FRAME_HEADER_LEN + FRAME_CONTROL_MAX];
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    peer_reads(bytes, sizeof(header) + len);
    assert_memory_equal(bytes, header, sizeof(header));
    assert_memory_equal(bytes + sizeof(header), payload, len);
}

/* The peer reads until the channel's end closes. */
static size_t peer_reads_to_the_end(void)
{
    static char bytes[65536];
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    for (size_t total = 0;;) {
        ssize_t more = recv(peer, bytes, sizeof(bytes), 0);
        if (more == 0 || (more < 0 && errno == ECONNRESET))
            return total;
        if (more > 0)
            total += (size_t)more;
        else
            loop_turn(&loop);
        assert_true(clock_now(&clock_system) < deadline);
    }
}

/* Queues data frames until that many bytes wait; how many frames. */
static unsigned queue_up(struct side *side, size_t bytes)
{
    unsigned frames = 0;
    while (chan_queued(side->chan) <= bytes) {
        send_to(side, FRAME_STDOUT, pattern(FRAME_DATA_MAX, next_seed++), FRAME_DATA_MAX);
        frames++;
    }
    return frames;
}

/* Gives the loop every occasion to do what it must not. */
static void turns(int count)
{
    for (int i = 0; i < count; i++)
        loop_turn(&loop);
}

static void frames_arrive_whole_and_in_order(void **state)
{
    (void)state;
    pair_up();
    static const uint32_t lens[] = {0, 1, 7, 8, 9, 4096, 65535, 65536};
    for (unsigned i = 0; i < 8; i++) {
        send_to(&a, FRAME_STDOUT, pattern(lens[i], i), lens[i]);
        send_to(&b, FRAME_STDIN, pattern(lens[i], i + 100), lens[i]);
    }
    send_to(&a, FRAME_STDIN_EOF, NULL, 0);
    loop_wait(&loop, b.count == 9 && a.count == 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(b.frames[i].type, FRAME_STDOUT);
        assert_int_equal(b.frames[i].len, lens[i]);
        assert_true(b.frames[i].sum == sum_of(pattern(lens[i], i), lens[i]));
        assert_int_equal(a.frames[i].type, FRAME_STDIN);
        assert_int_equal(a.frames[i].len, lens[i]);
        assert_true(a.frames[i].sum == sum_of(pattern(lens[i], i + 100), lens[i]));
    }
    assert_int_equal(b.frames[8].type, FRAME_STDIN_EOF);
}

static void megabyte_control_frames_both_ways(void **state)
{
    (void)state;
    pair_up();
    for (unsigned i = 0; i < 3; i++) {
        send_to(&a, FRAME_RUN, pattern(FRAME_CONTROL_MAX, i), FRAME_CONTROL_MAX);
        send_to(&a, FRAME_STDIN, "x", 1);
        send_to(&b, FRAME_RESULT, pattern(FRAME_CONTROL_MAX, i + 9), FRAME_CONTROL_MAX);
    }
    loop_wait(&loop, b.count == 6 && a.count == 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(b.frames[2 * i].len, FRAME_CONTROL_MAX);
        assert_true(b.frames[2 * i].sum ==
                    sum_of(pattern(FRAME_CONTROL_MAX, i), FRAME_CONTROL_MAX));
        assert_int_equal(b.frames[2 * i + 1].len, 1);
        assert_true(a.frames[i].sum ==
                    sum_of(pattern(FRAME_CONTROL_MAX, i + 9), FRAME_CONTROL_MAX));
    }
}

static void bytes_one_by_one(void **state)
{
    (void)state;
    unsigned char wire[2 * FRAME_HEADER_LEN + 3];
    frame_put_header(wire, FRAME_STDOUT, 0, 3);
    memcpy(wire + 8, "abc", 3);
    frame_put_header(wire + 11, FRAME_STDIN_EOF, 0, 0);
    for (size_t i = 0; i < sizeof(wire); i++) {
        assert_int_equal(a.count, i < 11 ? 0 : 1);
        peer_sends(wire + i, 1);
        turns(2);
    }
    loop_wait(&loop, a.count == 2);
    assert_true(a.frames[0].sum == sum_of("abc", 3));
}

/* 5,000 small frames in few reads, so that frames lie across every read's edge. */
static void many_small_frames_in_one_read(void **state)
{
    (void)state;
    static char wire[5000 * (FRAME_HEADER_LEN + 40)];
    size_t len = 0;
    for (unsigned i = 0; i < 5000; i++) {
        frame_put_header((unsigned char *)wire + len, FRAME_STDERR, 0, i % 40);
        memcpy(wire + len + FRAME_HEADER_LEN, pattern(i % 40, i), i % 40);
        len += FRAME_HEADER_LEN + i % 40;
    }
    peer_sends(wire, len);
    loop_wait(&loop, a.count == 5000);
    for (unsigned i = 0; i < 5000; i++)
        assert_true(a.frames[i].len == i % 40 &&
                    a.frames[i].sum == sum_of(pattern(i % 40, i), i % 40));
}

static void flood_of_small_frames_gives_way(void **state)
{
    (void)state;
    enum { COUNT = 10 * CHAN_TURN_FRAMES };
    static char wire[COUNT * (FRAME_HEADER_LEN + 1)];
    int ends[2];
    for (unsigned i = 0; i < COUNT; i++) {
        char *at = wire + i * (FRAME_HEADER_LEN + 1);
        frame_put_header((unsigned char *)at, FRAME_STDOUT, 0, 1);
        at[FRAME_HEADER_LEN] = (char)i;
    }
    make_pair(ends);
    open_side(&b, ends[0]);
    peer_sends(wire, sizeof(wire));
    fd_close(&peer);
    peer = ends[1];
    peer_frame(FRAME_STDOUT, "x", 1);
    loop_wait(&loop, b.count == 1); /* both were readable in the first turn */
    assert_true(a.count <= CHAN_TURN_FRAMES);
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(a.frames[i].sum == sum_of(&(char){(char)i}, 1));
}

static void end_of_file_is_no_error(void **state)
{
    (void)state;
    peer_frame(FRAME_STDOUT, "last", 4);
    fd_close(&peer);
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.count, 1); /* what came before it was delivered before it */
    assert_int_equal(a.why.code, ERR_NONE);
    send_to(&a, FRAME_STDIN, "x", 1); /* nothing happens any more */
    chan_pause(a.chan);
    INTO(&a, chan_resume(a.chan));
    turns(3);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.count, 1);
}

static void end_in_the_middle_of_a_frame(void **state)
{
    (void)state;
    for (unsigned cut = 1; cut < FRAME_HEADER_LEN + 3; cut++) {
        unsigned char wire[FRAME_HEADER_LEN + 3];
        frame_put_header(wire, FRAME_STDOUT, 0, 3);
        peer_sends(wire, cut);
        if (cut % 2) /* seen before the end comes, or together with it */
            turns(2);
        fd_close(&peer);
        loop_wait(&loop, a.closed == 1);
        assert_int_equal(a.count, 0);
        assert_int_equal(a.why.code, ERR_BAD_GATEWAY);
        assert_contains(a.why.msg, "closed in the middle of a frame");
        chan_destroy(a.chan, false);
        int ends[2];
        make_pair(ends);
        peer = ends[1];
        a = (struct side){.chan = NULL};
        open_side(&a, ends[0]);
    }
}

static void garbage_ends_it(void **state)
{
    (void)state;
    static const unsigned char garbage[][FRAME_HEADER_LEN] = {
        {255, 0, 0, 0, 1, 0, 0, 0},            /* no such type */
        {FRAME_STDOUT, 1, 0, 0, 1, 0, 0, 0},   /* a flag */
        {FRAME_STDOUT, 0, 0, 1, 1, 0, 0, 0},   /* a reserved bit */
        {FRAME_STDOUT, 0, 0, 0, 1, 0, 1, 0},   /* 64 KiB and one */
        {FRAME_STDIN_EOF, 0, 0, 0, 1, 0, 0, 0} /* must be empty */
    };
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        peer_frame(FRAME_STDERR, "good", 4);
        peer_sends(garbage[i], sizeof(garbage[i]));
        peer_frame(FRAME_STDERR, "never", 5);
        loop_wait(&loop, a.closed == 1);
        turns(2);
        assert_int_equal(a.count, 1);
        assert_int_equal(a.closed, 1);
        assert_int_equal(a.why.code, ERR_BAD_GATEWAY);
        assert_contains(a.why.msg, "malformed frame");
        chan_destroy(a.chan, false);
        close(peer);
        int ends[2];
        make_pair(ends);
        peer = ends[1];
        a = (struct side){.chan = NULL};
        open_side(&a, ends[0]);
    }
}

static void queue_rises_and_drains(void **state)
{
    (void)state;
    pair_up();
    chan_pause(b.chan);
    assert_int_equal(chan_queued(a.chan), 0);
    unsigned sent = queue_up(&a, CHAN_HIGH);
    turns(5);
    assert_int_equal(a.drained, 0);
    assert_true(chan_queued(a.chan) > CHAN_HIGH);
    INTO(&b, chan_resume(b.chan));
    loop_wait(&loop, b.count == sent);
    loop_wait(&loop, chan_queued(a.chan) == 0);
    assert_int_equal(a.drained, 1); /* once, not at every write */
    for (unsigned i = 0; i < sent; i++)
        assert_true(b.frames[i].sum == sum_of(pattern(FRAME_DATA_MAX, i), FRAME_DATA_MAX));

    chan_pause(b.chan); /* and again */
    sent += queue_up(&a, CHAN_HIGH);
    INTO(&b, chan_resume(b.chan));
    loop_wait(&loop, a.drained == 2);
    loop_wait(&loop, b.count == sent);
}

static void below_high_nothing_drains(void **state)
{
    (void)state;
    pair_up();
    chan_pause(b.chan);
    unsigned sent = queue_up(&a, CHAN_LOW);
    assert_true(chan_queued(a.chan) <= CHAN_HIGH);
    INTO(&b, chan_resume(b.chan));
    loop_wait(&loop, b.count == sent);
    loop_wait(&loop, chan_queued(a.chan) == 0);
    turns(2);
    assert_int_equal(a.drained, 0);
}

/* A relay keeps its memory by pausing the one side when the other is full: nothing is lost. */
static struct side relay_in, relay_out;
static unsigned relay_pauses;

static void relay_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)data;
    chan_send(relay_out.chan, (enum frame_type)frame->type, frame->payload, frame->len);
    if (chan_queued(relay_out.chan) > CHAN_HIGH) {
        chan_pause(chan);
        relay_pauses++;
    }
    assert_true(chan_queued(relay_out.chan) < CHAN_HIGH + 2 * (FRAME_DATA_MAX + FRAME_HEADER_LEN));
}

static void relay_drain(struct chan *chan, void *data)
{
    (void)chan;
    (void)data;
    chan_resume(relay_in.chan);
}

static const struct chan_ops relay_in_ops = {relay_frame, on_closed, NULL};
static const struct chan_ops relay_out_ops = {on_frame, on_closed, relay_drain};

static void relay_with_back_pressure_loses_nothing(void **state)
{
    (void)state;
    int ends[2];
    make_pair(ends);
    relay_in = relay_out = (struct side){.chan = NULL};
    relay_in.chan = chan_create(&loop, steal_fd(&peer), &relay_in_ops, &relay_in, &err);
    relay_out.chan = chan_create(&loop, ends[0], &relay_out_ops, &relay_out, &err);
    open_side(&b, ends[1]);
    relay_pauses = 0;
    unsigned sent = 0;
    for (unsigned round = 0; round < 40; round++) {
        chan_pause(b.chan);
        sent += queue_up(&a, CHAN_HIGH);
        turns(3);
        INTO(&b, chan_resume(b.chan));
        loop_wait(&loop, a.drained == round + 1);
    }
    loop_wait(&loop, b.count == sent);
    assert_true(relay_pauses > 10);
    for (unsigned i = 0; i < sent; i++)
        if (b.frames[i].sum != sum_of(pattern(FRAME_DATA_MAX, i), FRAME_DATA_MAX))
            fail_msg("frame %u", i);
    chan_destroy(relay_in.chan, false);
    chan_destroy(relay_out.chan, false);
}

static void slow_peer_is_closed(void **state)
{
    (void)state;
    size_t most = 0;
    for (int round = 0; a.closed == 0 && round < 100; round++) {
        for (int i = 0; i < 16; i++)
            send_to(&a, FRAME_STDOUT, pattern(FRAME_DATA_MAX, 0), FRAME_DATA_MAX);
        most = chan_queued(a.chan) > most ? chan_queued(a.chan) : most;
        loop_turn(&loop);
    }
    assert_int_equal(a.closed, 1);
    assert_in_range(most, CHAN_CAP, CHAN_CAP + FRAME_DATA_MAX + 2 * FRAME_HEADER_LEN);
    assert_int_equal(a.why.code, ERR_BAD_GATEWAY);
    assert_contains(a.why.msg, "reads too slowly");
    send_to(&a, FRAME_STDOUT, "x", 1);
    assert_true(chan_queued(a.chan) <= most);
}

/* Even a frame as long as there is fits behind a queue that is just not over its cap. */
static void longest_frame_behind_a_full_queue(void **state)
{
    (void)state;
    while (chan_queued(a.chan) < CHAN_CAP - FRAME_DATA_MAX - FRAME_HEADER_LEN)
        send_to(&a, FRAME_STDOUT, pattern(FRAME_DATA_MAX, 0), FRAME_DATA_MAX);
    size_t left = CHAN_CAP - chan_queued(a.chan);
    while (left > FRAME_HEADER_LEN) {
        size_t len = left - FRAME_HEADER_LEN;
        len = len < FRAME_DATA_MAX ? len : FRAME_DATA_MAX;
        send_to(&a, FRAME_STDOUT, pattern(len, 0), len);
        left = CHAN_CAP - chan_queued(a.chan);
    }
    size_t before = chan_queued(a.chan);
    assert_in_range(before, CHAN_CAP - FRAME_HEADER_LEN, CHAN_CAP);
    const char *last = pattern(FRAME_CONTROL_MAX, 5);
    send_to(&a, FRAME_RESULT, last, FRAME_CONTROL_MAX);
    assert_int_equal(chan_queued(a.chan), before + FRAME_HEADER_LEN + FRAME_CONTROL_MAX);
    size_t total = 0;
    static char tail[FRAME_CONTROL_MAX];
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    while (chan_queued(a.chan) > 0 || total == 0) { /* read it all and keep the end */
        static char bytes[65536];
        ssize_t more = recv(peer, bytes, sizeof(bytes), 0);
        if (more > 0) {
            memmove(tail, tail + more, sizeof(tail) - (size_t)more);
            memcpy(tail + sizeof(tail) - more, bytes, (size_t)more);
            total += (size_t)more;
        } else {
            loop_turn(&loop);
        }
        assert_true(clock_now(&clock_system) < deadline);
    }
    for (ssize_t more; (more = recv(peer, tail, 1, MSG_PEEK)) > 0;) {
        static char bytes[65536];
        more = recv(peer, bytes, sizeof(bytes), 0);
        memmove(tail, tail + more, sizeof(tail) - (size_t)more);
        memcpy(tail + sizeof(tail) - more, bytes, (size_t)more);
    }
    assert_memory_equal(tail + 1, pattern(FRAME_CONTROL_MAX, 5) + 1, sizeof(tail) - 1);
    assert_int_equal(a.closed, 0);
}

static void too_long_a_frame_ends_it_here(void **state)
{
    (void)state;
    send_to(&a, FRAME_STDOUT, "before", 6);
    send_to(&a, FRAME_STDOUT, pattern(FRAME_DATA_MAX + 1, 0), FRAME_DATA_MAX + 1);
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.why.code, ERR_INTERNAL);
    assert_contains(a.why.msg, "a STDOUT of 65537 bytes is longer than it may be");
    peer_sees_frame(FRAME_STDOUT, "before", 6);
    char byte;
    assert_int_equal(recv(peer, &byte, 1, 0), -1); /* and nothing of the other */
}

static void nothing_is_delivered_while_paused(void **state)
{
    (void)state;
    chan_pause(a.chan);
    peer_frame(FRAME_STDOUT, "one", 3);
    peer_frame(FRAME_STDOUT, "two", 3);
    fd_close(&peer);
    turns(5);
    assert_int_equal(a.count, 0);
    assert_int_equal(a.closed, 0); /* nor is the end seen */
    INTO(&a, chan_resume(a.chan));
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.why.code, ERR_NONE);
}

/* Paused inside a callback with more frames already read: they wait, and come first later. */
static void pause_while_frames_are_buffered(void **state)
{
    (void)state;
    char wire[10 * (FRAME_HEADER_LEN + 1)];
    for (unsigned i = 0; i < 10; i++) {
        frame_put_header((unsigned char *)wire + 9 * i, FRAME_STDOUT, 0, 1);
        wire[9 * i + 8] = (char)i;
    }
    a.pause_at = 3;
    peer_sends(wire, sizeof(wire));
    loop_wait(&loop, a.count == 3);
    peer_frame(FRAME_STDERR, "later", 5);
    fd_close(&peer);
    turns(5);
    assert_int_equal(a.count, 3);
    a.pause_at = 7; /* again, from the ones that waited */
    INTO(&a, chan_resume(a.chan));
    assert_int_equal(a.count, 3);
    loop_wait(&loop, a.count == 7);
    turns(5);
    assert_int_equal(a.count, 7);
    INTO(&a, chan_resume(a.chan));
    chan_pause(a.chan); /* changed its mind before the loop came by */
    turns(5);
    assert_int_equal(a.count, 7);
    INTO(&a, chan_resume(a.chan));
    INTO(&a, chan_resume(a.chan));
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.count, 11);
    for (unsigned i = 0; i < 10; i++)
        assert_true(a.frames[i].sum == sum_of(&(char){(char)i}, 1));
    assert_int_equal(a.frames[10].type, FRAME_STDERR);
    assert_int_equal(a.why.code, ERR_NONE);
}

static void pause_and_resume_inside_a_callback(void **state)
{
    (void)state;
    char wire[10 * FRAME_HEADER_LEN];
    for (unsigned i = 0; i < 10; i++)
        frame_put_header((unsigned char *)wire + 8 * i, FRAME_STDIN_EOF, 0, 0);
    a.pause_at = 4;
    a.resume_at = 4;
    peer_sends(wire, sizeof(wire));
    loop_wait(&loop, a.count == 10);
    peer_frame(FRAME_STDOUT, "more", 4); /* it still reads */
    loop_wait(&loop, a.count == 11);
}

/* With the buffer full to its last byte, there must be room again after the pause. */
static void pause_with_a_full_buffer(void **state)
{
    (void)state;
    a.pause_at = 1;
    for (unsigned i = 0; i < 3; i++) {
        static char wire[FRAME_HEADER_LEN + FRAME_DATA_MAX];
        frame_put_header((unsigned char *)wire, FRAME_STDOUT, 0, FRAME_DATA_MAX);
        if (i == 0) { /* the first is short, so that the rest never ends with a read */
            frame_put_header((unsigned char *)wire, FRAME_STDOUT, 0, 5);
            peer_sends(wire, FRAME_HEADER_LEN + 5);
        } else {
            peer_sends(wire, sizeof(wire) / 2);
            peer_sends(wire + sizeof(wire) / 2, sizeof(wire) / 2);
        }
    }
    loop_wait(&loop, a.count == 1);
    for (unsigned want = 2; want <= 3; want++) {
        a.pause_at = want;
        turns(2);
        INTO(&a, chan_resume(a.chan));
        loop_wait(&loop, a.count == want);
        assert_int_equal(a.frames[want - 1].len, FRAME_DATA_MAX);
    }
    assert_int_equal(a.closed, 0);
}

static void destroy_inside_on_frame(void **state)
{
    (void)state;
    for (int linger = 0; linger < 2; linger++) {
        char wire[5 * FRAME_HEADER_LEN];
        for (unsigned i = 0; i < 5; i++)
            frame_put_header((unsigned char *)wire + 8 * i, FRAME_STDIN_EOF, 0, 0);
        a.destroy_at = 2;
        a.linger = linger;
        peer_sends(wire, sizeof(wire));
        loop_wait(&loop, a.count == 2);
        assert_int_equal(peer_reads_to_the_end(), 0);
        turns(3);
        assert_int_equal(a.count, 2);
        assert_int_equal(a.closed, 0);
        int ends[2];
        close(peer);
        make_pair(ends);
        peer = ends[1];
        a = (struct side){.chan = NULL};
        open_side(&a, ends[0]);
    }
}

/* The frame came from what was buffered over a pause: another way into the same callback. */
static void destroy_inside_on_frame_after_a_pause(void **state)
{
    (void)state;
    char wire[5 * FRAME_HEADER_LEN];
    for (unsigned i = 0; i < 5; i++)
        frame_put_header((unsigned char *)wire + 8 * i, FRAME_STDIN_EOF, 0, 0);
    a.pause_at = 1;
    a.destroy_at = 3;
    peer_sends(wire, sizeof(wire));
    loop_wait(&loop, a.count == 1);
    INTO(&a, chan_resume(a.chan));
    loop_wait(&loop, a.count == 3);
    assert_int_equal(peer_reads_to_the_end(), 0);
    assert_int_equal(a.count, 3);
    assert_null(a.chan);
}

static void destroy_inside_on_closed(void **state)
{
    (void)state;
    a.destroy_when_closed = true;
    a.linger = true; /* of no meaning here */
    fd_close(&peer);
    loop_wait(&loop, a.closed == 1);
    loop_wait(&loop, !uv_loop_alive(&loop));
    assert_null(a.chan);
}

static void destroy_inside_on_drain(void **state)
{
    (void)state;
    pair_up();
    chan_pause(b.chan);
    unsigned sent = queue_up(&a, CHAN_HIGH);
    a.destroy_when_drained = true;
    a.linger = true;
    INTO(&b, chan_resume(b.chan));
    loop_wait(&loop, a.drained == 1);
    assert_null(a.chan);
    loop_wait(&loop, b.closed == 1);
    assert_int_equal(b.count, sent); /* it lingered */
    assert_int_equal(b.why.code, ERR_NONE);
}

static void destroy_drops_or_lingers(void **state)
{
    (void)state;
    for (int linger = 0; linger < 2; linger++) {
        unsigned sent = queue_up(&a, 1 << 20);
        size_t all = sent * (size_t)(FRAME_DATA_MAX + FRAME_HEADER_LEN);
        chan_destroy(a.chan, linger);
        a.chan = NULL;
        size_t got = peer_reads_to_the_end();
        if (linger)
            assert_int_equal(got, all);
        else
            assert_true(got < all - (1 << 20) + 1);
        loop_wait(&loop, !uv_loop_alive(&loop));
        assert_int_equal(a.count + a.closed + a.drained, 0);
        int ends[2];
        close(peer);
        make_pair(ends);
        peer = ends[1];
        a = (struct side){.chan = NULL};
        open_side(&a, ends[0]);
    }
}

static void linger_with_nothing_queued_ends_at_once(void **state)
{
    (void)state;
    send_to(&a, FRAME_STDOUT, "x", 1);
    chan_destroy(a.chan, true);
    a.chan = NULL;
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(uv_loop_alive(&loop));
    peer_sees_frame(FRAME_STDOUT, "x", 1);
}

static void linger_ends_when_the_peer_goes(void **state)
{
    (void)state;
    queue_up(&a, 1 << 20);
    chan_destroy(a.chan, true);
    a.chan = NULL;
    turns(2);
    mono_us before = clock_now(&clock_system);
    fd_close(&peer);
    loop_wait(&loop, !uv_loop_alive(&loop));
    assert_true(clock_now(&clock_system) - before < CHAN_LINGER_MS * US_PER_MS);
}

static void destroying_nothing_or_twice(void **state)
{
    (void)state;
    chan_destroy(NULL, true);
    struct chan *chan = a.chan;
    queue_up(&a, 1 << 20);
    chan_destroy(chan, true);
    chan_destroy(chan, false); /* the first word counts */
    a.chan = NULL;
    assert_true(peer_reads_to_the_end() > 1 << 20);
}

/* The peer answers and closes while we still write: its answer must arrive. */
static void answer_of_a_peer_that_stopped_reading(void **state)
{
    (void)state;
    unsigned sent = queue_up(&a, 1 << 20); /* far more than the peer will ever read */
    assert_true(sent > 16);
    char some[1000];
    peer_reads(some, sizeof(some));
    const char *answer = pattern(FRAME_CONTROL_MAX / 8, 3);
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, FRAME_RESULT, 0, FRAME_CONTROL_MAX / 8);
    assert_int_equal(send(peer, header, sizeof(header), 0), sizeof(header));
    assert_int_equal(send(peer, answer, FRAME_CONTROL_MAX / 8, 0), FRAME_CONTROL_MAX / 8);
    fd_close(&peer);
    send_to(&a, FRAME_STDOUT, "more", 4); /* before the loop has seen any of it */
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.frames[0].type, FRAME_RESULT);
    assert_true(a.frames[0].sum ==
                sum_of(pattern(FRAME_CONTROL_MAX / 8, 3), FRAME_CONTROL_MAX / 8));
}

/* The same when the write that fails is the one that chan_send tries at once. */
static void answer_when_a_send_fails_at_once(void **state)
{
    (void)state;
    send_to(&a, FRAME_STDOUT, "unread", 6);
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, FRAME_STDIN_EOF, 0, 0);
    assert_int_equal(send(peer, header, sizeof(header), 0), sizeof(header));
    fd_close(&peer);
    for (int i = 0; i < 3; i++)
        send_to(&a, FRAME_STDOUT, "fails", 5);
    assert_int_equal(chan_queued(a.chan), 0);
    loop_wait(&loop, a.closed == 1);
    assert_int_equal(a.count, 1);
}

/* A producer that waits for on_drain must not wait for a peer that takes no more. */
static void deaf_peer_drains(void **state)
{
    (void)state;
    queue_up(&a, CHAN_HIGH);
    chan_pause(a.chan); /* so that the end is not seen */
    fd_close(&peer);
    loop_wait(&loop, a.drained == 1);
    assert_int_equal(chan_queued(a.chan), 0);
    assert_int_equal(a.closed, 0);
    INTO(&a, chan_resume(a.chan));
    loop_wait(&loop, a.closed == 1);
}

static unsigned others;

static void other_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan;
    assert_string_equal(data, "other");
    others += frame->len;
}

static void other_closed(struct chan *chan, const struct err *why, void *data)
{
    (void)chan;
    (void)why;
    assert_string_equal(data, "other");
    others += 1000;
}

static const struct chan_ops other_ops = {other_frame, other_closed, NULL};

static void first_frame(struct chan *chan, const struct frame *frame, void *data)
{
    static char other[] = "other";
    on_frame(chan, frame, data);
    chan_set_ops(chan, &other_ops, other);
}

static const struct chan_ops first_ops = {first_frame, on_closed, NULL};

static void other_ops_from_the_next_frame_on(void **state)
{
    (void)state;
    others = 0;
    chan_set_ops(a.chan, &first_ops, &a);
    char wire[3 * FRAME_HEADER_LEN + 5];
    frame_put_header((unsigned char *)wire, FRAME_STDIN_EOF, 0, 0);
    frame_put_header((unsigned char *)wire + 8, FRAME_STDOUT, 0, 5);
    frame_put_header((unsigned char *)wire + 21, FRAME_STDIN_EOF, 0, 0);
    peer_sends(wire, sizeof(wire));
    fd_close(&peer);
    loop_wait(&loop, others == 1005);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.closed, 0);
}

static void descriptor_of_the_channel(void **state)
{
    (void)state;
    struct ucred cred;
    socklen_t len = sizeof(cred);
    assert_int_equal(getsockopt(chan_fd(a.chan), SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    assert_int_equal(cred.pid, getpid());
    assert_int_equal(fcntl(chan_fd(a.chan), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void blocking_socket_is_made_non_blocking(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    open_side(&b, ends[0]);
    queue_up(&b, 1 << 20); /* would block for ever */
    close(ends[1]);
}

static void no_socket_at_all(void **state)
{
    (void)state;
    assert_null(chan_create(&loop, open("/dev/null", O_RDONLY | O_PATH), &ops, &b, &err));
    assert_contains(err.msg, "uv_pipe_open");
    turns(2);
}

static char folder[PATH_MAX];
static char path[PATH_MAX];

static int set_up_folder(void **state)
{
    scratch_make(folder);
    strcpy(path, scratch_path(folder, "socket"));
    return set_up(state);
}

static int tear_down_folder(void **state)
{
    tear_down(state);
    scratch_remove(folder);
    return 0;
}

static int listen_at(const char *where, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, where);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, backlog), 0);
    return listener;
}

static int accept_from(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void connect_side(struct side *side, const char *where)
{
    INTO(side, side->chan = chan_connect(&loop, where, &ops, side, &err));
    assert_non_null(side->chan);
}

static void connects_and_sends_at_once(void **state)
{
    (void)state;
    cleanup_close int listener = listen_at(path, 10);
    connect_side(&b, path);
    send_to(&b, FRAME_LINK_HELLO, "{}", 2);
    send_to(&b, FRAME_RUN, pattern(100000, 1), 100000);
    fd_close(&peer);
    peer = accept_from(listener);
    peer_sees_frame(FRAME_LINK_HELLO, "{}", 2);
    peer_sees_frame(FRAME_RUN, pattern(100000, 1), 100000);
    peer_frame(FRAME_RESULT, "{}", 2);
    loop_wait(&loop, b.count == 1);
    assert_true(chan_fd(b.chan) >= 0);
}

static void connect_that_fails(void **state)
{
    (void)state;
    a.destroy_when_closed = true;
    connect_side(&b, path); /* nothing is there */
    send_to(&b, FRAME_LINK_HELLO, "{}", 2);
    assert_int_equal(chan_fd(b.chan), -1);
    assert_int_equal(b.closed, 0);
    loop_wait(&loop, b.closed == 1);
    assert_int_equal(b.why.code, ERR_BAD_GATEWAY);
    assert_int_equal(b.why.sys_errno, ENOENT);
    assert_contains(b.why.msg, path);
    assert_contains(b.why.msg, "No such file");
    chan_destroy(b.chan, true);

    close(listen_at(path, 1)); /* the socket stays, nobody listens */
    b = (struct side){.destroy_when_closed = true};
    connect_side(&b, path);
    loop_wait(&loop, b.closed == 1);
    assert_int_equal(b.why.sys_errno, ECONNREFUSED);

    b = (struct side){.chan = NULL};
    connect_side(&b, path);
    chan_destroy(b.chan, true); /* before the loop could tell */
    b.chan = NULL;
    turns(3);
    assert_int_equal(b.closed, 0);
}

static void path_of_the_longest_kind(void **state)
{
    (void)state;
    char longest[PATH_MAX];
    strcpy(longest, path);
    while (strlen(longest) < 107)
        strcat(longest, "s");
    cleanup_close int listener = listen_at(longest, 10);
    connect_side(&b, longest);
    close(accept_from(listener));
    strcat(longest, "s");
    assert_null(chan_connect(&loop, longest, &ops, &b, &err));
    assert_contains(err.msg, "longer than a socket's path may be");
    assert_int_equal(err.code, ERR_INTERNAL);
}

/* Connections until the listener's queue is full. */
static size_t fill_queue(int fds[64])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    for (size_t count = 0; count < 64; count++) {
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fds[count], (struct sockaddr *)&address, sizeof(address)) != 0) {
            assert_int_equal(errno, EAGAIN);
            close(fds[count]);
            return count;
        }
    }
    fail_msg("the queue does not fill");
    return 0;
}

static void busy_listener_is_waited_for(void **state)
{
    (void)state;
    int fds[64];
    cleanup_close int listener = listen_at(path, 2);
    size_t count = fill_queue(fds);
    connect_side(&b, path);
    send_to(&b, FRAME_LINK_HELLO, "{}", 2);
    send_to(&b, FRAME_RUN, pattern(200000, 1), 200000);
    assert_int_equal(chan_queued(b.chan), 200000 + 2 + 2 * FRAME_HEADER_LEN);
    turns(5);
    assert_int_equal(b.closed, 0);
    assert_int_equal(chan_fd(b.chan), -1);
    chan_pause(b.chan);
    INTO(&b, chan_resume(b.chan)); /* of no meaning yet, and no harm */
    for (size_t i = 0; i < count; i++) {
        close(accept_from(listener));
        close(fds[i]);
    }
    loop_wait(&loop, chan_fd(b.chan) >= 0);
    fd_close(&peer);
    peer = accept_from(listener);
    peer_sees_frame(FRAME_LINK_HELLO, "{}", 2);
    peer_sees_frame(FRAME_RUN, pattern(200000, 1), 200000);
    peer_frame(FRAME_RESULT, "{}", 2);
    loop_wait(&loop, b.count == 1);
}

/* The operation was abandoned before it left: it still leaves, and the channel goes. */
static void linger_before_it_is_connected(void **state)
{
    (void)state;
    int fds[64];
    cleanup_close int listener = listen_at(path, 2);
    size_t count = fill_queue(fds);
    connect_side(&b, path);
    send_to(&b, FRAME_DESTROY, pattern(4000, 1), 4000);
    chan_destroy(b.chan, true);
    b.chan = NULL;
    turns(3);
    for (size_t i = 0; i < count; i++) {
        close(accept_from(listener));
        close(fds[i]);
    }
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    loop_wait(&loop, poll(&waiting, 1, 0) == 1);
    fd_close(&peer);
    peer = accept_from(listener);
    peer_sees_frame(FRAME_DESTROY, pattern(4000, 1), 4000);
    assert_int_equal(peer_reads_to_the_end(), 0);
}

/* Of three peers none reads nor goes: one was there, one came late, one never. */
static void linger_has_an_end(void **state)
{
    (void)state;
    int fds[64];
    char late_path[PATH_MAX];
    strcpy(late_path, path);
    strcat(late_path, "2");
    cleanup_close int full = listen_at(path, 2);
    size_t count = fill_queue(fds);
    connect_side(&b, path);
    queue_up(&b, 1 << 20);
    chan_destroy(b.chan, true);
    b.chan = NULL;

    strcpy(path, late_path);
    int late_fds[64];
    cleanup_close int late = listen_at(path, 2);
    size_t late_count = fill_queue(late_fds);
    connect_side(&b, path);
    queue_up(&b, 1 << 20);
    chan_destroy(b.chan, true);
    b.chan = NULL;
    turns(2);
    for (size_t i = 0; i < late_count; i++) {
        close(accept_from(late));
        close(late_fds[i]);
    }
    struct pollfd waiting = {.fd = late, .events = POLLIN};
    loop_wait(&loop, poll(&waiting, 1, 0) == 1);
    cleanup_close int accepted = accept_from(late);

    queue_up(&a, 1 << 20);
    chan_destroy(a.chan, true);
    a.chan = NULL;
    loop_wait(&loop, !uv_loop_alive(&loop));
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void destroy_before_it_is_connected(void **state)
{
    (void)state;
    int fds[64];
    cleanup_close int listener = listen_at(path, 2);
    size_t count = fill_queue(fds);
    connect_side(&b, path);
    send_to(&b, FRAME_LINK_HELLO, "{}", 2);
    chan_destroy(b.chan, false);
    b.chan = NULL;
    connect_side(&b, path); /* nothing queued: a linger has nothing to wait for */
    chan_destroy(b.chan, true);
    b.chan = NULL;
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void listener_that_never_gets_free(void **state)
{
    (void)state;
    int fds[64];
    cleanup_close int listener = listen_at(path, 2);
    size_t count = fill_queue(fds);
    connect_side(&b, path);
    loop_wait(&loop, b.closed == 1);
    assert_int_equal(b.why.code, ERR_BAD_GATEWAY);
    assert_int_equal(b.why.sys_errno, EAGAIN);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* 3 MB through 200 channels at once, opened and closed all the time. */
static void many_channels(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static struct side sides[2 * COUNT];
    for (unsigned round = 0; round < 3; round++) {
        memset(sides, 0, sizeof(sides));
        for (unsigned i = 0; i < COUNT; i++) {
            int ends[2];
            make_pair(ends);
            open_side(&sides[2 * i], ends[0]);
            open_side(&sides[2 * i + 1], ends[1]);
            for (unsigned k = 0; k < 5; k++)
                send_to(&sides[2 * i], FRAME_STDOUT, pattern(1000, i), 1000);
            if (i % 3 == round) { /* some are gone before anything came */
                destroy(&sides[2 * i + 1]);
                continue;
            }
            sides[2 * i].linger = i % 2;
            sides[2 * i + 1].destroy_when_closed = true;
        }
        for (unsigned i = 0; i < COUNT; i++)
            if (sides[2 * i + 1].chan)
                loop_wait(&loop, sides[2 * i + 1].count == 5);
        for (unsigned i = 0; i < COUNT; i++)
            destroy(&sides[2 * i]);
        for (unsigned i = 0; i < COUNT; i++)
            loop_wait(&loop, !sides[2 * i + 1].chan);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_AT(function) cmocka_unit_test_setup_teardown(function, set_up_folder, tear_down_folder)
    const struct CMUnitTest tests[] = {
        TEST(frames_arrive_whole_and_in_order),
        TEST(megabyte_control_frames_both_ways),
        TEST(bytes_one_by_one),
        TEST(many_small_frames_in_one_read),
        TEST(flood_of_small_frames_gives_way),
        TEST(end_of_file_is_no_error),
        TEST(end_in_the_middle_of_a_frame),
        TEST(garbage_ends_it),
        TEST(queue_rises_and_drains),
        TEST(below_high_nothing_drains),
        TEST(relay_with_back_pressure_loses_nothing),
        TEST(slow_peer_is_closed),
        TEST(longest_frame_behind_a_full_queue),
        TEST(too_long_a_frame_ends_it_here),
        TEST(nothing_is_delivered_while_paused),
        TEST(pause_while_frames_are_buffered),
        TEST(pause_and_resume_inside_a_callback),
        TEST(pause_with_a_full_buffer),
        TEST(destroy_inside_on_frame),
        TEST(destroy_inside_on_frame_after_a_pause),
        TEST(destroy_inside_on_closed),
        TEST(destroy_inside_on_drain),
        TEST(destroy_drops_or_lingers),
        TEST(linger_with_nothing_queued_ends_at_once),
        TEST(linger_ends_when_the_peer_goes),
        TEST(destroying_nothing_or_twice),
        TEST(answer_of_a_peer_that_stopped_reading),
        TEST(answer_when_a_send_fails_at_once),
        TEST(deaf_peer_drains),
        TEST(other_ops_from_the_next_frame_on),
        TEST(descriptor_of_the_channel),
        TEST(blocking_socket_is_made_non_blocking),
        TEST(no_socket_at_all),
        TEST_AT(connects_and_sends_at_once),
        TEST_AT(connect_that_fails),
        TEST_AT(path_of_the_longest_kind),
        TEST_AT(busy_listener_is_waited_for),
        TEST_AT(linger_before_it_is_connected),
        TEST_AT(linger_has_an_end),
        TEST_AT(destroy_before_it_is_connected),
        TEST_AT(listener_that_never_gets_free),
        TEST(many_channels),
    };
    return cmocka_run_group_tests_name("chan", tests, NULL, NULL);
}
