#include "../common/json.h"
#include "../common/mem.h"
#include "api.h"
#include "result_json.h"
#include "ws.h"

#include <string.h>

/* How it works. WAITING: for {"start"}. STARTING: the run is asked for; what the client sends
 * meanwhile is left where it is. RUNNING: bytes go both ways, each side is held while the other is
 * slow; of what the client sends much is taken first, so that a signal or a close behind it is
 * seen. ENDING: the result goes out in fragments as the socket takes them. Whatever ends it, the
 * session is freed when the WebSocket says that it is closed.
 */
enum session_state { WAITING, STARTING, RUNNING, ENDING, ENDED };

struct session {
    struct exchange *exchange; /* the connection's: alive as long as the WebSocket */
    enum run_body_kind kind;
    struct ws *ws;
    enum session_state state;
    struct run *run; /* NULL before and after */
    bool input_over, to_stdin;
    struct result_json *result;
    bool result_begun;
};

#define PROTOCOL "codeland.exec"
#define START_MS 30000 /* for the first message */
#define END_MS 30000   /* without progress in sending the result */
#define WORDS_MAX 4096 /* of a text once the run has been asked for */

enum channel { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR };

/* ---- the end ---- */

static void on_closed(void *data)
{
    struct session *self = data;
    if (self->run)
        run_cancel(self->run);
    result_json_destroy(self->result);
    free(self);
}

static enum ws_code code_of(const struct err *err)
{
    return err_http_status(err->code) >= 500 ? WS_CODE_INTERNAL : WS_CODE_POLICY;
}

/* The run, if there is one, is over for the client: it is killed. */
static void fail_with(struct session *self, const struct failure *failure)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_append_str(&text, "{\"error\":");
    exchange_failure_json(self->exchange, failure, &text);
    buf_append_str(&text, "}");
    if (self->run)
        run_cancel(steal_ptr(self->run));
    self->state = ENDED;
    ws_send(self->ws, WS_TEXT, true, text.data, text.len, NULL, 0);
    ws_close(self->ws, code_of(&failure->err), err_name(failure->err.code));
    buf_finish(&text);
}

static void fail(struct session *self, const struct err *err)
{
    const struct failure failure = {.err = *err};
    fail_with(self, &failure);
}

/* Fills a piece of the result's message; *last when that was all. */
static size_t read_result(struct session *self, char *piece, size_t room, bool *last)
{
    size_t filled = 0, len = 1;
    if (!self->result_begun) {
        strcpy(piece, "{\"end\":");
        filled = strlen(piece);
    }
    while (len > 0 && room - filled > RESULT_PIECE_LEAST) {
        len = result_json_read(self->result, piece + filled, room - filled - 1);
        filled += len;
    }
    *last = len == 0;
    if (*last)
        piece[filled++] = '}';
    return filled;
}

/* In fragments when it is long. */
static void send_result(struct session *self)
{
    ws_set_deadline(self->ws, END_MS);
    while (!ws_blocked(self->ws)) {
        char piece[16384];
        bool last;
        size_t len = read_result(self, piece, sizeof(piece), &last);
        ws_send(self->ws, self->result_begun ? WS_CONTINUATION : WS_TEXT, last, piece, len, NULL,
                0);
        self->result_begun = true;
        if (!last)
            continue;
        self->state = ENDED;
        ws_close(self->ws, WS_CODE_NORMAL, "");
        return;
    }
}

/* ---- the run ---- */

static void on_started(const char *runner, double queued_ms, void *data)
{
    struct session *self = data;
    struct buf text;
    buf_init(&text, 1024);
    struct json_writer json = {.buf = &text};
    json_open(&json, '{');
    json_put_open(&json, "started", '{');
    json_put_text(&json, "runner", runner);
    json_put_ms(&json, "queued", queued_ms);
    json_put_text(&json, "requestId", self->exchange->id);
    json_close(&json, '}');
    json_close(&json, '}');
    self->state = RUNNING;
    ws_send(self->ws, WS_TEXT, true, text.data, text.len, NULL, 0);
    ws_hold(self->ws, false);
    buf_finish(&text);
}

static void on_output(bool is_err, const char *bytes, size_t len, void *data)
{
    struct session *self = data;
    const char channel = is_err ? CHANNEL_STDERR : CHANNEL_STDOUT;
    ws_send(self->ws, WS_BINARY, true, &channel, 1, bytes, len);
    if (ws_blocked(self->ws))
        run_pause(self->run);
}

static void on_drain(void *data)
{
    struct session *self = data;
    ws_hold(self->ws, false);
}

static const struct run_sink sink = {
    .started = on_started,
    .output = on_output,
    .drain = on_drain,
};

static void on_done(struct run_result *take_result, const struct failure *failure, void *data)
{
    struct session *self = data;
    self->run = NULL;
    if (failure) {
        fail_with(self, failure);
        return;
    }
    double duration_ms = exchange_ms(self->exchange);
    self->result =
        result_json_create(take_result, duration_ms, self->exchange->id, RESULT_STREAMED);
    self->state = ENDING;
    send_result(self);
}

/* ---- what the client says ---- */

static int refuse_tty(const json_t *body, struct err *err)
{
    const json_t *tty = json_object_get(body, "tty");
    if (!tty || json_is_null(tty))
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "tty: there are no terminals here yet, only pipes");
}

