#include "result_json.h"

#include "../common/mem.h"
#include "json_writer.h"

#include <string.h>

/* The text is `head` up to and with `"res":"`, base64, `middle` up to `"stdout":"`, the escaped
 * stdout, `","stderr":"`, the escaped stderr, `tail`. A result without output (nothing ran) is all
 * head; one whose output was streamed is head, middle without stdout, tail.
 */
enum phase { HEAD, RES, MIDDLE, OUT, BETWEEN, ERR_TEXT, TAIL, END };

struct result_json {
    struct run_result *result;
    int status;
    bool streamed;
    struct buf head, middle, tail;
    enum phase phase;
    size_t at; /* in the phase's bytes */
    struct output_cursor cursor;
    const char *turn; /* what is left of the cursor's */
    size_t turn_len;
};

static const char between[] = "\",\"stderr\":\"";

#define TEXT_MAX 4096

static void put_string_start(struct json_writer *json, const char *key)
{
    json_put_text(json, key, "");
    json->buf->len--; /* the closing quote */
}

static void write_head(struct result_json *self, double duration_ms, const char *request_id)
{
    const struct run_result *result = self->result;
    struct json_writer json = {.buf = &self->head};
    json_open(&json, '{');
    if (self->status != 200) {
        json_put_text(&json, "name", err_name(ERR_TIMED_OUT));
        json_put_text(&json, "message", "the run passed its time and was killed");
    }
    json_put_text(&json, "runner", result->runner);
    json_put_null(&json, "domain"); /* until there are previews */
    json_put_ms(&json, "duration", duration_ms);
    if (result->status[0]) {
        if (!self->streamed)
            put_string_start(&json, "res");
        return;
    }
    json_put_ms(&json, "queued", result->queued_ms);
    json_put_text(&json, "requestId", request_id);
    json_close(&json, '}');
}

static void write_middle(struct result_json *self)
{
    const struct run_result *result = self->result;
    struct json_writer json = {.buf = &self->middle};
    buf_append_str(&self->middle, self->streamed ? "," : "\",");
    json_put_text(&json, "status", result->status);
    if (result->exit >= 0)
        json_put_int(&json, "exit", result->exit);
    else
        json_put_null(&json, "exit");
    json_put_text_or_null(&json, "signal", result->signal);
    if (!self->streamed)
        put_string_start(&json, "stdout");
}

static void write_tail(struct result_json *self, const char *request_id)
{
    const struct run_result *result = self->result;
    struct json_writer json = {.buf = &self->tail, .comma = true};
    if (!self->streamed)
        buf_append_str(&self->tail, "\"");
    json_put_open(&json, "truncated", '{');
    json_put_bool(&json, "stdout", result->out_truncated);
    json_put_bool(&json, "stderr", result->err_truncated);
    json_close(&json, '}');
    json_put_ms(&json, "queued", result->queued_ms);
    json_put_ms(&json, "wall", result->wall_ms);
    json_put_ms(&json, "cpuUser", result->cpu_user_ms);
    json_put_ms(&json, "cpuSys", result->cpu_sys_ms);
    json_put_int(&json, "memoryPeak", result->memory_peak_bytes);
    json_put_text(&json, "language", result->language->name);
    json_put_text(&json, "requestId", request_id);
    json_close(&json, '}');
}

struct result_json *result_json_create(struct run_result *take_result, double duration_ms,
                                       const char *request_id, bool streamed)
{
    struct result_json *self = mem_new(struct result_json);
    self->result = take_result;
    self->streamed = streamed;
    self->status =
        strcmp(take_result->status, "timeout") == 0 ? err_http_status(ERR_TIMED_OUT) : 200;
    buf_init(&self->head, TEXT_MAX);
    buf_init(&self->middle, TEXT_MAX);
    buf_init(&self->tail, TEXT_MAX);
    write_head(self, duration_ms, request_id);
    if (take_result->status[0]) {
        write_middle(self);
        write_tail(self, request_id);
    }
    return self;
}

