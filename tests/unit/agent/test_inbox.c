#include "../../../src/agent/inbox.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static int ends[2];

static int setup(void **state)
{
    (void)state;
    const int room = 4 << 20;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    return setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    return 0;
}

/* A frame whose payload is its own pattern. */
static size_t make(unsigned char *to, uint8_t type, uint32_t len)
{
    frame_put_header(to, type, 0, len);
    for (uint32_t i = 0; i < len; i++)
        to[FRAME_HEADER_LEN + i] = (unsigned char)(i * 31 + len);
    return FRAME_HEADER_LEN + len;
}

static void check(const struct frame *frame, uint8_t type, uint32_t len)
{
    assert_int_equal(frame->type, type);
    assert_int_equal(frame->len, len);
    for (uint32_t i = 0; i < len; i++)
        if ((unsigned char)frame->payload[i] != (unsigned char)(i * 31 + len))
            fail_msg("byte %u of %u is wrong", i, len);
}

static void test_nothing_there(void **state)
{
    (void)state;
    struct inbox inbox = {0};
    struct frame frame;
    size_t used;
    assert_int_equal(inbox_fill(&inbox, ends[1]), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(inbox_peek(&inbox, &frame, &used), FRAME_MORE);
    assert_int_equal(inbox_keep(&inbox), 0);
    fd_close(&ends[0]);
    assert_int_equal(inbox_fill(&inbox, ends[1]), 0);
    inbox_finish(&inbox);
}

static void test_whole_frames_need_no_memory(void **state)
{
    (void)state;
    struct inbox inbox = {0};
    struct frame frame;
    size_t used;
    unsigned char bytes[256];
    size_t len = make(bytes, FRAME_STDIN, 10);
    len += make(bytes + len, FRAME_STDIN_EOF, 0);
    assert_int_equal(write(ends[0], bytes, len), len);
    assert_int_equal(inbox_fill(&inbox, ends[1]), len);
    assert_int_equal(inbox_peek(&inbox, &frame, &used), FRAME_OK);
    check(&frame, FRAME_STDIN, 10);
    inbox_drop(&inbox, used);
    assert_int_equal(inbox_peek(&inbox, &frame, &used), FRAME_OK);
    check(&frame, FRAME_STDIN_EOF, 0);
    inbox_drop(&inbox, used);
    assert_int_equal(inbox_keep(&inbox), 0);
    assert_null(inbox.own);
}

static void test_two_inboxes_share_the_buffer(void **state)
{
    (void)state;
    struct inbox one = {0}, two = {0};
    struct frame frame;
    size_t used;
    unsigned char bytes[256];
    size_t len = make(bytes, FRAME_STDIN, 100);
    assert_int_equal(write(ends[0], bytes, len - 1), len - 1);
    assert_int_equal(inbox_fill(&one, ends[1]), len - 1);
    assert_int_equal(inbox_peek(&one, &frame, &used), FRAME_MORE);
    assert_int_equal(inbox_keep(&one), 0);
    size_t other = make(bytes, FRAME_STDIN, 50);
    assert_int_equal(write(ends[0], bytes, other), other);
    assert_int_equal(inbox_fill(&two, ends[1]), other);
    assert_int_equal(inbox_peek(&two, &frame, &used), FRAME_OK);
    check(&frame, FRAME_STDIN, 50);
    make(bytes, FRAME_STDIN, 100);
    assert_int_equal(write(ends[0], bytes + len - 1, 1), 1);
    assert_int_equal(inbox_fill(&one, ends[1]), 1);
    assert_int_equal(inbox_peek(&one, &frame, &used), FRAME_OK);
    check(&frame, FRAME_STDIN, 100);
    inbox_finish(&one);
    inbox_finish(&two);
}

/* Frames of all sizes, arriving in pieces of all sizes, some left lying for a while. */
static void test_any_pieces(void **state)
{
    (void)state;
    enum { TOTAL = 3 << 20 };
    static const uint32_t sizes[] = {0, 1, 7, 8, 9, 4095, 65535, 65536, 300000, 1048576, 3};
    unsigned char *all = malloc(TOTAL);
    size_t total = 0, sent = 0, frames = sizeof(sizes) / sizeof(sizes[0]), seen = 0;
    for (size_t i = 0; i < frames; i++)
        total +=
            make(all + total, sizes[i] > FRAME_DATA_MAX ? FRAME_AGENT_EXEC : FRAME_STDIN, sizes[i]);
    assert_true(total <= TOTAL);
    struct inbox inbox = {0};
    for (unsigned turn = 1; seen < frames; turn++) {
        size_t piece = turn * 7919 % 50000;
        piece = piece < total - sent ? piece : total - sent;
        assert_int_equal(send(ends[0], all + sent, piece, MSG_DONTWAIT), piece);
        sent += piece;
        if (inbox_fill(&inbox, ends[1]) < 0)
            assert_int_equal(errno, EAGAIN);
        struct frame frame;
        size_t used;
        while (turn % 3 != 0 && inbox_peek(&inbox, &frame, &used) == FRAME_OK) {
            check(&frame, frame.type, sizes[seen++]);
            inbox_drop(&inbox, used);
        }
        assert_int_equal(inbox_keep(&inbox), 0);
    }
    assert_int_equal(inbox.len, 0);
    assert_true(inbox.room <= FRAME_HEADER_LEN + FRAME_DATA_MAX); /* the megabyte is given back */
    inbox_finish(&inbox);
    free(all);
}

static void test_nonsense(void **state)
{
    (void)state;
    struct inbox inbox = {0};
    struct frame frame;
    size_t used;
    unsigned char bytes[FRAME_HEADER_LEN];
    frame_put_header(bytes, 200, 0, 5);
    assert_int_equal(write(ends[0], bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(inbox_fill(&inbox, ends[1]), sizeof(bytes));
    assert_int_equal(inbox_peek(&inbox, &frame, &used), FRAME_BAD);
    assert_int_equal(inbox_keep(&inbox), 0); /* its owner may be slow to give up */
    assert_int_equal(inbox_peek(&inbox, &frame, &used), FRAME_BAD);
    inbox_finish(&inbox);
}

int main(void)
{
#define INBOX_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        INBOX_TEST(test_nothing_there),
        INBOX_TEST(test_whole_frames_need_no_memory),
        INBOX_TEST(test_two_inboxes_share_the_buffer),
        INBOX_TEST(test_any_pieces),
        INBOX_TEST(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
