/* What becomes of an operation whose worker is away, slow, or says no. The small calls stand for
 * all operations; what is special to runs is in the tests of the runner routes.
 */
#include "../../../src/common/log.h"
#include "../../../src/manager/calls.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <stdlib.h>
#include <unistd.h>

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX], path[PATH_MAX];
    struct fake_worker *fake;
    struct worker *worker;
    unsigned done;
    bool ok;
    struct failure failure;
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    snprintf(rig->path, sizeof(rig->path), "%s", scratch_path(rig->folder, "worker.sock"));
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    rig->worker = worker_create(&rig->loop, "local", link_local_create(&rig->loop, rig->path));
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    worker_destroy(rig->worker);
    fake_worker_destroy(rig->fake);
    scratch_remove(rig->folder);
    loop_finish(&rig->loop);
    free(rig);
    return 0;
}

static void on_done(const json_t *result, const struct failure *failure, void *data)
{
    struct rig *rig = data;
    rig->done++;
    rig->ok = result != NULL;
    assert_int_equal(result != NULL, failure == NULL);
    if (failure)
        rig->failure = *failure;
}

static void kill_worker(struct rig *rig)
{
    fake_worker_destroy(rig->fake);
    rig->fake = NULL;
    unlink(rig->path);
}

/* The manager has just started and has not heard of its worker. */
static void test_waits_for_the_first_contact(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    assert_false(worker_up(rig->worker));
    assert_non_null(call_zombies(&rig->loop, rig->worker, false, on_done, rig, &failure));
    loop_wait(&rig->loop, rig->done);
    assert_true(rig->ok);
}

static void test_waits_for_a_restart(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    loop_wait(&rig->loop, worker_up(rig->worker));
    kill_worker(rig);
    /* One that starts before the loss is known, and one after. */
    assert_non_null(call_zombies(&rig->loop, rig->worker, false, on_done, rig, &failure));
    loop_wait(&rig->loop, !worker_up(rig->worker));
    assert_non_null(call_zombies(&rig->loop, rig->worker, false, on_done, rig, &failure));
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_int_equal(rig->done, 0);
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    loop_wait(&rig->loop, rig->done == 2);
    assert_true(rig->ok);
    assert_int_equal(fake_worker_seen(rig->fake)->zombies, 2);
}

static void on_failed(const struct failure *failure, void *data)
{
    on_done(NULL, failure, data);
}

static void send_zombies(struct link_conn *conn, void *data)
{
    (void)data;
    link_conn_send(conn, FRAME_ZOMBIES, "{}", 2);
}

static void ignore(const struct frame *frame, void *data)
{
    (void)frame;
    (void)data;
}

static const struct op_ops plain_ops = {.send = send_zombies, .frame = ignore, .failed = on_failed};

static void test_does_not_wait_past_its_time(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    loop_wait(&rig->loop, worker_up(rig->worker));
    kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig->worker));
    struct op *op = op_start(&rig->loop, rig->worker, 100, 0, &plain_ops, rig, &failure);
    assert_non_null(op);
    loop_wait(&rig->loop, rig->done);
    assert_int_equal(rig->failure.err.code, ERR_NOT_AVAILABLE);
    assert_contains(rig->failure.err.msg, "\"local\" is out of reach: ");
    assert_int_equal(rig->failure.retry_after_ms, 1000);
    op_destroy(op);
}

/* A worker that has been away for longer than a restart takes is not waited for at all. */
static void test_gives_up_on_a_worker_that_is_gone(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    loop_wait(&rig->loop, worker_up(rig->worker));
    kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig->worker));
    mono_us gone = worker_since_us(rig->worker) + OP_WORKER_GRACE_MS * US_PER_MS;
    struct op *op = op_start(&rig->loop, rig->worker, 600000, 0, &plain_ops, rig, &failure);
    assert_non_null(op);
    loop_wait(&rig->loop, rig->done);
    assert_int_equal(rig->failure.err.code, ERR_NOT_AVAILABLE);
    op_destroy(op);
    loop_wait(&rig->loop, clock_now(&clock_system) >= gone); /* a timer may be early by a turn */
    assert_null(op_start(&rig->loop, rig->worker, 600000, 0, &plain_ops, rig, &failure));
    assert_int_equal(failure.err.code, ERR_NOT_AVAILABLE);
    assert_int_equal(failure.retry_after_ms, 1000);
}

static void drop(struct fake_op *op, const struct fake_request *request, void *data)
{
    unsigned *left = data;
    (void)request;
    if (*left == 0) {
        fake_op_error(op, "runnerNotFound", "there is none", 0);
        return;
    }
    --*left;
    fake_op_drop(op);
}

/* The answer was lost, and then the runner was not there: it had been destroyed. */
static void test_destroy_whose_answer_was_lost(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    unsigned drops = 3;
    loop_wait(&rig->loop, worker_up(rig->worker));
    fake_worker_script(rig->fake, drop, &drops);
    assert_non_null(call_destroy_runner(&rig->loop, rig->worker, "demo", on_done, rig, &failure));
    loop_wait(&rig->loop, rig->done);
    assert_true(rig->ok);
    assert_int_equal(fake_worker_seen(rig->fake)->destroys, 4);
    /* At the first try it is what it says. */
    assert_non_null(call_destroy_runner(&rig->loop, rig->worker, "demo", on_done, rig, &failure));
    loop_wait(&rig->loop, rig->done == 2);
    assert_false(rig->ok);
    assert_int_equal(rig->failure.err.code, ERR_RUNNER_NOT_FOUND);
}

static void nonsense(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    fake_op_answer(op, data ? FRAME_LINK_ERROR : FRAME_STARTED, "{\"name\":7}");
}

static void test_answers_that_are_wrong(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    loop_wait(&rig->loop, worker_up(rig->worker));
    for (int i = 0; i < 2; i++) {
        fake_worker_script(rig->fake, nonsense, i ? rig : NULL);
        assert_non_null(call_zombies(&rig->loop, rig->worker, true, on_done, rig, &failure));
        loop_wait(&rig->loop, rig->done == (unsigned)i + 1);
        assert_false(rig->ok);
        assert_int_equal(rig->failure.err.code, ERR_BAD_GATEWAY);
    }
}

static struct fake_op *held;

static void hold(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    (void)data;
    held = op;
}

static void test_cancelled(void **state)
{
    struct rig *rig = *state;
    struct failure failure;
    loop_wait(&rig->loop, worker_up(rig->worker));
    fake_worker_script(rig->fake, hold, NULL);
    struct call *call = call_zombies(&rig->loop, rig->worker, false, on_done, rig, &failure);
    loop_wait(&rig->loop, held);
    call_cancel(call);
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->abandoned == 1);
    kill_worker(rig);
    loop_wait(&rig->loop, !worker_up(rig->worker));
    call = call_zombies(&rig->loop, rig->worker, false, on_done, rig, &failure);
    call_cancel(call); /* while it waits */
    assert_int_equal(rig->done, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_waits_for_the_first_contact),
        TEST(test_waits_for_a_restart),
        TEST(test_does_not_wait_past_its_time),
        TEST(test_gives_up_on_a_worker_that_is_gone),
        TEST(test_destroy_whose_answer_was_lost),
        TEST(test_answers_that_are_wrong),
        TEST(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
