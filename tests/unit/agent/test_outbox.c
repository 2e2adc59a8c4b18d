#include "../../../src/agent/outbox.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

static int ends[2], tube[2];

static int setup(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    return pipe2(tube, O_CLOEXEC | O_NONBLOCK);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fd_close(&ends[i]);
        fd_close(&tube[i]);
    }
    return 0;
}

static void receive(void *to, size_t len)
{
    assert_int_equal(recv(ends[1], to, len, MSG_WAITALL), len);
}

static void expect_frame(uint8_t type, const void *payload, uint32_t len)
{
    unsigned char bytes[FRAME_HEADER_LEN + 256];
    struct frame frame;
    size_t used;
    receive(bytes, FRAME_HEADER_LEN + len);
    assert_int_equal(frame_parse(bytes, FRAME_HEADER_LEN + len, &frame, &used), FRAME_OK);
    assert_int_equal(frame.type, type);
    assert_int_equal(frame.len, len);
    assert_memory_equal(frame.payload, payload, len);
}

static void test_send(void **state)
{
    (void)state;
    struct outbox outbox = {0};
    char long_payload[OUTBOX_SEND_MAX + 1] = "";
    assert_int_equal(outbox_send(&outbox, ends[0], FRAME_AGENT_STARTED, "1234", 4), 0);
    assert_false(outbox_pending(&outbox));
    assert_null(outbox.data);
    expect_frame(FRAME_AGENT_STARTED, "1234", 4);
    assert_int_equal(
        outbox_send(&outbox, ends[0], FRAME_AGENT_EXIT, long_payload, sizeof(long_payload)), -1);
    assert_int_equal(errno, EMSGSIZE);
}

static void test_relay(void **state)
{
    (void)state;
    struct outbox outbox = {0};
    assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDOUT, tube[0], FRAME_DATA_MAX), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(write(tube[1], "hello", 5), 5);
    assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDERR, tube[0], FRAME_DATA_MAX), 5);
    expect_frame(FRAME_STDERR, "hello", 5);
    assert_int_equal(write(tube[1], "in two", 6), 6);
    assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDOUT, tube[0], 2), 2);
    expect_frame(FRAME_STDOUT, "in", 2);
    assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDOUT, tube[0], 5), 4);
    expect_frame(FRAME_STDOUT, " two", 4);
    assert_int_equal(write(tube[1], "dropped", 7), 7);
    assert_int_equal(outbox_relay(&outbox, -1, FRAME_STDOUT, tube[0], FRAME_DATA_MAX), 7);
    assert_int_equal(recv(ends[1], &(char){0}, 1, MSG_DONTWAIT), -1);
    fd_close(&tube[1]);
    assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDOUT, tube[0], FRAME_DATA_MAX), 0);
}

/* What a full socket does not take is kept, whole and in order, and no more than that. */
static void test_full_socket(void **state)
{
    (void)state;
    struct outbox outbox = {0};
    static char block[FRAME_DATA_MAX];
    size_t frames = 0;
    memset(block, 'x', sizeof(block));
    while (!outbox_pending(&outbox)) {
        assert_int_equal(write(tube[1], block, sizeof(block)), sizeof(block));
        assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDOUT, tube[0], FRAME_DATA_MAX),
                         sizeof(block));
        frames++;
    }
    assert_int_equal(outbox_flush(&outbox, ends[0]), 0);
    assert_true(outbox_pending(&outbox));
    assert_int_equal(outbox_send(&outbox, ends[0], FRAME_AGENT_EXIT, "last words", 10), 0);
    for (size_t i = 0; i < frames; i++) {
        unsigned char *frame = malloc(FRAME_HEADER_LEN + FRAME_DATA_MAX);
        for (size_t got = 0; got < FRAME_HEADER_LEN + FRAME_DATA_MAX;) {
            ssize_t len =
                recv(ends[1], frame + got, FRAME_HEADER_LEN + FRAME_DATA_MAX - got, MSG_DONTWAIT);
            if (len > 0)
                got += (size_t)len;
            assert_int_equal(outbox_flush(&outbox, ends[0]), 0);
        }
        assert_int_equal(frame[0], FRAME_STDOUT);
        assert_memory_equal(frame + FRAME_HEADER_LEN, block, FRAME_DATA_MAX);
        free(frame);
    }
    assert_int_equal(outbox_flush(&outbox, ends[0]), 0);
    assert_false(outbox_pending(&outbox));
    expect_frame(FRAME_AGENT_EXIT, "last words", 10);
    /* And again, with the memory it has. */
    assert_int_equal(outbox_send(&outbox, ends[0], FRAME_AGENT_EXIT, "x", 1), 0);
    expect_frame(FRAME_AGENT_EXIT, "x", 1);
    outbox_finish(&outbox);
    assert_null(outbox.data);
}

static void test_peer_is_gone(void **state)
{
    (void)state;
    struct outbox outbox = {0};
    fd_close(&ends[1]);
    assert_int_equal(outbox_send(&outbox, ends[0], FRAME_AGENT_EXIT, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(write(tube[1], "hello", 5), 5);
    assert_int_equal(outbox_relay(&outbox, ends[0], FRAME_STDOUT, tube[0], FRAME_DATA_MAX), -1);
    assert_int_equal(errno, EPIPE);
}

int main(void)
{
#define OUTBOX_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(test_send),
        OUTBOX_TEST(test_relay),
        OUTBOX_TEST(test_full_socket),
        OUTBOX_TEST(test_peer_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
