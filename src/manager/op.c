#include "op.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/timer.h"
#include "calls.h"

#include <string.h>

/* How it works. An operation is either waiting (for its worker to come up, or for any to be free to
 * take it, or between two tries) or sent (it has a connection). Its one timer ends whichever it is
 * in: a wait by `reach_until` or the grace of who is waited for, a sent operation by `last_until`.
 *
 * A connection that is lost before STARTED was seen may have lost just that. Then the worker is
 * asked to withdraw the try (`asking`), over a new connection: what it withdraws never begins, also
 * when the request is still on its way through a tunnel. No run pays for this but one whose link
 * broke.
 *
 * From attach to detach it counts as the worker's and hears of its changes. One with a `fleet` is
 * attached anew for each try, until it is committed.
 */
struct op {
    struct fleet *fleet; /* NULL: its worker is given */
    struct worker *worker;
    const struct op_ops *ops;
    void *data;
    struct link_conn *conn;
    uv_timer_t *timer;
    struct listener listener;       /* of the worker's changes */
    struct listener fleet_listener; /* while it looks for a worker */
    bool looking, committed;
    unsigned tries;
    struct call *asking; /* NULL unless it waits for the word on its last try */
    mono_us sent;        /* of the last try */
    mono_us reach_until, last_until;
    char template_name[NAME_MAX_LEN + 1];
    char runner[NAME_MAX_LEN + 1];
    struct fleet_tried tried;
    const struct worker *lost; /* where connections are lost: any other is better */
    struct err last;           /* why the last try failed */
    int64_t last_retry_ms;
};

#define PAUSE_MS 20

static void try_send(struct op *op);
static void lost_before_commit(struct op *op, const struct err *why);

static bool pending(const struct op *op)
{
    return op->fleet && !op->committed;
}

static void attach(struct op *op, struct worker *worker)
{
    op->worker = worker;
    worker_listen(worker, &op->listener);
    worker_begin(worker, pending(op));
}

static void detach(struct op *op)
{
    struct worker *worker = op->worker;
    if (!worker)
        return;
    op->worker = NULL;
    worker_unlisten(worker, &op->listener);
    worker_end(worker, pending(op));
}

static void stop_looking(struct op *op)
{
    if (op->looking)
        fleet_unlisten(op->fleet, &op->fleet_listener);
    op->looking = false;
}

static void drop_conn(struct op *op)
{
    link_conn_destroy(op->conn);
    op->conn = NULL;
}

static void stop_asking(struct op *op)
{
    if (op->asking)
        call_cancel(op->asking);
    op->asking = NULL;
}

static void fail(struct op *op, const struct err *err, int64_t retry_after_ms)
{
    uv_timer_stop(op->timer);
    stop_asking(op);
    stop_looking(op);
    drop_conn(op);
    detach(op);
    struct failure failure = {.err = *err, .retry_after_ms = retry_after_ms};
    memcpy(failure.runner, op->runner, sizeof(failure.runner));
    op->ops->failed(&failure, op->data);
}

/* What it has done there, if anything, is not known. */
static void fail_lost(struct op *op, const struct err *err)
{
    if (op->ops->lost)
        op->ops->lost(op->worker, op->data);
    fail(op, err, 0);
}

/* Why nothing was reached. A worker's own refusal says more than that none is left. */
static void out_of_reach(const struct op *op, struct err *err)
{
    if (op->tried.count > 0) {
        *err = op->last;
        return;
    }
    if (op->fleet) {
        fleet_explain(op->fleet, op->template_name, &op->tried, err);
        return;
    }
    const char *why = worker_last_error(op->worker);
    if (!why[0])
        why = op->last.msg[0] ? op->last.msg : "it has not answered yet";
    err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" is out of reach: %.120s",
            worker_name(op->worker), why);
}

static int64_t retry_after_ms(const struct op *op)
{
    return op->tried.count > 0 ? op->last_retry_ms : 1000;
}

static void give_up(struct op *op)
{
    struct err err;
    out_of_reach(op, &err);
    fail(op, &err, retry_after_ms(op));
}

static void on_wait_over(uv_timer_t *timer)
{
    give_up(timer->data);
}

static void on_guard(uv_timer_t *timer)
{
    struct op *op = timer->data;
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the worker \"%s\" did not answer in time",
            worker_name(op->worker));
    worker_failed(op->worker, &err);
    fail_lost(op, &err);
}

static void on_pause_over(uv_timer_t *timer)
{
    struct op *op = timer->data;
    if (clock_now(&clock_system) >= op->reach_until)
        on_wait_over(timer);
    else
        try_send(op);
}

