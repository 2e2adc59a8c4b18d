/* What becomes of signals on their way to a worker: in order, on a connection of their own, which
 * may not be there yet, be slow, or break.
 */
#include "../../../src/manager/steer.h"

#include "../../../src/common/log.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEY "00000000000000ab"
#define OTHER_KEY "00000000000000cd"

/* A connection behind STEER, as the worker has it. */
struct heard {
    struct fake_op *op;
    char key[17];
    struct buf names; /* of its signals, a space after each */
};

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX], path[PATH_MAX];
    struct fake_worker *fake;
    struct worker *worker;
    struct heard heard[8];
    unsigned heard_len;
    bool reads_nothing;                    /* behind STEER */
    void (*on_signal)(struct fake_op *op); /* what the worker does then; NULL: nothing */
    struct steer *steer;
    unsigned drains;
    bool calling; /* steer is in a call of ours: it must not call back */
    bool ends_in_drain;
    struct listener listener;
    unsigned changes;
};

static void on_script(struct fake_op *op, const struct fake_request *request, void *data)
{
    struct rig *rig = data;
    struct heard *heard;
    assert_int_equal(json_object_size(request->message), 1);
    if (request->type == FRAME_STEER) {
        assert_true(rig->heard_len < sizeof(rig->heard) / sizeof(rig->heard[0]));
        heard = &rig->heard[rig->heard_len++];
        heard->op = op;
        buf_init(&heard->names, 64 * 1024 * 1024);
        snprintf(heard->key, sizeof(heard->key), "%s",
                 json_string_value(json_object_get(request->message, "key")));
        if (rig->reads_nothing)
            fake_op_pause(op);
        return;
    }
    assert_int_equal(request->type, FRAME_SIGNAL);
    heard = &rig->heard[rig->heard_len - 1];
    while (heard->op != op) /* the newest first: an address may come again */
        assert_true(--heard >= rig->heard);
    buf_printf(&heard->names, "%s ",
               json_string_value(json_object_get(request->message, "signal")));
    if (rig->on_signal)
        rig->on_signal(op);
}

static void on_drain(void *data)
{
    struct rig *rig = data;
    assert_false(rig->calling);
    rig->drains++;
    if (!rig->ends_in_drain)
        return;
    steer_destroy(rig->steer);
    rig->steer = NULL;
}

static const struct steer_ops ops = {.drain = on_drain};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    snprintf(rig->path, sizeof(rig->path), "%s", scratch_path(rig->folder, "worker.sock"));
    *state = rig;
    return 0;
}

static void listen_there(struct rig *rig)
{
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    fake_worker_script(rig->fake, on_script, rig);
}

static void look_there(struct rig *rig)
{
    rig->worker = worker_create(&rig->loop, "local", link_local_create(&rig->loop, rig->path));
}

static void begin(struct rig *rig)
{
    listen_there(rig);
    look_there(rig);
    loop_wait(&rig->loop, worker_up(rig->worker));
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    steer_destroy(rig->steer);
    assert_int_equal(worker_get_load(rig->worker)->operations, 0);
    worker_destroy(rig->worker);
    fake_worker_destroy(rig->fake);
    for (unsigned i = 0; i < rig->heard_len; i++)
        buf_finish(&rig->heard[i].names);
    scratch_remove(rig->folder);
    loop_finish(&rig->loop);
    free(rig);
    return 0;
}

static void create(struct rig *rig)
{
    char key[] = KEY;
    rig->steer = steer_create(rig->worker, key, &ops, rig);
    memset(key, 'x', sizeof(key) - 1); /* it has been copied */
}

static bool send_signal(struct rig *rig, const char *name)
{
    rig->calling = true;
    bool room = steer_signal(rig->steer, name);
    rig->calling = false;
    return room;
}

static const char *names_of(const struct rig *rig, unsigned connection)
{
    if (connection >= rig->heard_len || rig->heard[connection].names.len == 0)
        return "";
    return rig->heard[connection].names.data;
}

