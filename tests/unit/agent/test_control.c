#include "session.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <sys/socket.h>

static void test_hello(void **state)
{
    struct cell cell;
    struct agent_hello hello;
    (void)state;
    cell_start(&cell, 1 << 20);
    session_expect(&cell, 0, "echo", "\n");
    session_expect(&cell, 0, "echo", "\n");
    cell_unlisten(&cell);
    cell_listen(&cell);
    cell_accept(&cell, &hello);
    assert_int_equal(hello.version, AGENT_PROTOCOL);
    assert_int_equal(hello.operations, 2);
    cell_stop(&cell);
}

static void test_operation_outlives_the_connection(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct outcome outcome;
    struct frame frame;
    struct agent_hello hello;
    session_begin(cell, &session);
    session_sh(&session, 0, "read x; echo got $x; read x; echo got $x; exit 4");
    session_started(&session);
    cell_unlisten(cell);
    session_frame(&session, FRAME_STDIN, "one\n", 4);
    assert_true(session_next(&session, &frame));
    assert_memory_equal(frame.payload, "got one\n", frame.len);
    cell_listen(cell);
    cell_accept(cell, &hello);
    assert_int_equal(hello.operations, 1);
    session_frame(&session, FRAME_STDIN, "two\n", 4);
    assert_true(session_next(&session, &frame));
    assert_memory_equal(frame.payload, "got two\n", frame.len);
    assert_true(session_next(&session, &frame));
    assert_true(agent_exit_decode(frame.payload, frame.len, &outcome.exit));
    assert_int_equal(outcome.exit.exit, 4);
    session_end(&session);
    session_expect(cell, 0, "echo more", "more\n");
}

static void test_comes_back_again_and_again(void **state)
{
    struct cell *cell = *state;
    struct agent_hello hello;
    for (int i = 0; i < 5; i++) {
        fd_close(&cell->control); /* the listener stays */
        cell_accept(cell, &hello);
    }
    session_expect(cell, 0, "echo here", "here\n");
}

static void expect_reconnection(struct cell *cell)
{
    struct agent_hello hello;
    unsigned char byte;
    assert_int_equal(recv(cell->control, &byte, 1, MSG_WAITALL), 0); /* it has hung up */
    cell_accept(cell, &hello);
    session_expect(cell, 0, "echo well", "well\n");
}

static void test_nonsense(void **state)
{
    struct cell *cell = *state;
    unsigned char frame[FRAME_HEADER_LEN + 64] = {0};
    static const uint8_t types[] = {0, 255, FRAME_AGENT_HELLO, FRAME_AGENT_EXEC, FRAME_STDIN};
    for (size_t i = 0; i < sizeof(types); i++) {
        frame_put_header(frame, types[i], 0, 4);
        assert_int_equal(fd_send(cell->control, frame, FRAME_HEADER_LEN, NULL, 0), 0);
        expect_reconnection(cell);
    }
    frame_put_header(frame, FRAME_AGENT_OPEN, 0, 65); /* too long */
    assert_int_equal(fd_send(cell->control, frame, FRAME_HEADER_LEN, NULL, 0), 0);
    expect_reconnection(cell);
    frame_put_header(frame, FRAME_AGENT_OPEN, 0, 64); /* no such message */
    assert_int_equal(fd_send(cell->control, frame, sizeof(frame), NULL, 0), 0);
    expect_reconnection(cell);
    frame_put_header(frame, FRAME_AGENT_OP_SIGNAL, 0, 0); /* of whom, and which? */
    assert_int_equal(fd_send(cell->control, frame, FRAME_HEADER_LEN, NULL, 0), 0);
    expect_reconnection(cell);
    frame_put_header(frame, FRAME_AGENT_OPEN, 0, 4); /* no socket */
    assert_int_equal(fd_send(cell->control, frame, FRAME_HEADER_LEN + 4, NULL, 0), 0);
    expect_reconnection(cell);
}

static void test_descriptors_without_a_use(void **state)
{
    struct cell *cell = *state;
    unsigned before = cell_descriptors(cell);
    unsigned char frame[FRAME_HEADER_LEN + 4] = {0};
    const int fds[4] = {cell->listener, cell->listener, cell->listener, cell->listener};
    frame_put_header(frame, FRAME_AGENT_OPEN, 0, 4);
    /* Two sets for one message. */
    assert_int_equal(fd_send(cell->control, frame, 4, fds, 4), 0);
    assert_int_equal(fd_send(cell->control, frame + 4, 8, fds, 4), 0);
    expect_reconnection(cell);
    cell_wait(cell_descriptors(cell) == before);
}

/* A message in pieces, and several at once. */
static void test_pieces(void **state)
{
    struct cell *cell = *state;
    unsigned char frames[2 * (FRAME_HEADER_LEN + 4)] = {0};
    int pair[2];
    frame_put_header(frames, FRAME_AGENT_OPEN, 0, 4);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fd_send(cell->control, frames, 1, &pair[1], 1), 0);
    for (int i = 1; i < FRAME_HEADER_LEN + 4; i++) {
        assert_int_equal(fd_send(cell->control, frames + i, 1, NULL, 0), 0);
        cell_nap();
    }
    close(pair[1]);
    struct session session;
    struct outcome outcome;
    session_over(&session, pair[0]);
    session_sh(&session, 0, "echo in pieces");
    session_finish(&session, &outcome);
    assert_string_equal(outcome.out, "in pieces\n");
    outcome_free(&outcome);
    enum { MANY = 20 };
    struct session many[MANY];
    for (int i = 0; i < MANY; i++)
        session_begin(cell, &many[i]);
    for (int i = MANY - 1; i >= 0; i--) {
        session_sh(&many[i], 0, "echo of many");
        session_finish(&many[i], &outcome);
        assert_string_equal(outcome.out, "of many\n");
        outcome_free(&outcome);
    }
}

/* A descriptor that is no socket ends its own operation, and no more. */
static void test_other_descriptors(void **state)
{
    struct cell *cell = *state;
    unsigned char frame[FRAME_HEADER_LEN + 4] = {0};
    unsigned before = cell_descriptors(cell);
    int pipes[2];
    frame_put_header(frame, FRAME_AGENT_OPEN, 0, 4);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(fd_send(cell->control, frame, sizeof(frame), &pipes[0], 1), 0);
    close(pipes[0]);
    close(pipes[1]);
    session_expect(cell, 0, "echo well", "well\n");
    cell_wait(cell_descriptors(cell) == before);
}

int main(int argc, char **argv)
{
    cell_init(argc, argv);
#define CELL_TEST(test) cmocka_unit_test_setup_teardown(test, cell_setup, cell_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        CELL_TEST(test_operation_outlives_the_connection),
        CELL_TEST(test_comes_back_again_and_again),
        CELL_TEST(test_nonsense),
        CELL_TEST(test_descriptors_without_a_use),
        CELL_TEST(test_pieces),
        CELL_TEST(test_other_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
