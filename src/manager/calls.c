#include "calls.h"

#include "../common/json.h"
#include "../common/mem.h"

#include <string.h>

#define CALL_REACH_MS 10000
#define CALL_LAST_MS 30000
#define CALL_PROBE_MS 5000

struct call {
    struct op *op;
    struct worker *worker;
    enum frame_type type;
    char runner[NAME_MAX_LEN + 1]; /* of DESTROY */
    char text[300];
    call_done_cb done;
    void *data;
};

static void call_free(struct call *call)
{
    op_destroy(call->op);
    free(call);
}

static void finish(struct call *call, const json_t *result, const struct failure *failure)
{
    call_done_cb done = call->done;
    void *data = call->data;
    if (result && call->type == FRAME_DESTROY)
        worker_note_gone(call->worker, call->runner);
    call_free(call);
    done(result, failure, data);
}

static void on_send(struct link_conn *conn, void *data)
{
    struct call *call = data;
    link_conn_send(conn, call->type, call->text, strlen(call->text));
    if (call->type == FRAME_RUN)
        link_conn_send(conn, FRAME_STDIN_EOF, NULL, 0);
}

static void on_frame(const struct frame *frame, void *data)
{
    struct call *call = data;
    struct failure failure = {0};
    cleanup_json json_t *result = NULL;
    if (call->type == FRAME_RUN && frame->type != FRAME_RESULT)
        return; /* on its way, and what `true` prints, if it does */
    if (frame->type != FRAME_RESULT)
        err_set(&failure.err, ERR_BAD_GATEWAY, "is no answer to %s", frame_name(call->type));
    else
        result = json_parse_object(frame->payload, frame->len, false, &failure.err);
    if (!result) {
        err_context(&failure.err, "%s of the worker", frame_name(frame->type));
        failure.err.code = ERR_BAD_GATEWAY;
    }
    finish(call, result, result ? NULL : &failure);
}

static void on_failed(const struct failure *failure, void *data)
{
    struct call *call = data;
    struct failure copy = *failure;
    /* The first try may have done it before its answer was lost. */
    if (call->type == FRAME_DESTROY && copy.err.code == ERR_RUNNER_NOT_FOUND &&
        op_tries(call->op) > 1) {
        cleanup_json json_t *result = json_pack("{s:s}", "runner", call->runner);
        finish(call, result, NULL);
        return;
    }
    finish(call, NULL, &copy);
}

static const struct op_ops call_ops = {
    .send = on_send,
    .frame = on_frame,
    .failed = on_failed,
};

static struct call *start(uv_loop_t *loop, struct worker *worker, struct call *call,
                          call_done_cb done, void *data, struct failure *failure)
{
    call->worker = worker;
    call->done = done;
    call->data = data;
    call->op = op_start(loop, worker, CALL_REACH_MS, CALL_LAST_MS, &call_ops, call, failure);
    if (call->op)
        return call;
    free(call);
    return NULL;
}

struct call *call_destroy_runner(uv_loop_t *loop, struct worker *worker, const char *runner,
                                 call_done_cb done, void *data, struct failure *failure)
{
    struct call *call = mem_new(struct call);
    call->type = FRAME_DESTROY;
    strncpy(call->runner, runner, sizeof(call->runner) - 1);
    snprintf(call->text, sizeof(call->text), "{\"runner\":\"%s\"}", call->runner);
    return start(loop, worker, call, done, data, failure);
}

struct call *call_zombies(uv_loop_t *loop, struct worker *worker, bool remove, call_done_cb done,
                          void *data, struct failure *failure)
{
    struct call *call = mem_new(struct call);
    call->type = FRAME_ZOMBIES;
    snprintf(call->text, sizeof(call->text), "{\"remove\":%s}", remove ? "true" : "false");
    return start(loop, worker, call, done, data, failure);
}

struct call *call_footprint(uv_loop_t *loop, struct worker *worker, call_done_cb done, void *data,
                            struct failure *failure)
{
    struct call *call = mem_new(struct call);
    call->type = FRAME_FOOTPRINT;
    strcpy(call->text, "{}");
    return start(loop, worker, call, done, data, failure);
}

struct call *call_oven(uv_loop_t *loop, struct worker *worker, const struct oven_change *change,
                       call_done_cb done, void *data, struct failure *failure)
{
    struct call *call = mem_new(struct call);
    cleanup_json json_t *json = oven_change_json(change);
    call->type = FRAME_OVEN;
    json_dumpb(json, call->text, sizeof(call->text) - 1, JSON_COMPACT);
    return start(loop, worker, call, done, data, failure);
}

struct call *call_withdraw(uv_loop_t *loop, struct worker *worker, const char *key,
                           call_done_cb done, void *data, struct failure *failure)
{
    struct call *call = mem_new(struct call);
    call->type = FRAME_WITHDRAW;
    snprintf(call->text, sizeof(call->text), "{\"key\":\"%s\"}", key);
    return start(loop, worker, call, done, data, failure);
}

struct call *call_probe(uv_loop_t *loop, struct worker *worker, call_done_cb done, void *data,
                        struct failure *failure)
{
    struct call *call = mem_new(struct call);
    const struct worker_figures *figures = worker_get_figures(worker);
    call->type = FRAME_RUN;
    snprintf(call->text, sizeof(call->text),
             "{\"id\":\"probe\",\"template\":\"%s\",\"argv\":[\"true\"],\"env\":{},\"cwd\":\"\","
             "\"timeMs\":%d,\"outputBytes\":0,\"queueMs\":%d}",
             figures ? figures->oven.template_name : "", CALL_PROBE_MS, CALL_PROBE_MS);
    return start(loop, worker, call, done, data, failure);
}

void call_cancel(struct call *call)
{
    call_free(call);
}
