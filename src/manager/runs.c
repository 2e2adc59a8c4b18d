#include "runs.h"

#include "backlog.h"
#include "run_answer.h"
#include "run_message.h"
#include "steer.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/signals.h"
#include "../common/str.h"
#include "../loop/timer.h"

#include <string.h>

/* How it works. On every try the message goes out, then the code and the files as FILE_DATA, then
 * stdin, as fast as the connection takes them. Meanwhile answers come: STARTED commits the run,
 * output collects (the compiler's up to COMPILED, if there is one), files come back, RESULT ends
 * it. The request's strings are let go once the run is committed and all is sent.
 *
 * With a sink, the program's output is handed on instead. A paused sink pauses the connection, and
 * so the worker, the agent and the program; nothing is seen on it meanwhile, the result neither. So
 * when the run's time is over the connection is read again whatever the sink says (`overdue`): the
 * worker has killed the program by then, and what a paused sink does not take is dropped.
 */
#define RUN_KEY_LEN 16 /* hex digits */

struct run {
    uv_loop_t *loop;
    struct op *op;
    struct fleet *fleet;
    struct run_request request;
    bool named, ran; /* known after the request's strings are gone */
    char owner[RUNNER_OWNER_LEN + 1];
    char reserved[NAME_MAX_LEN + 1]; /* the name that it makes a runner under, "": none */
    json_t *message;
    char *text;                /* message for the first try, made to know its length */
    char key[RUN_KEY_LEN + 1]; /* of the present try */
    run_done_cb done;
    void *data;
    struct run_result *result;
    struct link_conn *conn;
    size_t code_sent, file, file_sent, input_sent;
    bool all_sent, started;
    bool compiling; /* output is the compiler's */
    int64_t found_bytes;

    const struct run_sink *sink; /* NULL: output is collected */
    void *sink_data;
    uv_timer_t *over; /* of a run with a sink */
    bool paused, overdue;
    struct backlog backlog; /* what was fed and not sent yet */
    bool feed_over;         /* the end is to be sent behind it */
    bool feed_full;         /* the feeder waits for drain */
    struct steer *steer;    /* NULL before the first signal */
};

#define PIECE FRAME_DATA_MAX

/* From the end of a run's time until what a paused sink has not taken is dropped. */
#define OVERDUE_MS 500

void run_result_free(struct run_result *result)
{
    if (!result)
        return;
    output_finish(&result->compile.output);
    output_finish(&result->program.output);
    for (size_t i = 0; i < result->files_len; i++) {
        free(result->files[i].path);
        buf_finish(&result->files[i].data);
    }
    free(result->files);
    free(result);
}

static void let_go(struct run *run)
{
    json_decref(run->request.hold);
    run->request.hold = NULL;
    json_decref(run->message);
    run->message = NULL;
    free(steal_ptr(run->text));
}

static void run_free(struct run *run)
{
    steer_destroy(run->steer);
    op_destroy(run->op);
    if (run->reserved[0])
        names_release(fleet_names(run->fleet), run->reserved);
    loop_timer_destroy(run->over);
    backlog_finish(&run->backlog);
    let_go(run);
    run_result_free(run->result);
    free(run);
}

static void send_piece(struct run *run, enum frame_type type, const char *data, size_t len,
                       size_t *sent)
{
    size_t piece = len - *sent < PIECE ? len - *sent : PIECE;
    link_conn_send(run->conn, type, data + *sent, piece);
    *sent += piece;
}

/* More of the request's files; false when all are sent. */
static bool send_file_piece(struct run *run)
{
    const json_t *file = json_array_get(run->request.files, run->file);
    if (!file)
        return false;
    const json_t *bytes = json_array_get(file, 2);
    size_t len = json_string_length(bytes);
    if (run->file_sent < len)
        send_piece(run, FRAME_FILE_DATA, json_string_value(bytes), len, &run->file_sent);
    if (run->file_sent == len) {
        run->file++;
        run->file_sent = 0;
    }
    return true;
}

