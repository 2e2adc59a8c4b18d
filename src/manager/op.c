#include "op.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/mem.h"

#include <string.h>

/* How it works. An operation is either waiting (it listens for the worker to come up, or pauses
 * between two tries) or sent (it has a connection). Its one timer ends whichever it is in: a wait
 * by `reach_until` or the worker's grace, a sent operation by `last_until`.
 */
struct op {
    struct worker *worker;
    const struct op_ops *ops;
    void *data;
    struct link_conn *conn;
    uv_timer_t *timer; /* frees itself when it is closed */
    struct worker_listener listener;
    bool listening, committed;
    unsigned tries;
    mono_us reach_until, last_until;
    char runner[NAME_MAX_LEN + 1];
    struct err last; /* why the last try failed */
};

#define PAUSE_MS 20

static void try_send(struct op *op);

static void stop_waiting(struct op *op)
{
    uv_timer_stop(op->timer);
    if (op->listening)
        worker_unlisten(op->worker, &op->listener);
    op->listening = false;
}

static void fail(struct op *op, const struct err *err, int64_t retry_after_ms)
{
    stop_waiting(op);
    link_conn_destroy(op->conn);
    op->conn = NULL;
    struct failure failure = {.err = *err, .retry_after_ms = retry_after_ms};
    memcpy(failure.runner, op->runner, sizeof(failure.runner));
    op->ops->failed(&failure, op->data);
}

static void out_of_reach(const struct op *op, struct err *err)
{
    const char *why = worker_last_error(op->worker);
    if (!why[0])
        why = op->last.msg[0] ? op->last.msg : "it has not answered yet";
    err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" is out of reach: %.120s",
            worker_name(op->worker), why);
}

static void on_wait_over(uv_timer_t *timer)
{
    struct op *op = timer->data;
    struct err err;
    out_of_reach(op, &err);
    fail(op, &err, 1000);
}

static void on_guard(uv_timer_t *timer)
{
    struct op *op = timer->data;
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the worker \"%s\" did not answer in time",
            worker_name(op->worker));
    fail(op, &err, 0);
}

static void on_pause_over(uv_timer_t *timer)
{
    struct op *op = timer->data;
    if (clock_now(&clock_system) >= op->reach_until)
        on_wait_over(timer);
    else
        try_send(op);
}

static void on_worker_changed(struct worker_listener *listener)
{
    struct op *op = (struct op *)((char *)listener - offsetof(struct op, listener));
    if (worker_up(op->worker))
        try_send(op);
}

/* The connection is gone, or could not be made, before the operation had an effect. */
static void try_again(struct op *op, const struct err *why)
{
    op->last = *why;
    link_conn_destroy(op->conn);
    op->conn = NULL;
    /* The first loss may be a spare connection that was dead already: no need to pause. */
    uv_timer_start(op->timer, on_pause_over, op->tries > 1 ? PAUSE_MS : 0, 0);
}

static void on_link_error(struct op *op, const struct frame *frame)
{
    const char *name = "", *message = "", *runner = "";
    int64_t retry_after_ms = 0;
    struct err err;
    cleanup_json json_t *json = json_parse_object(frame->payload, frame->len, false, &err);
    if (!json || json_get_string(json, "name", true, &name, NULL, &err) != 0 ||
        json_get_string(json, "message", true, &message, NULL, &err) != 0 ||
        json_get_string(json, "runner", false, &runner, NULL, &err) != 0 ||
        json_get_int(json, "retryAfterMs", false, 0, INT32_MAX, &retry_after_ms, &err) != 0) {
        err_context(&err, "LINK_ERROR of the worker");
        err.code = ERR_BAD_GATEWAY;
    } else {
        err_set(&err, err_from_name(name), "%.239s", message);
    }
    if (id_name_valid(runner))
        strcpy(op->runner, runner);
    fail(op, &err, retry_after_ms);
}

static void on_frame(struct link_conn *conn, const struct frame *frame, void *data)
{
    (void)conn;
    struct op *op = data;
    if (frame->type == FRAME_LINK_ERROR)
        on_link_error(op, frame);
    else
        op->ops->frame(frame, op->data);
}

static void on_closed(struct link_conn *conn, const struct err *why, void *data)
{
    (void)conn;
    struct op *op = data;
    if (!op->committed) {
        try_again(op, why);
        return;
    }
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the worker was lost during the run: %.150s",
            why->code == ERR_NONE ? "it closed the connection" : why->msg);
    fail(op, &err, 0);
}

static void on_drain(struct link_conn *conn, void *data)
{
    (void)conn;
    struct op *op = data;
    if (op->ops->drain)
        op->ops->drain(op->data);
}

static const struct link_conn_ops conn_ops = {
    .on_frame = on_frame,
    .on_closed = on_closed,
    .on_drain = on_drain,
};

static int64_t ms_until(mono_us when)
{
    mono_us left = when - clock_now(&clock_system);
    return left > 0 ? left / US_PER_MS : 0;
}

/* When to stop waiting for a worker that is down. */
static mono_us wait_until(const struct op *op)
{
    mono_us grace = worker_since_us(op->worker) + (mono_us)OP_WORKER_GRACE_MS * US_PER_MS;
    return grace < op->reach_until ? grace : op->reach_until;
}

static void wait_for_worker(struct op *op)
{
    if (!op->listening)
        worker_listen(op->worker, &op->listener);
    op->listening = true;
    uv_timer_start(op->timer, on_wait_over, (uint64_t)ms_until(wait_until(op)) + 1, 0);
}

static void try_send(struct op *op)
{
    if (!worker_up(op->worker)) {
        wait_for_worker(op);
        return;
    }
    stop_waiting(op);
    op->tries++;
    struct err err;
    op->conn = link_open(worker_link(op->worker), &conn_ops, op, &err);
    if (!op->conn) {
        try_again(op, &err);
        return;
    }
    uv_timer_start(op->timer, on_guard, (uint64_t)ms_until(op->last_until), 0);
    op->ops->send(op->conn, op->data);
}

struct op *op_start(uv_loop_t *loop, struct worker *worker, int64_t reach_ms, int64_t last_ms,
                    const struct op_ops *ops, void *data, struct failure *failure)
{
    struct op *op = mem_new(struct op);
    mono_us now = clock_now(&clock_system);
    op->worker = worker;
    op->ops = ops;
    op->data = data;
    op->listener.changed = on_worker_changed;
    op->reach_until = now + reach_ms * US_PER_MS;
    op->last_until = op->reach_until + (last_ms + OP_GUARD_MS) * US_PER_MS;
    if (!worker_up(worker) && now >= wait_until(op)) {
        *failure = (struct failure){.retry_after_ms = 1000};
        out_of_reach(op, &failure->err);
        free(op);
        return NULL;
    }
    op->timer = mem_new(uv_timer_t);
    uv_timer_init(loop, op->timer);
    op->timer->data = op;
    try_send(op);
    return op;
}

void op_commit(struct op *op, const char *runner)
{
    op->committed = true;
    if (runner)
        memcpy(op->runner, runner, strlen(runner) + 1);
}

int64_t op_reach_left_ms(const struct op *op)
{
    return ms_until(op->reach_until);
}

unsigned op_tries(const struct op *op)
{
    return op->tries;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void op_destroy(struct op *op)
{
    if (!op)
        return;
    stop_waiting(op);
    link_conn_destroy(op->conn);
    uv_close((uv_handle_t *)op->timer, free_handle);
    free(op);
}
