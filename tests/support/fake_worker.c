#include "fake_worker.h"

#include "../../src/common/clock.h"
#include "../../src/common/json.h"
#include "../../src/common/mem.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

struct fake_runner {
    char name[NAME_MAX_LEN + 1];
    char state[16], owner[65];
    struct fake_runner *next;
};

/* A connection: nobody's until its operation has come, then a watcher or an operation. */
struct fake_op {
    struct fake_worker *fake;
    struct chan *chan;
    bool greeted, watcher, called, over;
    char runner[NAME_MAX_LEN + 1];
    struct fake_request request;
    struct fake_op *prev, *next;
};

struct fake_worker {
    uv_loop_t *loop;
    uv_pipe_t *listener;
    uv_timer_t *ticker;
    char *path;
    struct fake_op *ops;
    struct fake_runner *runners;
    fake_script script;
    void *data;
    struct fake_seen seen;
    unsigned made;
    unsigned available, in_use;
    char status[32], message[200];
    enum frame_type hello_type;
    char hello[256];
    bool silent, breaks_off;
    json_t *templates; /* NULL: none are told */
    json_t *started;   /* keys of runs */
    int64_t covered_ms;
};

static void op_free(struct fake_op *op)
{
    struct fake_worker *fake = op->fake;
    *(op->prev ? &op->prev->next : &fake->ops) = op->next;
    if (op->next)
        op->next->prev = op->prev;
    if (op->called && !op->watcher)
        fake->seen.open--;
    json_decref(op->request.message);
    buf_finish(&op->request.code);
    buf_finish(&op->request.input);
    free(op);
}

static void send_text(struct fake_op *op, enum frame_type type, const char *text)
{
    chan_send(op->chan, type, text, strlen(text));
}

static json_t *runner_record(const struct fake_runner *runner)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:b, s:i, s:i, s:i, s:i, s:n, s:i, s:[[s, i]]}", "name",
                     runner->name, "state", runner->state, "template", "base", "owner",
                     runner->owner[0] ? runner->owner : NULL, "kept", runner->owner[0] != '\0',
                     "pid", 4711, "memory", 1310720, "since", 1000, "startedAt", 900, "lastStatus",
                     "runs", 0, "history", "cooking", 900);
}

static void send_json(struct fake_op *op, enum frame_type type, json_t *take_json)
{
    char *text = json_dumps(take_json, JSON_COMPACT);
    send_text(op, type, text);
    free(text);
    json_decref(take_json);
}

static void send_snapshot(struct fake_op *op, bool first)
{
    const struct fake_worker *fake = op->fake;
    json_t *json =
        json_pack("{s:{s:s, s:s, s:i, s:s, s:s, s:s}, s:{s:i, s:i, s:i, s:i, s:i, s:i},"
                  " s:{s:s, s:s, s:i, s:i, s:i}, s:[f, f, f]}",
                  "worker", "name", "local", "version", "0.1.0", "startedAt", 1000, "kernel",
                  "6.1.0", "cgroup", "v2", "user", "root", "memory", "total", 1000, "free", 100,
                  "available", 750, "used", 250, "swapTotal", 0, "swapFree", 0, "disk", "path",
                  "/var/lib/codeland", "filesystem", "ext4", "total", 1000, "used", 301,
                  "available", 599, "load", 0.5, 0.25, 0.125);
    json_object_set_new(
        json, "oven",
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f}",
                  "template", "base", "status", fake->status, "message", fake->message, "cooking",
                  1, "available", fake->available, "inUse", fake->in_use, "freeing", 0, "count",
                  fake->available + fake->in_use + 1, "waiting", 0, "minAvailable", 10, "memTarget",
                  40, "memCeiling", 90, "maxRunners", 64, "cookMs", 6.5));
    if (fake->templates)
        json_object_set(json, "templates", fake->templates);
    if (first) {
        json_t *records = json_array();
        for (const struct fake_runner *runner = fake->runners; runner; runner = runner->next)
            json_array_append_new(records, runner_record(runner));
        json_object_set_new(json, "runners", records);
    }
    send_json(op, FRAME_SNAPSHOT, json);
}

