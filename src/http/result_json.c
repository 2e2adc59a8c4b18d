#include "result_json.h"

#include "../common/base64.h"
#include "../common/mem.h"
#include "json_writer.h"

#include <string.h>

/* The text is a list of pieces. What is short is written out when the list is made; what a program
 * printed, or a file holds, stays where it is until its piece is read.
 */
enum kind {
    PIECE_TEXT,    /* from..to of text */
    PIECE_ESCAPED, /* bytes, as the inside of a JSON string */
    PIECE_BASE64,  /* bytes */
    PIECE_TURNS,   /* both streams in the order of arrival, as base64 */
};

struct piece {
    enum kind kind;
    size_t from, to;
    const struct buf *bytes;
    const struct output *output;
};

struct result_json {
    struct run_result *result;
    int status;
    unsigned flags;
    struct buf text;
    struct json_writer json;
    size_t closed; /* of text, what is in pieces */
    struct piece *pieces;
    size_t count, room;
    size_t now, at; /* the piece that is read, and where in it */
    struct output_cursor cursor;
    const char *turn; /* what is left of the cursor's */
    size_t turn_len;
};

#define TEXT_MAX (16 * 1024 * 1024) /* paths of files are most of it */

static void add_piece(struct result_json *self, const struct piece *piece)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->pieces = mem_realloc(self->pieces, self->room * sizeof(*self->pieces));
    }
    self->pieces[self->count++] = *piece;
}

static void close_text(struct result_json *self)
{
    if (self->text.len > self->closed)
        add_piece(self, &(struct piece){PIECE_TEXT, self->closed, self->text.len, NULL, NULL});
    self->closed = self->text.len;
}

/* "key":"...", with a piece between the quotes. */
static void put_piece(struct result_json *self, const char *key, const struct piece *piece)
{
    json_put_text(&self->json, key, "");
    self->text.len--; /* the closing quote */
    close_text(self);
    add_piece(self, piece);
    buf_append_str(&self->text, "\"");
}

static void put_stream(struct result_json *self, const char *key, const struct buf *bytes)
{
    put_piece(self, key,
              &(struct piece){.kind = self->flags & RESULT_BASE64 ? PIECE_BASE64 : PIECE_ESCAPED,
                              .bytes = bytes});
}

static void put_exit(struct json_writer *json, const struct run_end *end)
{
    json_put_text(json, "status", end->status);
    if (end->exit >= 0)
        json_put_int(json, "exit", end->exit);
    else
        json_put_null(json, "exit");
    json_put_text_or_null(json, "signal", end->signal);
}

static void put_truncated(struct json_writer *json, const struct run_end *end)
{
    json_put_open(json, "truncated", '{');
    json_put_bool(json, "stdout", end->out_truncated);
    json_put_bool(json, "stderr", end->err_truncated);
    json_close(json, '}');
}

static void put_compile(struct result_json *self)
{
    const struct run_end *compile = &self->result->compile;
    if (!compile->status[0])
        return;
    json_put_open(&self->json, "compile", '{');
    put_exit(&self->json, compile);
    put_stream(self, "stdout", &compile->output.out);
    put_stream(self, "stderr", &compile->output.err);
    put_truncated(&self->json, compile);
    json_put_ms(&self->json, "duration", compile->wall_ms);
    json_close(&self->json, '}');
}

static void put_files(struct result_json *self)
{
    const struct run_result *result = self->result;
    if (!result->collects)
        return;
    json_put_open(&self->json, "files", '[');
    for (size_t i = 0; i < result->files_len; i++) {
        const struct run_found *file = &result->files[i];
        json_put_open(&self->json, NULL, '{');
        json_put_text(&self->json, "path", file->path);
        json_put_int(&self->json, "size", file->size_bytes);
        json_put_int(&self->json, "mode", file->mode);
        if (file->error[0])
            json_put_text(&self->json, "error", file->error);
        else
            put_piece(self, "content", &(struct piece){.kind = PIECE_BASE64, .bytes = &file->data});
        json_close(&self->json, '}');
    }
    json_close(&self->json, ']');
    json_put_bool(&self->json, "filesCut", result->files_cut);
}

static void put_program(struct result_json *self)
{
    const struct run_end *program = &self->result->program;
    const bool whole = !(self->flags & RESULT_STREAMED);
    if (whole)
        put_piece(self, "res", &(struct piece){.kind = PIECE_TURNS, .output = &program->output});
    put_exit(&self->json, program);
    if (whole) {
        put_stream(self, "stdout", &program->output.out);
        put_stream(self, "stderr", &program->output.err);
    }
    put_truncated(&self->json, program);
    put_compile(self);
    put_files(self);
}