static void on_worker_changed(struct listener *listener)
{
    struct op *op = (struct op *)((char *)listener - offsetof(struct op, listener));
    struct err err;
    if (!worker_removed(op->worker)) {
        if (worker_evicting(op->worker) && pending(op) && op->conn)
            lost_before_commit(op, &(struct err){.code = ERR_NONE});
        else if (!op->conn && !op->fleet && !op->asking && worker_up(op->worker))
            try_send(op);
        return;
    }
    if (pending(op) && !op->conn && !op->asking) {
        try_send(op);
        return;
    }
    err_set(&err, ERR_BAD_GATEWAY, "the worker \"%s\" was removed", worker_name(op->worker));
    fail(op, &err, 0);
}

static void on_fleet_changed(struct listener *listener)
{
    struct op *op = (struct op *)((char *)listener - offsetof(struct op, fleet_listener));
    try_send(op);
}

/* The connection is gone, or could not be made, before the operation had an effect. */
static void try_again(struct op *op, const struct err *why)
{
    op->last = *why;
    drop_conn(op);
    if (op->tries > 1) {
        op->lost = op->worker;
        worker_failed(op->worker, why);
    }
    if (op->fleet)
        detach(op);
    /* The first loss may be a spare connection that was dead already: no need to pause. */
    uv_timer_start(op->timer, on_pause_over, op->tries > 1 ? PAUSE_MS : 0, 0);
}

/* ---- a connection that was lost ---- */

static void fail_unknown(struct op *op, const char *why)
{
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY,
            "the worker \"%s\" was lost as it was given the run, which may have begun: %.120s",
            worker_name(op->worker), why);
    fail_lost(op, &err);
}

static void on_ask_over(uv_timer_t *timer)
{
    fail_unknown(timer->data, "it is not back to say");
}

/* The worker's word on the last try. What began after it was sent is known to the worker only if
 * its memory reaches back that far; the age of the try now is no less than it was there.
 */
static void on_word(const json_t *result, const struct failure *failure, void *data)
{
    struct op *op = data;
    struct err err = {.code = ERR_NONE};
    bool started = true;
    int64_t covered_ms = 0;
    op->asking = NULL;
    if (failure) {
        fail_unknown(op, failure->err.msg);
    } else if (json_get_bool(result, "started", true, &started, &err) != 0 ||
               json_get_int(result, "coveredMs", true, 0, INT64_MAX, &covered_ms, &err) != 0) {
        fail_unknown(op, err.msg);
    } else if (started) {
        err_set(&err, ERR_BAD_GATEWAY, "the worker \"%s\" was lost as the run began",
                worker_name(op->worker));
        fail_lost(op, &err);
    } else if (clock_now(&clock_system) - op->sent >= covered_ms * US_PER_MS) {
        fail_unknown(op, "it does not remember");
    } else {
        err = op->last;
        try_again(op, &err);
    }
}

/* Nothing is known of an effect. */
static void lost_before_commit(struct op *op, const struct err *why)
{
    const char *key =
        op->ops->key && link_conn_may_have_begun(op->conn) ? op->ops->key(op->data) : NULL;
    struct failure failure;
    if (!key) {
        try_again(op, why);
        return;
    }
    op->last = *why;
    drop_conn(op);
    uv_timer_start(op->timer, on_ask_over, OP_ASK_MS, 0);
    op->asking = call_withdraw(op->timer->loop, op->worker, key, on_word, op, &failure);
    if (!op->asking)
        fail_unknown(op, failure.err.msg);
}

/* The worker said no before the run had a runner: another one is asked, within the run's time. */
static bool try_elsewhere(struct op *op, const struct err *why, int64_t retry_ms)
{
    bool broken = why->code == ERR_INTERNAL || why->code == ERR_BAD_GATEWAY;
    if (!pending(op) || (!broken && why->code != ERR_NOT_AVAILABLE))
        return false;
    if (broken)
        worker_failed(op->worker, why);
    op->last = *why;
    op->last_retry_ms = retry_ms;
    if (op->tried.count < FLEET_TRIED_MAX)
        op->tried.workers[op->tried.count++] = op->worker;
    drop_conn(op);
    detach(op);
    uv_timer_start(op->timer, on_pause_over, 0, 0);
    return true;
}

static void on_link_error(struct op *op, const struct frame *frame)
{
    const char *name = "", *message = "", *runner = "";
    int64_t retry_ms = 0;
    struct err err;
    cleanup_json json_t *json = json_parse_object(frame->payload, frame->len, false, &err);
    if (!json || json_get_string(json, "name", true, &name, NULL, &err) != 0 ||
        json_get_string(json, "message", true, &message, NULL, &err) != 0 ||
        json_get_string(json, "runner", false, &runner, NULL, &err) != 0 ||
        json_get_int(json, "retryAfterMs", false, 0, INT32_MAX, &retry_ms, &err) != 0) {
        err_context(&err, "LINK_ERROR of the worker");
        err.code = ERR_BAD_GATEWAY;
    } else {
        err_set(&err, err_from_name(name), "%s", message);
    }
    if (id_name_valid(runner))
        strcpy(op->runner, runner);
    if (!runner[0] && try_elsewhere(op, &err, retry_ms))
        return;
    fail(op, &err, retry_ms);
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
        lost_before_commit(op, why);
        return;
    }
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the worker was lost during the run: %.150s",
            why->code == ERR_NONE ? "it closed the connection" : why->msg);
    fail_lost(op, &err);
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