static void echo_script(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)data;
    char text[128];
    const char *runner = json_string_value(json_object_get(request->message, "runner"));
    switch (request->type) {
    case FRAME_RUN:
    case FRAME_EXEC:
        fake_op_started(op);
        fake_op_output(op, false, request->code.data, request->code.len);
        fake_op_result(op, "ok", 0);
        break;
    case FRAME_DESTROY:
        snprintf(text, sizeof(text), "{\"runner\":\"%s\"}", runner);
        fake_worker_runner(op->fake, runner, NULL, NULL);
        fake_op_answer(op, FRAME_RESULT, text);
        break;
    case FRAME_STEER:
    case FRAME_SIGNAL:
        break;
    default:
        fake_op_answer(op, FRAME_RESULT, "{\"zombies\":[\"cr-zombie\"]}");
    }
}

static void call_script(struct fake_op *op)
{
    struct fake_worker *fake = op->fake;
    op->called = true;
    fake->seen.open++;
    fake->script(op, &op->request, fake->data);
}

static void answer_withdraw(struct fake_op *op)
{
    struct fake_worker *fake = op->fake;
    const char *key = json_string_value(json_object_get(op->request.message, "key"));
    char text[80];
    fake->seen.withdrawals++;
    fake->seen.open++;
    op->called = true;
    snprintf(text, sizeof(text), "{\"started\":%s,\"coveredMs\":%lld}",
             json_object_get(fake->started, key) ? "true" : "false", (long long)fake->covered_ms);
    fake_op_answer(op, FRAME_RESULT, text);
}

static void begin_operation(struct fake_op *op, const struct frame *frame)
{
    struct fake_seen *seen = &op->fake->seen;
    struct err err;
    op->request.type = (enum frame_type)frame->type;
    op->request.message = json_parse_object(frame->payload, frame->len, true, &err);
    switch (frame->type) {
    case FRAME_WATCH:
        seen->watches++;
        op->watcher = true;
        send_snapshot(op, true);
        if (op->fake->breaks_off)
            fake_op_drop(op);
        else
            send_snapshot(op, false);
        return;
    case FRAME_RUN:
        seen->runs++;
        if (json_object_get(op->request.message, "argv"))
            return; /* the program's text and input follow */
        break;
    case FRAME_EXEC:
        seen->execs++;
        return;
    case FRAME_DESTROY:
        seen->destroys++;
        break;
    case FRAME_WITHDRAW:
        answer_withdraw(op);
        return;
    case FRAME_OVEN:
        seen->ovens++;
        break;
    case FRAME_STEER:
        seen->steers++;
        break;
    default:
        seen->zombies++;
    }
    call_script(op);
}

static void take_signal(struct fake_op *op, const struct frame *frame)
{
    struct err err;
    json_decref(op->request.message);
    op->request.type = FRAME_SIGNAL;
    op->request.message = json_parse_object(frame->payload, frame->len, true, &err);
    op->fake->script(op, &op->request, op->fake->data);
}

static void on_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan;
    struct fake_op *op = data;
    switch (frame->type) {
    case FRAME_LINK_HELLO:
        if (!op->fake->silent)
            send_text(op, op->fake->hello_type, op->fake->hello);
        break;
    case FRAME_FILE_DATA:
        buf_append(&op->request.code, frame->payload, frame->len);
        break;
    case FRAME_STDIN:
        buf_append(&op->request.input, frame->payload, frame->len);
        break;
    case FRAME_STDIN_EOF:
        call_script(op);
        break;
    case FRAME_SIGNAL:
        take_signal(op, frame);
        break;
    default:
        begin_operation(op, frame);
    }
}

static void on_closed(struct chan *chan, const struct err *why, void *data)
{
    (void)why;
    struct fake_op *op = data;
    if (op->request.message && !op->watcher && !op->over)
        op->fake->seen.abandoned++;
    chan_destroy(chan, false);
    op_free(op);
}

static const struct chan_ops chan_ops = {.on_frame = on_frame, .on_closed = on_closed};

static void on_connection(uv_stream_t *listener, int status)
{
    struct fake_worker *fake = listener->data;
    uv_pipe_t *pipe = mem_new(uv_pipe_t);
    uv_os_fd_t fd;
    struct err err;
    uv_pipe_init(fake->loop, pipe, 0);
    if (status != 0 || uv_accept(listener, (uv_stream_t *)pipe) != 0 ||
        uv_fileno((uv_handle_t *)pipe, &fd) != 0)
        abort();
    struct fake_op *op = mem_new(struct fake_op);
    op->fake = fake;
    buf_init(&op->request.code, SIZE_MAX / 2);
    buf_init(&op->request.input, SIZE_MAX / 2);
    op->next = fake->ops;
    if (op->next)
        op->next->prev = op;
    fake->ops = op;
    fake->seen.connections++;
    op->chan = chan_create(fake->loop, dup(fd), &chan_ops, op, &err);
    uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
}