void result_json_destroy(struct result_json *json)
{
    if (!json)
        return;
    run_result_free(json->result);
    buf_finish(&json->head);
    buf_finish(&json->middle);
    buf_finish(&json->tail);
    free(json);
}

int result_json_status(const struct result_json *json)
{
    return json->status;
}

/* Up to three bytes in the order of arrival; fewer only at the end. */
static size_t next_three(struct result_json *self, unsigned char three[3])
{
    size_t count = 0;
    while (count < 3) {
        if (self->turn_len == 0 &&
            !output_next(&self->result->output, &self->cursor, &self->turn, &self->turn_len))
            break;
        three[count++] = (unsigned char)*self->turn++;
        self->turn_len--;
    }
    return count;
}

static size_t encode(const unsigned char *three, size_t count, char *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)three[0] << 16;
    if (count > 1)
        bits |= (uint32_t)three[1] << 8;
    if (count > 2)
        bits |= three[2];
    to[0] = digits[bits >> 18];
    to[1] = digits[bits >> 12 & 63];
    to[2] = count > 1 ? digits[bits >> 6 & 63] : '=';
    to[3] = count > 2 ? digits[bits & 63] : '=';
    return 4;
}

/* base64 of as much as fits; *end when nothing is left. */
static size_t read_res(struct result_json *self, char *to, size_t room, bool *end)
{
    size_t written = 0;
    *end = false;
    while (room - written >= 4) {
        if (self->turn_len >= 3) {
            written += encode((const unsigned char *)self->turn, 3, to + written);
            self->turn += 3;
            self->turn_len -= 3;
            continue;
        }
        unsigned char three[3];
        size_t count = next_three(self, three);
        if (count > 0)
            written += encode(three, count, to + written);
        if (count < 3) {
            *end = true;
            break;
        }
    }
    return written;
}

static size_t read_text(struct result_json *self, const char *text, size_t len, char *to,
                        size_t room, bool *end)
{
    size_t piece = len - self->at < room ? len - self->at : room;
    memcpy(to, text + self->at, piece);
    self->at += piece;
    *end = self->at == len;
    return piece;
}

static size_t read_escaped(struct result_json *self, const struct buf *text, char *to, size_t room,
                           bool *end)
{
    size_t used = 0, written = 0;
    if (text->len > self->at)
        written = json_escape(text->data + self->at, text->len - self->at, true, to, room, &used);
    self->at += used;
    *end = self->at == text->len;
    return written;
}

static size_t read_phase(struct result_json *self, char *to, size_t room, bool *end)
{
    switch (self->phase) {
    case HEAD:
        return read_text(self, self->head.data, self->head.len, to, room, end);
    case RES:
        return read_res(self, to, room, end);
    case MIDDLE:
        return read_text(self, self->middle.data, self->middle.len, to, room, end);
    case OUT:
        return read_escaped(self, &self->result->output.out, to, room, end);
    case BETWEEN:
        return read_text(self, between, sizeof(between) - 1, to, room, end);
    case ERR_TEXT:
        return read_escaped(self, &self->result->output.err, to, room, end);
    default:
        return read_text(self, self->tail.data, self->tail.len, to, room, end);
    }
}

static enum phase next_phase(const struct result_json *self)
{
    if (!self->result->status[0])
        return END;
    if (self->streamed && self->phase == HEAD)
        return MIDDLE;
    if (self->streamed && self->phase == MIDDLE)
        return TAIL;
    return self->phase + 1;
}

size_t result_json_read(struct result_json *self, char *to, size_t room)
{
    size_t written = 0;
    while (self->phase != END && room - written >= 8) {
        bool end;
        written += read_phase(self, to + written, room - written, &end);
        if (!end)
            continue;
        self->at = 0;
        self->phase = next_phase(self);
    }
    return written;
}