/* What was fed, behind the request's own. */
static void pump_fed(struct run *run)
{
    const char *data;
    size_t len;
    while (run->all_sent && link_conn_queued(run->conn) <= CHAN_HIGH &&
           (len = backlog_front(&run->backlog, &data)) > 0) {
        link_conn_send(run->conn, FRAME_STDIN, data, len);
        backlog_drop(&run->backlog);
    }
    if (!run->feed_over || !run->all_sent || backlog_front(&run->backlog, &data) > 0)
        return;
    run->feed_over = false;
    link_conn_send(run->conn, FRAME_STDIN_EOF, NULL, 0);
}

static void pump(struct run *run)
{
    const struct run_request *request = &run->request;
    while (!run->all_sent && link_conn_queued(run->conn) <= CHAN_HIGH) {
        if (run->code_sent < request->code_len) {
            send_piece(run, FRAME_FILE_DATA, request->code, request->code_len, &run->code_sent);
        } else if (send_file_piece(run)) {
            continue;
        } else if (run->input_sent < request->input_len) {
            send_piece(run, FRAME_STDIN, request->input, request->input_len, &run->input_sent);
        } else {
            if (!request->live_input)
                link_conn_send(run->conn, FRAME_STDIN_EOF, NULL, 0);
            run->all_sent = true;
        }
    }
    if (run->all_sent && run->started)
        let_go(run);
    pump_fed(run);
}

static void set_key(struct run *run)
{
    id_random_hex(run->key, RUN_KEY_LEN);
    json_object_set_new(run->message, "key", json_string(run->key));
}

static const char *on_key(void *data)
{
    struct run *run = data;
    return run->key;
}

/* The message's text; on a second try with what is left of the time in the queue, and another key:
 * the worker has been told to do nothing for the first one.
 */
static char *message_text(struct run *run)
{
    if (run->text)
        return steal_ptr(run->text);
    set_key(run);
    if (!run->named)
        json_object_set_new(run->message, "queueMs", json_integer(op_reach_left_ms(run->op)));
    char *text = json_dumps(run->message, JSON_COMPACT);
    if (!text)
        mem_exhausted();
    return text;
}

static void on_send(struct link_conn *conn, void *data)
{
    struct run *run = data;
    run->conn = conn;
    run->code_sent = run->file = run->file_sent = run->input_sent = 0;
    run->all_sent = !run->ran; /* without code nothing runs and nothing is read */
    cleanup_free char *text = message_text(run);
    link_conn_send(conn, run->named ? FRAME_EXEC : FRAME_RUN, text, strlen(text));
    pump(run);
}

static void tell_room(void *data)
{
    struct run *run = data;
    if (!run->feed_full || !backlog_has_room(&run->backlog) ||
        (run->steer && !steer_has_room(run->steer)))
        return;
    run->feed_full = false;
    run->sink->drain(run->sink_data);
}

static void on_drain(void *data)
{
    struct run *run = data;
    pump(run);
    tell_room(run);
}

static void finish(struct run *run)
{
    struct run_result *result = steal_ptr(run->result);
    struct worker *worker = op_worker(run->op);
    worker_went_well(worker);
    if (run->request.keep)
        worker_note_kept(worker, result->runner, run->owner);
    run_done_cb done = run->done;
    void *data = run->data;
    run_free(run);
    done(result, NULL, data);
}

static void on_overdue(uv_timer_t *timer)
{
    struct run *run = timer->data;
    run->overdue = true;
    if (run->paused)
        link_conn_resume(run->conn);
}

/* From here the program's output comes. */
static void expect_output(struct run *run, int64_t cap)
{
    output_finish(&run->result->program.output);
    output_init(&run->result->program.output, (size_t)cap);
}

static void on_output(struct run *run, bool is_err, const struct frame *frame)
{
    struct run_end *program = &run->result->program;
    bool whole = true;
    if (!run->sink || run->compiling)
        whole = output_add(&program->output, is_err, frame->payload, frame->len);
    else if (run->paused)
        whole = false;
    else
        run->sink->output(is_err, frame->payload, frame->len, run->sink_data);
    *(is_err ? &program->err_truncated : &program->out_truncated) |= !whole;
}