static void on_tick(uv_timer_t *timer)
{
    struct fake_worker *fake = timer->data;
    for (struct fake_op *op = fake->ops; op; op = op->next)
        if (op->watcher)
            send_snapshot(op, false);
}

struct fake_worker *fake_worker_create(uv_loop_t *loop, const char *path)
{
    struct fake_worker *fake = mem_new(struct fake_worker);
    signal(SIGPIPE, SIG_IGN); /* as every program of ours does */
    fake->loop = loop;
    fake->path = mem_strdup(path);
    fake->script = echo_script;
    fake->available = 5;
    fake->started = json_object();
    fake->covered_ms = 3600000;
    strcpy(fake->status, "idle");
    fake_worker_hello(fake, FRAME_LINK_HELLO, "{\"protocol\":3,\"program\":\"fake\"}");
    fake->listener = mem_new(uv_pipe_t);
    fake->ticker = mem_new(uv_timer_t);
    uv_pipe_init(loop, fake->listener, 0);
    uv_timer_init(loop, fake->ticker);
    fake->listener->data = fake->ticker->data = fake;
    unlink(path);
    if (uv_pipe_bind(fake->listener, path) != 0 ||
        uv_listen((uv_stream_t *)fake->listener, 128, on_connection) != 0)
        abort();
    uv_timer_start(fake->ticker, on_tick, 1000, 1000);
    return fake;
}

void fake_worker_destroy(struct fake_worker *fake)
{
    if (!fake)
        return;
    while (fake->ops) {
        chan_destroy(fake->ops->chan, false);
        op_free(fake->ops);
    }
    while (fake->runners) {
        struct fake_runner *runner = fake->runners;
        fake->runners = runner->next;
        free(runner);
    }
    uv_close((uv_handle_t *)fake->listener, (uv_close_cb)free);
    uv_close((uv_handle_t *)fake->ticker, (uv_close_cb)free);
    json_decref(fake->templates);
    json_decref(fake->started);
    free(fake->path);
    free(fake);
}

void fake_worker_script(struct fake_worker *fake, fake_script script, void *data)
{
    fake->script = script ? script : echo_script;
    fake->data = data;
}

const struct fake_seen *fake_worker_seen(const struct fake_worker *fake)
{
    return &fake->seen;
}

void fake_worker_hello(struct fake_worker *fake, enum frame_type type, const char *text)
{
    fake->silent = !text;
    fake->hello_type = type;
    snprintf(fake->hello, sizeof(fake->hello), "%s", text ? text : "");
}

void fake_worker_covers(struct fake_worker *fake, int64_t covered_ms)
{
    fake->covered_ms = covered_ms;
}

void fake_worker_oven(struct fake_worker *fake, unsigned available, unsigned in_use,
                      const char *status, const char *message)
{
    fake->available = available;
    fake->in_use = in_use;
    snprintf(fake->status, sizeof(fake->status), "%s", status);
    snprintf(fake->message, sizeof(fake->message), "%s", message);
    on_tick(fake->ticker);
}

void fake_worker_templates(struct fake_worker *fake, json_t *take_templates)
{
    json_decref(fake->templates);
    fake->templates = take_templates;
    on_tick(fake->ticker);
}

void fake_worker_tell(struct fake_worker *fake, enum frame_type type, const char *text)
{
    for (struct fake_op *op = fake->ops; op; op = op->next)
        if (op->watcher)
            send_text(op, type, text);
}

static void remove_runner(struct fake_worker *fake, const char *name)
{
    for (struct fake_runner **at = &fake->runners; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0) {
            struct fake_runner *runner = *at;
            *at = runner->next;
            free(runner);
            return;
        }
    }
}