/* One of some, so that two in the wrong order are seen. */
static const char *nth_name(unsigned n)
{
    static const char *const names[] = {"SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGWINCH"};
    return names[n % 5];
}

static void expect_many(const struct rig *rig, unsigned connection, unsigned count)
{
    struct buf expected;
    buf_init(&expected, 64 * 1024 * 1024);
    for (unsigned i = 0; i < count; i++)
        buf_printf(&expected, "%s ", nth_name(i));
    assert_int_equal(rig->heard[connection].names.len, expected.len);
    assert_string_equal(names_of(rig, connection), expected.data);
    buf_finish(&expected);
}

/* How many have been sent when it says that this is enough, count having been before. */
static unsigned send_until_full(struct rig *rig, unsigned count)
{
    while (send_signal(rig, nth_name(count++)))
        if (count == 1000000)
            fail_msg("there is no bound");
    return count;
}

/* ---- in order ---- */

static void signals_come_in_order_on_one_connection(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    assert_true(steer_has_room(rig->steer));
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_int_equal(fake_worker_seen(rig->fake)->steers, 0); /* nobody has sent a signal */
    assert_true(send_signal(rig, "SIGINT"));
    assert_true(send_signal(rig, "SIGTERM"));
    assert_true(send_signal(rig, "SIGTERM")); /* each counts, also when they are the same */
    assert_true(send_signal(rig, "SIGSTKFLT"));
    loop_wait(&rig->loop, strstr(names_of(rig, 0), "SIGSTKFLT"));
    assert_true(send_signal(rig, "SIGKILL"));
    loop_wait(&rig->loop, strstr(names_of(rig, 0), "SIGKILL"));
    assert_string_equal(names_of(rig, 0), "SIGINT SIGTERM SIGTERM SIGSTKFLT SIGKILL ");
    assert_string_equal(rig->heard[0].key, KEY);
    assert_int_equal(fake_worker_seen(rig->fake)->steers, 1);
    assert_true(steer_has_room(rig->steer));
    assert_int_equal(rig->drains, 0);
}

static void each_run_has_a_connection_of_its_own(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    struct steer *other = steer_create(rig->worker, OTHER_KEY, &ops, rig);
    assert_true(send_signal(rig, "SIGINT"));
    loop_wait(&rig->loop, rig->heard_len == 1);
    assert_true(steer_signal(other, "SIGHUP"));
    assert_true(send_signal(rig, "SIGTERM"));
    assert_true(steer_signal(other, "SIGQUIT"));
    loop_wait(&rig->loop,
              strstr(names_of(rig, 0), "SIGTERM") && strstr(names_of(rig, 1), "SIGQUIT"));
    assert_string_equal(rig->heard[0].key, KEY);
    assert_string_equal(names_of(rig, 0), "SIGINT SIGTERM ");
    assert_string_equal(rig->heard[1].key, OTHER_KEY);
    assert_string_equal(names_of(rig, 1), "SIGHUP SIGQUIT ");
    /* The end of one is none of the other's. */
    steer_destroy(other);
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == 1);
    assert_true(send_signal(rig, "SIGUSR2"));
    loop_wait(&rig->loop, strstr(names_of(rig, 0), "SIGUSR2"));
    assert_int_equal(rig->drains, 0);
}

/* A listener whose queue is full, so that who connects has to try again. */
static int listen_deaf(const char *path, int clients[8])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), i = 0;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (;; i++) {
        assert_true(i < 8);
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(clients[i], (struct sockaddr *)&address, sizeof(address)) != 0)
            break;
    }
    assert_int_equal(errno, EAGAIN);
    close(clients[i]);
    clients[i] = -1;
    return listener;
}

