#include "runs.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/signals.h"
#include "../common/str.h"

#include <string.h>

/* How it works. On every try the message goes out, then the code as FILE_DATA, then stdin, as fast
 * as the connection takes them. Meanwhile answers come: STARTED commits the run, output collects,
 * RESULT ends it. The request's strings are let go once the run is committed and all is sent.
 *
 * With a sink, output is handed on instead. A paused sink pauses the connection, and so the worker,
 * the agent and the program; nothing is seen on it meanwhile, the result neither. So when the run's
 * time is over the connection is read again whatever the sink says (`overdue`): the worker has
 * killed the program by then, and what a paused sink does not take is dropped.
 */
struct run {
    uv_loop_t *loop;
    struct op *op;
    struct fleet *fleet;
    struct run_request request;
    bool named, ran; /* known after the request's strings are gone */
    char owner[RUNNER_OWNER_LEN + 1];
    char reserved[NAME_MAX_LEN + 1]; /* the name that it makes a runner under, "": none */
    json_t *message;
    char *text; /* message for the first try, made to know its length */
    run_done_cb done;
    void *data;
    struct run_result *result;
    struct link_conn *conn;
    size_t code_sent, input_sent;
    bool all_sent, started;

    const struct run_sink *sink; /* NULL: output is collected */
    void *sink_data;
    uv_timer_t *over; /* of a run with a sink; frees itself when it is closed */
    bool paused, overdue;
    bool feed_full; /* the feeder waits for drain */
};

#define PIECE FRAME_DATA_MAX

/* From the end of a run's time until what a paused sink has not taken is dropped. */
#define OVERDUE_MS 500