void fake_worker_runner(struct fake_worker *fake, const char *name, const char *state,
                        const char *owner)
{
    json_t *changes;
    remove_runner(fake, name);
    if (state) {
        struct fake_runner *runner = mem_new(struct fake_runner);
        snprintf(runner->name, sizeof(runner->name), "%s", name);
        snprintf(runner->state, sizeof(runner->state), "%s", state);
        snprintf(runner->owner, sizeof(runner->owner), "%s", owner ? owner : "");
        runner->next = fake->runners;
        fake->runners = runner;
        changes = json_pack("{s:[o], s:[]}", "runners", runner_record(runner), "gone");
    } else {
        changes = json_pack("{s:[], s:[s]}", "runners", "gone", name);
    }
    char *text = json_dumps(changes, JSON_COMPACT);
    fake_worker_tell(fake, FRAME_CHANGES, text);
    free(text);
    json_decref(changes);
}

void fake_worker_break_off(struct fake_worker *fake, bool breaks_off)
{
    fake->breaks_off = breaks_off;
}

void fake_worker_cut_watch(struct fake_worker *fake)
{
    struct fake_op *next;
    for (struct fake_op *op = fake->ops; op; op = next) {
        next = op->next;
        if (!op->watcher)
            continue;
        chan_destroy(op->chan, false);
        op_free(op);
    }
}

void fake_op_send(struct fake_op *op, enum frame_type type, const void *data, size_t len)
{
    chan_send(op->chan, type, data, len);
}

void fake_op_started(struct fake_op *op)
{
    char text[128];
    const json_t *keep = json_object_get(op->request.message, "keep");
    const char *key = json_string_value(json_object_get(op->request.message, "key"));
    if (key)
        json_object_set_new(op->fake->started, key, json_true());
    const char *name = json_string_value(json_object_get(op->request.message, "runner"));
    if (!name)
        name = json_string_value(json_object_get(keep, "name"));
    if (name)
        snprintf(op->runner, sizeof(op->runner), "%s", name);
    else
        snprintf(op->runner, sizeof(op->runner), "cr-%08u", ++op->fake->made);
    if (keep)
        fake_worker_runner(op->fake, op->runner, "inUse",
                           json_string_value(json_object_get(keep, "owner")));
    snprintf(text, sizeof(text), "{\"runner\":\"%s\",\"queuedMs\":0.1}", op->runner);
    send_text(op, FRAME_STARTED, text);
}

void fake_op_output(struct fake_op *op, bool is_err, const void *data, size_t len)
{
    const char *bytes = data;
    for (size_t at = 0; at < len; at += FRAME_DATA_MAX)
        chan_send(op->chan, is_err ? FRAME_STDERR : FRAME_STDOUT, bytes + at,
                  len - at < FRAME_DATA_MAX ? len - at : FRAME_DATA_MAX);
}

void fake_op_answer(struct fake_op *op, enum frame_type type, const char *text)
{
    send_text(op, type, text);
    op->over = true;
    chan_destroy(op->chan, true);
    op_free(op);
}

void fake_op_result(struct fake_op *op, const char *status, int code)
{
    char text[400], exit_text[16] = "null";
    if (code >= 0)
        snprintf(exit_text, sizeof(exit_text), "%d", code);
    if (!json_object_get(op->request.message, "argv"))
        snprintf(text, sizeof(text), "{\"runner\":\"%s\",\"queued\":0.1}", op->runner);
    else
        snprintf(text, sizeof(text),
                 "{\"runner\":\"%s\",\"status\":\"%s\",\"exit\":%s,\"signal\":%s,\"wall\":1.9,"
                 "\"cpuUser\":0.8,\"cpuSys\":0.6,\"memoryPeak\":1437696,\"queued\":0.1,"
                 "\"truncated\":{\"stdout\":false,\"stderr\":false}}",
                 op->runner, status, exit_text,
                 strcmp(status, "signal") == 0 ? "\"SIGSEGV\"" : "null");
    fake_op_answer(op, FRAME_RESULT, text);
}

void fake_op_error(struct fake_op *op, const char *name, const char *message, int retry_after_ms)
{
    json_t *json = json_pack("{s:s, s:s, s:s?, s:i}", "name", name, "message", message, "runner",
                             op->runner[0] ? op->runner : NULL, "retryAfterMs", retry_after_ms);
    char *text = json_dumps(json, JSON_COMPACT);
    fake_op_answer(op, FRAME_LINK_ERROR, text);
    free(text);
    json_decref(json);
}

void fake_op_drop(struct fake_op *op)
{
    op->over = true;
    chan_destroy(op->chan, false);
    op_free(op);
}

void fake_op_pause(struct fake_op *op)
{
    chan_pause(op->chan);
}

void fake_op_resume(struct fake_op *op)
{
    chan_resume(op->chan);
}