static struct worker *place(const struct op *op)
{
    struct fleet_tried avoid = op->tried;
    struct worker *worker = NULL;
    if (avoid.count == FLEET_TRIED_MAX)
        return NULL;
    if (op->lost) {
        avoid.workers[avoid.count++] = op->lost;
        worker = fleet_place(op->fleet, op->template_name, &avoid);
    }
    return worker ? worker : fleet_place(op->fleet, op->template_name, &op->tried);
}

/* Binds it to a worker, or waits for one; false while there is none. */
static bool find_worker(struct op *op)
{
    detach(op);
    stop_looking(op);
    struct worker *worker = place(op);
    if (worker) {
        attach(op, worker);
        return true;
    }
    mono_us until = fleet_hope_until(op->fleet, &op->tried);
    if (until ==
        0) { /* on_wait_over says why, in the loop's next turn: op_start may be on the stack */
        uv_timer_start(op->timer, on_wait_over, 0, 0);
        return false;
    }
    op->looking = true;
    fleet_listen(op->fleet, &op->fleet_listener);
    until = until < op->reach_until ? until : op->reach_until;
    uv_timer_start(op->timer, on_wait_over, (uint64_t)ms_until(until) + 1, 0);
    return false;
}

static void try_send(struct op *op)
{
    struct err err;
    if (op->fleet && !find_worker(op))
        return;
    if (!worker_up(op->worker)) {
        uv_timer_start(op->timer, on_wait_over, (uint64_t)ms_until(wait_until(op)) + 1, 0);
        return;
    }
    op->tries++;
    op->conn = link_open(worker_link(op->worker), &conn_ops, op, &err);
    if (!op->conn) {
        try_again(op, &err);
        return;
    }
    uv_timer_start(op->timer, on_guard, (uint64_t)ms_until(op->last_until), 0);
    op->sent = clock_now(&clock_system);
    op->ops->send(op->conn, op->data);
}

static struct op *create(uv_loop_t *loop, int64_t reach_ms, int64_t last_ms,
                         const struct op_ops *ops, void *data)
{
    struct op *op = mem_new(struct op);
    mono_us now = clock_now(&clock_system);
    op->ops = ops;
    op->data = data;
    op->listener.changed = on_worker_changed;
    op->fleet_listener.changed = on_fleet_changed;
    op->reach_until = now + reach_ms * US_PER_MS;
    op->last_until = op->reach_until + (last_ms + OP_GUARD_MS) * US_PER_MS;
    op->timer = loop_timer_create(loop, op);
    return op;
}

struct op *op_start(uv_loop_t *loop, struct worker *worker, int64_t reach_ms, int64_t last_ms,
                    const struct op_ops *ops, void *data, struct failure *failure)
{
    struct op *op = create(loop, reach_ms, last_ms, ops, data);
    attach(op, worker);
    if (!worker_up(worker) && clock_now(&clock_system) >= wait_until(op)) {
        *failure = (struct failure){.retry_after_ms = 1000};
        out_of_reach(op, &failure->err);
        op_destroy(op);
        return NULL;
    }
    try_send(op);
    return op;
}

struct op *op_place(uv_loop_t *loop, struct fleet *fleet, const char *template_name,
                    const char *only, int64_t reach_ms, int64_t last_ms, const struct op_ops *ops,
                    void *data, struct failure *failure)
{
    struct op *op = create(loop, reach_ms, last_ms, ops, data);
    op->fleet = fleet;
    str_format(op->template_name, sizeof(op->template_name), "%s", template_name);
    str_format(op->tried.only, sizeof(op->tried.only), "%s", only ? only : "");
    try_send(op);
    if (op->worker || op->looking || op->tries > 0)
        return op;
    *failure = (struct failure){.retry_after_ms = 1000};
    out_of_reach(op, &failure->err);
    op_destroy(op);
    return NULL;
}

struct worker *op_worker(const struct op *op)
{
    return op->worker;
}

void op_blame(struct op *op, const struct err *err)
{
    if (op->worker)
        worker_failed(op->worker, err);
}

void op_commit(struct op *op, const char *runner)
{
    if (pending(op)) {
        worker_placed(op->worker);
        worker_note_used(op->worker, runner ? runner : "");
    }
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

void op_destroy(struct op *op)
{
    if (!op)
        return;
    stop_looking(op);
    stop_asking(op);
    drop_conn(op);
    detach(op);
    loop_timer_destroy(op->timer);
    free(op);
}