void run_result_free(struct run_result *result)
{
    if (!result)
        return;
    output_finish(&result->output);
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

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void run_free(struct run *run)
{
    op_destroy(run->op);
    if (run->reserved[0])
        names_release(fleet_names(run->fleet), run->reserved);
    if (run->over)
        uv_close((uv_handle_t *)run->over, free_handle);
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

static void pump(struct run *run)
{
    const struct run_request *request = &run->request;
    while (!run->all_sent && link_conn_queued(run->conn) <= CHAN_HIGH) {
        if (run->code_sent < request->code_len) {
            send_piece(run, FRAME_FILE_DATA, request->code, request->code_len, &run->code_sent);
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
}

/* The message's text; on a second try with what is left of the time in the queue. */
static char *message_text(struct run *run)
{
    if (run->text)
        return steal_ptr(run->text);
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
    run->code_sent = run->input_sent = 0;
    run->all_sent = !run->ran; /* without code nothing runs and nothing is read */
    cleanup_free char *text = message_text(run);
    link_conn_send(conn, run->named ? FRAME_EXEC : FRAME_RUN, text, strlen(text));
    pump(run);
}

static void on_drain(void *data)
{
    struct run *run = data;
    pump(run);
    if (!run->feed_full || !run->all_sent)
        return;
    run->feed_full = false;
    run->sink->drain(run->sink_data);
}

static int parse_word(const json_t *json, const char *key, bool required, char *word,
                      struct err *err)
{
    const char *text = "";
    if (json_get_string(json, key, required, &text, NULL, err) != 0)
        return -1;
    if (strlen(text) > RUNNER_WORD_LEN)
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %d bytes", key, RUNNER_WORD_LEN);
    strcpy(word, text);
    return 0;
}

static int parse_runner(const json_t *json, struct run_result *result, struct err *err)
{
    const char *runner = "";
    if (json_get_string(json, "runner", true, &runner, NULL, err) != 0)
        return -1;
    if (!id_name_valid(runner))
        return err_set(err, ERR_BAD_REQUEST, "runner: \"%.50s\" is no runner's name", runner);
    strcpy(result->runner, runner);
    return 0;
}

static int parse_result(const json_t *json, bool ran, struct run_result *result, struct err *err)
{
    static const char *const keys[] = {"runner", "status",    "exit",   "signal",
                                       "wall",   "cpuUser",   "cpuSys", "memoryPeak",
                                       "queued", "truncated", NULL};
    static const char *const truncated_keys[] = {"stdout", "stderr", NULL};
    json_t *truncated = NULL;
    int64_t code = -1;
    if (json_only_keys(json, keys, err) != 0 || parse_runner(json, result, err) != 0 ||
        json_get_number(json, "queued", false, 0, 1e15, &result->queued_ms, err) != 0)
        return -1;
    if (!ran)
        return 0;
    if (parse_word(json, "status", true, result->status, err) != 0 ||
        parse_word(json, "signal", false, result->signal, err) != 0 ||
        json_get_int(json, "exit", false, 0, 255, &code, err) != 0 ||
        json_get_number(json, "wall", false, 0, 1e15, &result->wall_ms, err) != 0 ||
        json_get_number(json, "cpuUser", false, 0, 1e15, &result->cpu_user_ms, err) != 0 ||
        json_get_number(json, "cpuSys", false, 0, 1e15, &result->cpu_sys_ms, err) != 0 ||
        json_get_int(json, "memoryPeak", false, 0, INT64_MAX, &result->memory_peak_bytes, err) !=
            0 ||
        json_get_object(json, "truncated", false, &truncated, err) != 0)
        return -1;
    result->exit = (int)code;
    bool out = false, both = false;
    if (truncated && (json_only_keys(truncated, truncated_keys, err) != 0 ||
                      json_get_bool(truncated, "stdout", false, &out, err) != 0 ||
                      json_get_bool(truncated, "stderr", false, &both, err) != 0))
        return -1;
    result->out_truncated |= out;
    result->err_truncated |= both;
    return 0;
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

static void on_started(struct run *run)
{
    op_commit(run->op, run->result->runner);
    run->started = true;
    if (run->all_sent)
        let_go(run);
    if (!run->sink)
        return;
    uv_update_time(run->over->loop);
    uv_timer_start(run->over, on_overdue, (uint64_t)run->request.time_ms + OVERDUE_MS, 0);
    run->sink->started(run->result->runner, run->result->queued_ms, run->sink_data);
}

static void on_output(struct run *run, bool is_err, const struct frame *frame)
{
    struct run_result *result = run->result;
    bool whole = true;
    if (!run->sink)
        whole = output_add(&result->output, is_err, frame->payload, frame->len);
    else if (run->paused)
        whole = false;
    else
        run->sink->output(is_err, frame->payload, frame->len, run->sink_data);
    *(is_err ? &result->err_truncated : &result->out_truncated) |= !whole;
}

static int handle_frame(struct run *run, const struct frame *frame, struct err *err)
{
    struct run_result *result = run->result;
    if (frame->type == FRAME_STDOUT || frame->type == FRAME_STDERR) {
        on_output(run, frame->type == FRAME_STDERR, frame);
        return 0;
    }
    cleanup_json json_t *json = json_parse_object(frame->payload, frame->len, false, err);
    if (!json)
        return -1;
    switch (frame->type) {
    case FRAME_STARTED:
        if (parse_runner(json, result, err) != 0 ||
            json_get_number(json, "queuedMs", false, 0, 1e15, &result->queued_ms, err) != 0)
            return -1;
        if (run->started)
            return err_set(err, ERR_BAD_GATEWAY, "came twice");
        on_started(run);
        return 0;
    case FRAME_RESULT:
        if (parse_result(json, run->ran, result, err) != 0)
            return -1;
        return 1;
    default:
        return err_set(err, ERR_BAD_GATEWAY, "is no answer to a run");
    }
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
    .failed = on_failed,
};

/* What the language says, and the request's args. */
static json_t *make_argv(const struct run_request *request, const struct language_place *place)
{
    json_t *argv = json_array();
    for (char **word = request->language->run; *word; word++) {
        cleanup_free char *text = language_word(*word, place);
        json_array_append_new(argv, json_string(text));
    }
    if (request->args)
        json_array_extend(argv, request->args);
    return argv;
}

/* The language's, and over it the request's. */
static json_t *make_env(const struct run_request *request, const struct language_place *place)
{
    json_t *env = json_object();
    for (size_t i = 0; i < request->language->env_len; i++) {
        cleanup_free char *text = language_word(request->language->env[i].value, place);
        json_object_set_new(env, request->language->env[i].name, json_string(text));
    }
    if (request->env)
        json_object_update(env, request->env);
    return env;
}

/* A fresh runner's file has a name that a person knows; on a named runner, where runs may overlap,
 * each has its own, which goes when the run is over.
 */
static void add_program(json_t *message, const struct run_request *request)
{
    char file[LANGUAGE_FILE_MAX + 64];
    const char *name = request->language->file, *suffix = strrchr(name, '.');
    if (request->runner)
        snprintf(file, sizeof(file), ".run-%s%s", request->id, suffix ? suffix : "");
    else
        snprintf(file, sizeof(file), "%s", name);
    const struct language_place place = {
        .dir = ".",
        .file = file,
        .memory_bytes = request->memory_bytes,
    };
    json_object_set_new(message, "argv", make_argv(request, &place));
    json_object_set_new(message, "env", make_env(request, &place));
    json_object_set_new(message, "files",
                        json_pack("[{s:s, s:i, s:I, s:b}]", "name", file, "mode", 0644, "bytes",
                                  (json_int_t)request->code_len, "unlinkAfter",
                                  request->runner != NULL));
}

static json_t *make_message(const struct run_request *request)
{
    json_t *message =
        json_pack("{s:s, s:s, s:I, s:I}", "id", request->id, "cwd", "", "timeMs",
                  (json_int_t)request->time_ms, "outputBytes", (json_int_t)request->output_bytes);
    json_object_set_new(message, "env", json_object());
    if (request->code)
        add_program(message, request);
    if (request->runner) {
        json_object_set_new(message, "runner", json_string(request->runner));
        return message;
    }
    json_object_set_new(message, "template", json_string(request->template_name));
    json_object_set_new(message, "memoryBytes", json_integer(request->memory_bytes));
    json_object_set_new(message, "queueMs", json_integer(request->queue_ms));
    if (request->nat)
        json_object_set_new(message, "network", json_string("nat"));
    if (request->keep)
        json_object_set_new(
            message, "keep",
            json_pack("{s:s?, s:s}", "name", request->keep_name, "owner", request->owner));
    return message;
}

static struct run *create(struct fleet *fleet, const struct run_request *request, run_done_cb done,
                          void *data)
{
    struct run *run = mem_new(struct run);
    run->fleet = fleet;
    run->request = *request;
    run->done = done;
    run->data = data;
    run->message = make_message(request);
    run->result = mem_new(struct run_result);
    run->result->exit = -1;
    run->result->language = request->language;
    output_init(&run->result->output, (size_t)request->output_bytes);
    run->named = request->runner;
    run->ran = request->code;
    if (request->owner)
        strncpy(run->owner, request->owner, sizeof(run->owner) - 1);
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
                       "args, env: the run's message has %zu bytes, at most %d fit", len,
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
            run->op =
                op_start(loop, worker, request->queue_ms, request->time_ms, &run_ops, run, failure);
        else
            run->op = op_place(loop, fleet, request->template_name, request->queue_ms,
                               request->time_ms, &run_ops, run, failure);
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
    run->over = mem_new(uv_timer_t);
    uv_timer_init(run->loop, run->over);
    run->over->data = run;
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

bool run_may_feed(struct run *run)
{
    run->feed_full = !run->all_sent || link_conn_queued(run->conn) > CHAN_HIGH;
    return !run->feed_full;
}

bool run_feed(struct run *run, const char *data, size_t len)
{
    for (size_t sent = 0; sent < len;)
        send_piece(run, FRAME_STDIN, data, len, &sent);
    return run_may_feed(run);
}

void run_feed_end(struct run *run)
{
    link_conn_send(run->conn, FRAME_STDIN_EOF, NULL, 0);
}

int run_signal(struct run *run, const char *name, struct err *err)
{
    if (signals_number(name) == 0)
        return err_set(err, ERR_BAD_REQUEST, "signal: \"%.40s\" is no signal's name", name);
    char text[64];
    str_format(text, sizeof(text), "{\"signal\":\"%s\"}", name);
    link_conn_send(run->conn, FRAME_SIGNAL, text, strlen(text));
    return 0;
}
