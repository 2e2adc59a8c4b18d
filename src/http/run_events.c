#include "run_events.h"

#include "../common/mem.h"
#include "../loop/timer.h"
#include "result_json.h"
#include "sse.h"

#include <string.h>

/* How it works. Until the run has started the exchange is unanswered, and a failure is a plain
 * error. Then the answer is a live source that is read whenever the socket takes more. It holds at
 * most one frame of output: as soon as the socket leaves some of that over, the run is paused,
 * which reaches the program by way of full sockets and pipes.
 *
 * The bytes that are kept of a stream are what was not sent, and the start of a character whose end
 * has not come.
 */
enum ending { GOING, RESULT_HEAD, RESULT, RESULT_TAIL, OVER };

struct run_events {
    struct exchange *exchange;
    struct run *run; /* NULL once it is over */
    bool base64, answering;
    struct buf notes;   /* whole events, and comments, that go first */
    struct buf text[2]; /* stdout, stderr */
    int last;           /* which of them has come last */
    bool unsent;        /* and has more to send than a character's start */
    struct result_json *result;
    enum ending ending;
    uv_timer_t *beat;
};

#define NOTES_MAX 8192

static const char *const names[] = {"stdout", "stderr"};

static void events_free(struct run_events *self)
{
    if (self->run)
        run_cancel(self->run);
    result_json_destroy(self->result);
    buf_finish(&self->notes);
    buf_finish(&self->text[0]);
    buf_finish(&self->text[1]);
    loop_timer_destroy(self->beat);
    free(self);
}

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    events_free(data);
}

/* ---- the text ---- */

static size_t read_notes(struct run_events *self, char *to, size_t room)
{
    size_t len = self->notes.len < room ? self->notes.len : room;
    memcpy(to, self->notes.data, len);
    buf_drop(&self->notes, len);
    return len;
}

static size_t read_text(struct run_events *self, int which, bool last, char *to, size_t room)
{
    struct buf *text = &self->text[which];
    size_t used, written;
    if (text->len == 0)
        return 0;
    written = sse_output(names[which], self->base64, text->data, text->len, last, to, room, &used);
    buf_drop(text, used);
    return written;
}

static size_t read_ending(struct run_events *self, char *to, size_t room)
{
    for (int which = 0; which < 2; which++) {
        size_t written = read_text(self, which, true, to, room);
        if (written > 0)
            return written;
    }
    switch (self->ending) {
    case RESULT_HEAD:
        buf_append_str(&self->notes, "event: end\ndata: ");
        self->ending = RESULT;
        return read_notes(self, to, room);
    case RESULT: {
        size_t written = result_json_read(self->result, to, room);
        if (written > 0)
            return written;
        buf_append_str(&self->notes, "\n\n");
        self->ending = OVER;
        return read_notes(self, to, room);
    }
    default:
        return 0;
    }
}

static size_t read_events(void *data, char *to, size_t room)
{
    struct run_events *self = data;
    if (self->notes.len > 0)
        return read_notes(self, to, room);
    if (self->unsent) {
        size_t written = read_text(self, self->last, false, to, room);
        if (written > 0)
            return written;
        self->unsent = false;
        if (self->run)
            run_resume(self->run);
    }
    return self->ending == GOING ? ANSWER_LATER : read_ending(self, to, room);
}

static void destroy_events(void *data)
{
    events_free(data);
}

static bool is_live(void *data)
{
    const struct run_events *self = data;
    return self->run != NULL;
}

static void put_note(struct run_events *self, const char *event, struct buf *take_json)
{
    buf_printf(&self->notes, "event: %s\ndata: %s\n\n", event, take_json->data);
    buf_finish(take_json);
}

static void note_start(struct run_events *self, const char *runner, double queued_ms)
{
    struct buf text;
    buf_init(&text, NOTES_MAX / 2);
    struct json_writer json = {.buf = &text};
    json_open(&json, '{');
    json_put_text(&json, "runner", runner);
    json_put_ms(&json, "queued", queued_ms);
    json_put_text(&json, "requestId", self->exchange->id);
    json_close(&json, '}');
    put_note(self, "start", &text);
}

/* ---- the run ---- */

static void answer(struct run_events *self, const char *runner, double queued_ms)
{
    const struct answer_source source = {
        .self = self,
        .read = read_events,
        .destroy = destroy_events,
        .live = is_live,
        .type = "text/event-stream",
    };
    self->answering = true;
    note_start(self, runner, queued_ms);
    exchange_stream(self->exchange, 200, runner, &source);
}

static void on_started(const char *runner, double queued_ms, void *data)
{
    answer(data, runner, queued_ms);
}

static void on_output(bool is_err, const char *bytes, size_t len, void *data)
{
    struct run_events *self = data;
    self->last = is_err;
    self->unsent = true;
    buf_append(&self->text[is_err], bytes, len);
    exchange_wake(self->exchange);
    if (self->unsent)
        run_pause(self->run);
}

static const struct run_sink sink = {.started = on_started, .output = on_output};

static void on_done(struct run_result *take_result, const struct failure *failure, void *data)
{
    struct run_events *self = data;
    struct exchange *exchange = self->exchange;
    self->run = NULL;
    if (failure && !self->answering) {
        events_free(self);
        exchange_fail_with(exchange, failure);
        return;
    }
    if (failure) {
        struct buf text;
        buf_init(&text, NOTES_MAX / 2);
        exchange_failure_json(exchange, failure, &text);
        put_note(self, "error", &text);
        self->ending = OVER;
    } else {
        char runner[NAME_MAX_LEN + 1];
        double queued_ms = take_result->queued_ms;
        memcpy(runner, take_result->runner, sizeof(runner));
        self->result =
            result_json_create(take_result, exchange_ms(exchange), exchange->id, RESULT_STREAMED);
        self->ending = RESULT_HEAD;
        if (!self->answering) {
            answer(self, runner, queued_ms);
            return;
        }
    }
    exchange_wake(exchange);
}

/* So that whoever carries the stream does not take silence for its end. */
static void on_beat(uv_timer_t *timer)
{
    struct run_events *self = timer->data;
    if (!self->answering || self->ending != GOING || self->unsent || self->notes.len > 0)
        return;
    buf_append_str(&self->notes, ": still running\n\n");
    exchange_wake(self->exchange);
}

void run_events_start(struct exchange *exchange, struct worker *worker,
                      const struct run_request *request, bool base64)
{
    struct failure failure;
    struct run_events *self = mem_new(struct run_events);
    uint64_t beat_ms = (uint64_t)exchange->app->config->http_heartbeat;
    self->exchange = exchange;
    self->base64 = base64;
    buf_init(&self->notes, NOTES_MAX);
    buf_init(&self->text[0], FRAME_DATA_MAX + 8);
    buf_init(&self->text[1], FRAME_DATA_MAX + 8);
    self->beat = loop_timer_create(exchange->app->loop, self);
    self->run = run_start(exchange->app->loop, exchange->app->fleet, worker, request, on_done, self,
                          &failure);
    if (!self->run) {
        events_free(self);
        exchange_fail_with(exchange, &failure);
        return;
    }
    run_stream(self->run, &sink, self);
    exchange_on_gone(exchange, on_gone, self);
    uv_timer_start(self->beat, on_beat, beat_ms, beat_ms);
}