/* All stages together; for collecting files there is op.h's own allowance. */
static int64_t longest_ms(const struct run_request *request)
{
    return request->time_ms + (run_compiles(request) ? request->compile_ms : 0);
}

static int on_started(struct run *run, const json_t *json, struct err *err)
{
    struct run_result *result = run->result;
    if (run_answer_runner(json, result, err) != 0 ||
        json_get_number(json, "queuedMs", false, 0, 1e15, &result->queued_ms, err) != 0)
        return -1;
    if (run->started)
        return err_set(err, ERR_BAD_GATEWAY, "came twice");
    op_commit(run->op, result->runner);
    run->started = true;
    if (run->all_sent)
        let_go(run);
    if (!run->sink)
        return 0;
    uv_update_time(run->over->loop);
    uv_timer_start(run->over, on_overdue, (uint64_t)longest_ms(&run->request) + OVERDUE_MS, 0);
    run->sink->started(result->runner, result->queued_ms, run->sink_data);
    return 0;
}

static int on_compiled(struct run *run, const json_t *json, struct err *err)
{
    if (!run->compiling)
        return err_set(err, ERR_BAD_GATEWAY, "there is nothing to compile");
    run->compiling = false;
    if (run_answer_compiled(json, run->result, err) != 0)
        return -1;
    expect_output(run, run->sink ? 0 : run->request.output_bytes);
    return 0;
}

/* 1: the run is over. */
static int handle_json(struct run *run, const struct frame *frame, struct err *err)
{
    struct run_result *result = run->result;
    const struct run_request *request = &run->request;
    cleanup_json json_t *json = json_parse_object(frame->payload, frame->len, false, err);
    if (!json)
        return -1;
    switch (frame->type) {
    case FRAME_STARTED:
        return on_started(run, json, err);
    case FRAME_COMPILED:
        return on_compiled(run, json, err);
    case FRAME_FOUND:
        return run_answer_found(json, result->collects ? request->collect_files : 0,
                                request->collect_bytes, result, err);
    case FRAME_RESULT:
        return run_answer_result(json, run->ran, result, err) != 0 ? -1 : 1;
    default:
        return err_set(err, ERR_BAD_GATEWAY, "is no answer to a run");
    }
}

static int handle_frame(struct run *run, const struct frame *frame, struct err *err)
{
    switch (frame->type) {
    case FRAME_STDOUT:
    case FRAME_STDERR:
        on_output(run, frame->type == FRAME_STDERR, frame);
        return 0;
    case FRAME_FILE_DATA:
        run->found_bytes += frame->len;
        if (run->found_bytes > run->request.collect_bytes)
            return err_set(err, ERR_BAD_GATEWAY, "is more than was asked for");
        return run_answer_data(frame->payload, frame->len, run->result, err);
    default:
        return handle_json(run, frame, err);
    }
}

static void on_lost(struct worker *worker, void *data)
{
    const struct run *run = data;
    const char *name = run->result->runner[0] ? run->result->runner : run->reserved;
    if (run->request.keep && name[0])
        worker_note_perhaps_kept(worker, name, run->owner);
}

static void on_failed(const struct failure *failure, void *data)
{
    struct run *run = data;
    struct failure copy = *failure;
    run_done_cb done = run->done;
    void *done_data = run->data;
    run_free(run);
    done(NULL, &copy, done_data);
}

static void on_frame(const struct frame *frame, void *data)
{
    struct run *run = data;
    struct failure failure = {0};
    int status = handle_frame(run, frame, &failure.err);
    if (status == 0)
        return;
    if (status > 0) {
        finish(run);
        return;
    }
    err_context(&failure.err, "%s of the worker", frame_name(frame->type));
    failure.err.code = ERR_BAD_GATEWAY;
    op_blame(run->op, &failure.err);
    memcpy(failure.runner, run->result->runner, sizeof(failure.runner));
    on_failed(&failure, run);
}