static void signals_wait_for_their_connection(void **state)
{
    struct rig *rig = *state;
    int clients[8];
    int listener = listen_deaf(rig->path, clients);
    look_there(rig);
    create(rig);
    assert_true(send_signal(rig, "SIGINT"));
    assert_true(send_signal(rig, "SIGTERM"));
    loop_turn(&rig->loop); /* it tries, in vain */
    assert_true(send_signal(rig, "SIGHUP"));
    assert_int_equal(rig->drains, 0);
    close(listener);
    for (int i = 0; clients[i] >= 0; i++)
        close(clients[i]);
    listen_there(rig); /* in that one's place */
    loop_wait(&rig->loop, strstr(names_of(rig, 0), "SIGHUP"));
    assert_string_equal(names_of(rig, 0), "SIGINT SIGTERM SIGHUP ");
    assert_string_equal(rig->heard[0].key, KEY);
    assert_int_equal(rig->drains, 0);
}

/* ---- bounds ---- */

static void worker_that_is_slow_is_told_all_of_them(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    rig->reads_nothing = true;
    assert_true(send_signal(rig, nth_name(0)));
    loop_wait(&rig->loop, rig->heard_len == 1);
    unsigned count = send_until_full(rig, 1);
    assert_true(count > CHAN_HIGH / 64); /* what a channel holds, and the kernel */
    assert_false(steer_has_room(rig->steer));
    assert_false(send_signal(rig, nth_name(count++))); /* it is sent all the same */
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_false(steer_has_room(rig->steer));
    assert_int_equal(rig->drains, 0);
    assert_string_equal(names_of(rig, 0), "");
    fake_op_resume(rig->heard[0].op);
    loop_wait(&rig->loop, rig->drains > 0);
    assert_true(steer_has_room(rig->steer));
    assert_true(send_signal(rig, nth_name(count++)));
    assert_true(send_signal(rig, "SIGSTOP"));
    loop_wait(&rig->loop, strstr(names_of(rig, 0), "SIGSTOP"));
    assert_int_equal(rig->heard_len, 1);
    rig->heard[0].names.len -= strlen("SIGSTOP ");
    rig->heard[0].names.data[rig->heard[0].names.len] = '\0';
    expect_many(rig, 0, count);
    assert_int_equal(rig->drains, 1);
}

static void worker_that_reads_nothing_at_all_is_given_up(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    rig->reads_nothing = true;
    send_signal(rig, "SIGTERM");
    loop_wait(&rig->loop, rig->heard_len == 1);
    send_until_full(rig, 0);
    for (unsigned i = 0; i < CHAN_CAP / 16; i++) /* more than its queue holds */
        assert_false(send_signal(rig, "SIGTERM"));
    assert_int_equal(rig->drains, 0);
    loop_wait(&rig->loop, rig->drains > 0);
    assert_true(steer_has_room(rig->steer));
    rig->reads_nothing = false;
    assert_true(send_signal(rig, "SIGINT")); /* by another connection */
    loop_wait(&rig->loop, strstr(names_of(rig, 1), "SIGINT"));
    assert_string_equal(names_of(rig, 1), "SIGINT ");
    assert_string_equal(rig->heard[1].key, KEY);
    fake_op_resume(rig->heard[0].op); /* that it is over is seen by who reads */
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == 1);
    assert_int_equal(rig->heard_len, 2);
}

/* ---- the connection breaks ---- */

static void say_error(struct fake_op *op)
{
    fake_op_error(op, "badRequest", "what is that?", 0);
}

static void say_something(struct fake_op *op)
{
    fake_op_answer(op, FRAME_RESULT, "{}");
}

static void say_nothing_and_close(struct fake_op *op)
{
    fake_op_drop(op);
}