static int find_worker(struct session *self, struct run_request *request, struct worker **worker,
                       struct failure *failure)
{
    struct exchange *exchange = self->exchange;
    const struct runner_info *info;
    request->keep = self->kind == RUN_BODY_NEW;
    *worker = NULL; /* of a fresh runner the fleet chooses it */
    if (self->kind != RUN_BODY_NAMED)
        return 0;
    request->runner = exchange->runner;
    *worker = api_runner_find(exchange, &info, failure);
    return *worker ? 0 : -1;
}

static int ask(struct session *self, const json_t *body, struct failure *failure)
{
    struct exchange *exchange = self->exchange;
    struct run_request request;
    struct worker *worker;
    if (refuse_tty(body, &failure->err) != 0)
        return -1;
    cleanup_free char *text = json_dumps(body, JSON_COMPACT);
    if (!text)
        mem_exhausted();
    if (api_run_parse(exchange, self->kind, text, strlen(text), true, &request, &failure->err) != 0)
        return -1;
    if (find_worker(self, &request, &worker, failure) != 0) {
        json_decref(request.hold);
        return -1;
    }
    request.live_input = request.code != NULL;
    self->run = run_start(exchange->app->loop, exchange->app->fleet, worker, &request, on_done,
                          self, failure);
    if (!self->run)
        return -1;
    run_stream(self->run, &sink, self);
    return 0;
}

static void on_start(struct session *self, const json_t *message)
{
    static const char *const keys[] = {"start", NULL};
    struct failure failure = {0};
    json_t *body = NULL;
    if (json_only_keys(message, keys, &failure.err) != 0 ||
        json_get_object(message, "start", true, &body, &failure.err) != 0 ||
        ask(self, body, &failure) != 0) {
        fail_with(self, &failure);
        return;
    }
    self->state = STARTING;
    ws_set_deadline(self->ws, 0);
    ws_set_text_max(self->ws, WORDS_MAX);
    ws_hold(self->ws, true);
}

static int on_words(struct session *self, const json_t *message, struct err *err)
{
    static const char *const keys[] = {"signal", "eof", NULL};
    const char *signal = NULL;
    bool eof = false, room = true;
    if (json_only_keys(message, keys, err) != 0 ||
        json_get_string(message, "signal", false, &signal, NULL, err) != 0 ||
        json_get_bool(message, "eof", false, &eof, err) != 0)
        return -1;
    if (!signal && !eof)
        return err_set(err, ERR_BAD_REQUEST, "a text must hold signal or eof");
    if (signal && run_signal(self->run, signal, &room, err) != 0)
        return -1;
    if (!room)
        ws_hold(self->ws, true);
    if (eof && !self->input_over)
        run_feed_end(self->run);
    self->input_over |= eof;
    return 0;
}

static void on_text(const char *text, size_t len, void *data)
{
    struct session *self = data;
    struct err err;
    if (self->state != WAITING && self->state != RUNNING)
        return; /* it crossed the end */
    cleanup_json json_t *message = json_parse_object(text, len, true, &err);
    if (!message)
        fail(self, &err);
    else if (self->state == WAITING)
        on_start(self, message);
    else if (on_words(self, message, &err) != 0)
        fail(self, &err);
}

static void on_binary(const char *bytes, size_t len, bool first, void *data)
{
    struct session *self = data;
    struct err err;
    if (self->state == ENDING || self->state == ENDED)
        return;
    if (self->state != RUNNING) {
        err_set(&err, ERR_BAD_REQUEST, "the first message must be {\"start\": ...}");
        fail(self, &err);
        return;
    }
    if (first)
        self->to_stdin = len > 0 && bytes[0] == CHANNEL_STDIN;
    if (!self->to_stdin || self->input_over) {
        err_set(&err, ERR_BAD_REQUEST,
                self->input_over ? "stdin has ended"
                                 : "a binary message must begin with the byte 0, for stdin");
        fail(self, &err);
        return;
    }
    if (!run_feed(self->run, bytes + first, len - first))
        ws_hold(self->ws, true);
}

static void on_writable(void *data)
{
    struct session *self = data;
    if (self->state == ENDING)
        send_result(self);
    else if (self->run && self->state == RUNNING)
        run_resume(self->run);
}

static const struct ws_ops ops = {
    .text = on_text,
    .binary = on_binary,
    .writable = on_writable,
    .closed = on_closed,
};

static void begin(struct exchange *exchange, enum run_body_kind kind)
{
    struct failure failure = {0};
    const struct runner_info *info;
    if (ws_check(exchange, &failure.err) != 0 ||
        (kind == RUN_BODY_NAMED && !api_runner_find(exchange, &info, &failure))) {
        exchange_fail_with(exchange, &failure);
        return;
    }
    struct session *self = mem_new(struct session);
    self->exchange = exchange;
    self->kind = kind;
    self->ws =
        ws_accept(exchange, PROTOCOL, (size_t)exchange->app->config->http_body_max, &ops, self);
    ws_set_deadline(self->ws, START_MS);
}

void api_exec_run(struct exchange *exchange)
{
    begin(exchange, RUN_BODY_FRESH);
}

void api_exec_new(struct exchange *exchange)
{
    begin(exchange, RUN_BODY_NEW);
}

void api_exec_named(struct exchange *exchange)
{
    begin(exchange, RUN_BODY_NAMED);
}