static void put_figures(struct result_json *self)
{
    const struct run_end *program = &self->result->program;
    json_put_ms(&self->json, "wall", program->wall_ms);
    json_put_ms(&self->json, "cpuUser", program->cpu_user_ms);
    json_put_ms(&self->json, "cpuSys", program->cpu_sys_ms);
    json_put_int(&self->json, "memoryPeak", program->memory_peak_bytes);
    json_put_text(&self->json, "language", self->result->language->name);
}

static void write_all(struct result_json *self, double duration_ms, const char *request_id)
{
    struct json_writer *json = &self->json;
    const bool ran = self->result->program.status[0];
    json_open(json, '{');
    if (self->status != 200) {
        json_put_text(json, "name", err_name(ERR_TIMED_OUT));
        json_put_text(json, "message", "the run passed its time and was killed");
    }
    json_put_text(json, "runner", self->result->runner);
    json_put_null(json, "domain"); /* until there are previews */
    json_put_ms(json, "duration", duration_ms);
    if (ran)
        put_program(self);
    json_put_ms(json, "queued", self->result->queued_ms);
    if (ran)
        put_figures(self);
    json_put_text(json, "requestId", request_id);
    json_close(json, '}');
    close_text(self);
}

struct result_json *result_json_create(struct run_result *take_result, double duration_ms,
                                       const char *request_id, unsigned flags)
{
    struct result_json *self = mem_new(struct result_json);
    self->result = take_result;
    self->flags = flags;
    self->status =
        strcmp(take_result->program.status, "timeout") == 0 ? err_http_status(ERR_TIMED_OUT) : 200;
    buf_init(&self->text, TEXT_MAX);
    self->json.buf = &self->text;
    write_all(self, duration_ms, request_id);
    return self;
}

void result_json_destroy(struct result_json *json)
{
    if (!json)
        return;
    run_result_free(json->result);
    buf_finish(&json->text);
    free(json->pieces);
    free(json);
}

int result_json_status(const struct result_json *json)
{
    return json->status;
}

/* ---- reading ---- */

/* More of the present piece's bytes, if there are any. */
static bool next_turn(struct result_json *self, const struct piece *piece)
{
    if (piece->kind == PIECE_TURNS)
        return output_next(piece->output, &self->cursor, &self->turn, &self->turn_len);
    self->turn = piece->bytes->data + self->at;
    self->turn_len = piece->bytes->len - self->at;
    self->at = piece->bytes->len;
    return self->turn_len > 0;
}

/* Up to three bytes; fewer only at the end. */
static size_t next_three(struct result_json *self, const struct piece *piece,
                         unsigned char three[3])
{
    size_t count = 0;
    while (count < 3) {
        if (self->turn_len == 0 && !next_turn(self, piece))
            break;
        three[count++] = (unsigned char)*self->turn++;
        self->turn_len--;
    }
    return count;
}

/* Whole groups of what is at hand. */
static size_t read_groups(struct result_json *self, char *to, size_t room)
{
    size_t groups = self->turn_len / 3 < room / 4 ? self->turn_len / 3 : room / 4;
    size_t written = base64_encode(self->turn, 3 * groups, to);
    self->turn += 3 * groups;
    self->turn_len -= 3 * groups;
    return written;
}

/* base64 of as much as fits; *end when nothing is left. */
static size_t read_base64(struct result_json *self, const struct piece *piece, char *to,
                          size_t room, bool *end)
{
    size_t written = 0;
    *end = false;
    while (room - written >= 4) {
        unsigned char three[3];
        if (self->turn_len >= 3) {
            written += read_groups(self, to + written, room - written);
            continue;
        }
        size_t count = next_three(self, piece, three);
        written += base64_encode(three, count, to + written);
        if (count < 3) {
            *end = true;
            return written;
        }
    }
    return written;
}

static size_t read_text(struct result_json *self, const struct piece *piece, char *to, size_t room,
                        bool *end)
{
    size_t left = piece->to - piece->from - self->at;
    size_t len = left < room ? left : room;
    memcpy(to, self->text.data + piece->from + self->at, len);
    self->at += len;
    *end = len == left;
    return len;
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

static size_t read_piece(struct result_json *self, const struct piece *piece, char *to, size_t room,
                         bool *end)
{
    switch (piece->kind) {
    case PIECE_TEXT:
        return read_text(self, piece, to, room, end);
    case PIECE_ESCAPED:
        return read_escaped(self, piece->bytes, to, room, end);
    default:
        return read_base64(self, piece, to, room, end);
    }
}

size_t result_json_read(struct result_json *self, char *to, size_t room)
{
    size_t written = 0;
    while (self->now < self->count && room - written >= 8) {
        bool end;
        written += read_piece(self, &self->pieces[self->now], to + written, room - written, &end);
        if (!end)
            continue;
        self->now++;
        self->at = self->turn_len = 0;
        self->cursor = (struct output_cursor){0};
    }
    return written;
}