static void what_is_lost_is_not_sent_again_and_the_next_goes_its_own_way(void **state)
{
    static void (*const ways[])(struct fake_op * op) = {say_error, say_something,
                                                        say_nothing_and_close};
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    for (unsigned i = 0; i < 3; i++) {
        rig->on_signal = ways[i];
        assert_true(send_signal(rig, "SIGTERM"));
        loop_wait(&rig->loop, rig->drains == i + 1);
        assert_true(steer_has_room(rig->steer));
        assert_int_equal(rig->heard_len, i + 1);
        assert_string_equal(names_of(rig, i), "SIGTERM ");
        assert_string_equal(rig->heard[i].key, KEY);
    }
    rig->on_signal = NULL;
    assert_true(send_signal(rig, "SIGINT"));
    assert_true(send_signal(rig, "SIGHUP"));
    loop_wait(&rig->loop, strstr(names_of(rig, 3), "SIGHUP"));
    assert_string_equal(names_of(rig, 3), "SIGINT SIGHUP ");
    assert_int_equal(fake_worker_seen(rig->fake)->steers, 4);
    assert_int_equal(rig->drains, 3);
}

static void worker_that_is_away_costs_the_signals_of_that_time(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    assert_true(send_signal(rig, "SIGINT"));
    loop_wait(&rig->loop, strcmp(names_of(rig, 0), "SIGINT ") == 0);
    fake_worker_destroy(rig->fake);
    rig->fake = NULL;
    unlink(rig->path);
    loop_wait(&rig->loop, rig->drains == 1 && !worker_up(rig->worker));
    for (unsigned i = 2; i < 5; i++) { /* there is nobody to connect to */
        assert_true(send_signal(rig, "SIGTERM"));
        loop_wait(&rig->loop, rig->drains == i);
        assert_true(steer_has_room(rig->steer));
    }
    listen_there(rig);
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_int_equal(rig->heard_len, 1);
    assert_true(send_signal(rig, "SIGHUP"));
    loop_wait(&rig->loop, rig->heard_len == 2 && rig->heard[1].names.len > 0);
    assert_string_equal(names_of(rig, 1), "SIGHUP ");
}

/* One that was not up when the signal was sent. */
static void worker_that_does_not_fit_is_none(void **state)
{
    struct rig *rig = *state;
    listen_there(rig);
    fake_worker_hello(rig->fake, FRAME_LINK_HELLO, "{\"protocol\":2,\"program\":\"earlier\"}");
    look_there(rig);
    create(rig);
    assert_true(send_signal(rig, "SIGTERM"));
    loop_wait(&rig->loop, rig->drains == 1);
    assert_true(steer_has_room(rig->steer));
    fake_worker_hello(rig->fake, FRAME_LINK_HELLO, "{\"protocol\":3,\"program\":\"fake\"}");
    assert_true(send_signal(rig, "SIGINT"));
    loop_wait(&rig->loop, strcmp(names_of(rig, rig->heard_len - 1), "SIGINT ") == 0);
    assert_int_equal(rig->drains, 1);
}

static void way_that_cannot_be_gone_is_no_reason_to_wait(void **state)
{
    struct rig *rig = *state;
    memset(rig->path, 'x', sizeof(rig->path) - 1); /* no socket has such a path */
    rig->path[0] = '/';
    look_there(rig);
    create(rig);
    for (int i = 0; i < 3; i++) {
        assert_true(send_signal(rig, "SIGTERM"));
        assert_true(steer_has_room(rig->steer));
        loop_turn(&rig->loop);
    }
    assert_int_equal(rig->drains, 0);
}

/* ---- its end ---- */

static void it_counts_as_an_operation_of_its_worker(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    struct steer *other = steer_create(rig->worker, OTHER_KEY, &ops, rig);
    assert_int_equal(worker_get_load(rig->worker)->operations, 2);
    assert_int_equal(worker_get_load(rig->worker)->pending, 0);
    steer_destroy(other);
    assert_int_equal(worker_get_load(rig->worker)->operations, 1);
    rig->on_signal = say_nothing_and_close;
    send_signal(rig, "SIGTERM");
    loop_wait(&rig->loop, rig->drains == 1);
    assert_int_equal(worker_get_load(rig->worker)->operations,
                     1); /* with or without a connection */
}