static const struct op_ops run_ops = {
    .send = on_send,
    .frame = on_frame,
    .drain = on_drain,
    .key = on_key,
    .lost = on_lost,
    .failed = on_failed,
};

static void prepare_end(struct run_end *end)
{
    end->exit = -1;
    output_init(&end->output, 0);
}

static struct run *create(struct fleet *fleet, const struct run_request *request, run_done_cb done,
                          void *data)
{
    struct run *run = mem_new(struct run);
    run->fleet = fleet;
    run->request = *request;
    run->done = done;
    run->data = data;
    run->message = run_message_make(request);
    run->result = mem_new(struct run_result);
    run->result->language = request->language;
    run->result->collects = request->globs != NULL;
    prepare_end(&run->result->compile);
    prepare_end(&run->result->program);
    run->compiling = run_compiles(request);
    expect_output(run, run->compiling ? request->compile_output_bytes : request->output_bytes);
    run->named = request->runner;
    run->ran = request->code;
    if (request->owner)
        strncpy(run->owner, request->owner, sizeof(run->owner) - 1);
    set_key(run);
    run->text = json_dumps(run->message, JSON_COMPACT);
    if (!run->text)
        mem_exhausted();
    return run;
}

/* What can be said without a worker. */
static int prepare(struct run *run, struct err *err)
{
    const struct run_request *request = &run->request;
    size_t len = strlen(run->text);
    if (len > RUN_MESSAGE_MAX)
        return err_set(err, ERR_BAD_REQUEST,
                       "args, env, files: the run's message has %zu bytes, at most %d fit", len,
                       RUN_MESSAGE_MAX);
    if (!request->keep || !request->keep_name)
        return 0;
    if (names_reserve(fleet_names(run->fleet), request->keep_name, err) != 0)
        return -1;
    str_format(run->reserved, sizeof(run->reserved), "%s", request->keep_name);
    return 0;
}

struct run *run_start(uv_loop_t *loop, struct fleet *fleet, struct worker *worker,
                      const struct run_request *request, run_done_cb done, void *data,
                      struct failure *failure)
{
    struct run *run = create(fleet, request, done, data);
    run->loop = loop;
    *failure = (struct failure){0};
    if (prepare(run, &failure->err) == 0) {
        if (request->runner)
            run->op = op_start(loop, worker, request->queue_ms, longest_ms(request), &run_ops, run,
                               failure);
        else
            run->op = op_place(loop, fleet, request->template_name, request->worker_name,
                               request->queue_ms, longest_ms(request), &run_ops, run, failure);
    }
    if (run->op)
        return run;
    run_free(run);
    return NULL;
}

void run_cancel(struct run *run)
{
    run_free(run);
}

void run_stream(struct run *run, const struct run_sink *sink, void *data)
{
    run->sink = sink;
    run->sink_data = data;
    run->over = loop_timer_create(run->loop, run);
}

void run_pause(struct run *run)
{
    run->paused = true;
    if (!run->overdue)
        link_conn_pause(run->conn);
}

void run_resume(struct run *run)
{
    if (run->paused && !run->overdue)
        link_conn_resume(run->conn);
    run->paused = false;
}

bool run_feed(struct run *run, const char *data, size_t len)
{
    backlog_add(&run->backlog, data, len);
    pump_fed(run);
    run->feed_full = run->feed_full || backlog_is_full(&run->backlog);
    return !run->feed_full;
}

void run_feed_end(struct run *run)
{
    run->feed_over = true;
    pump_fed(run);
}

static const struct steer_ops steer_ops = {.drain = tell_room};

int run_signal(struct run *run, const char *name, bool *room, struct err *err)
{
    if (signals_number(name) == 0)
        return err_set(err, ERR_BAD_REQUEST, "signal: \"%.40s\" is no signal's name", name);
    if (!run->steer)
        run->steer = steer_create(op_worker(run->op), run->key, &steer_ops, run);
    *room = steer_signal(run->steer, name);
    run->feed_full = run->feed_full || !*room;
    return 0;
}