static void on_changed(struct listener *listener)
{
    struct rig *rig = (struct rig *)((char *)listener - offsetof(struct rig, listener));
    rig->changes++;
}

static void worker_that_drains_hears_of_its_end(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    create(rig);
    worker_set_draining(rig->worker, true);
    rig->listener.changed = on_changed;
    worker_listen(rig->worker, &rig->listener);
    assert_true(send_signal(rig, "SIGTERM"));
    loop_wait(&rig->loop, strstr(names_of(rig, 0), "SIGTERM"));
    assert_int_equal(rig->changes, 0);
    steer_destroy(rig->steer);
    rig->steer = NULL;
    assert_int_equal(rig->changes, 1);
    worker_unlisten(rig->worker, &rig->listener);
}

static void it_may_end_at_any_time(void **state)
{
    enum { UNUSED, JUST_SENT, CONNECTED, FULL, LOST, TIMES };
    struct rig *rig = *state;
    steer_destroy(NULL);
    begin(rig);
    for (int time = UNUSED; time < TIMES; time++) {
        unsigned abandoned = fake_worker_seen(rig->fake)->abandoned, heard = rig->heard_len;
        rig->reads_nothing = time == FULL;
        rig->on_signal = time == LOST ? say_nothing_and_close : NULL;
        rig->drains = 0;
        create(rig);
        if (time != UNUSED)
            send_signal(rig, "SIGTERM");
        if (time > JUST_SENT)
            loop_wait(&rig->loop, rig->heard_len == heard + 1);
        if (time == FULL)
            send_until_full(rig, 0);
        if (time == LOST)
            loop_wait(&rig->loop, rig->drains == 1);
        steer_destroy(rig->steer);
        rig->steer = NULL;
        assert_int_equal(worker_get_load(rig->worker)->operations, 0);
        if (time == FULL)
            fake_op_resume(rig->heard[heard].op);
        if (time != UNUSED && time != LOST)
            loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == abandoned + 1);
        assert_int_equal(rig->drains, time == LOST);
    }
}

static void it_may_end_while_it_tells_of_room(void **state)
{
    enum { ANSWERED, CLOSED, DRAINED, WAYS };
    struct rig *rig = *state;
    begin(rig);
    rig->ends_in_drain = true;
    for (int way = ANSWERED; way < WAYS; way++) {
        unsigned heard = rig->heard_len;
        rig->reads_nothing = way == DRAINED;
        rig->on_signal = way == ANSWERED ? say_error : way == CLOSED ? say_nothing_and_close : NULL;
        create(rig);
        send_signal(rig, "SIGTERM");
        if (way == DRAINED) {
            loop_wait(&rig->loop, rig->heard_len == heard + 1);
            send_until_full(rig, 0);
            fake_op_resume(rig->heard[heard].op);
        }
        loop_wait(&rig->loop, !rig->steer);
        assert_int_equal(rig->drains, (unsigned)way + 1);
        assert_int_equal(worker_get_load(rig->worker)->operations, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(signals_come_in_order_on_one_connection),
        TEST(each_run_has_a_connection_of_its_own),
        TEST(signals_wait_for_their_connection),
        TEST(worker_that_is_slow_is_told_all_of_them),
        TEST(worker_that_reads_nothing_at_all_is_given_up),
        TEST(what_is_lost_is_not_sent_again_and_the_next_goes_its_own_way),
        TEST(worker_that_is_away_costs_the_signals_of_that_time),
        TEST(worker_that_does_not_fit_is_none),
        TEST(way_that_cannot_be_gone_is_no_reason_to_wait),
        TEST(it_counts_as_an_operation_of_its_worker),
        TEST(worker_that_drains_hears_of_its_end),
        TEST(it_may_end_at_any_time),
        TEST(it_may_end_while_it_tells_of_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
