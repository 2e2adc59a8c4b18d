#include "conn.h"

#include "../common/ids.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "auth.h"
#include "chunked.h"
#include "routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* How it works. Bytes are consumed by the state: HEAD collects until a head is whole, BODY until
 * the body is, then the handler has the exchange (BUSY) until it answers. ANSWERING ends when the
 * socket has taken all; then the next request's bytes, which may be there already, are looked at.
 * Requests of one connection are never handled at the same time. An answer that is given before
 * the request was read to its end is followed by DRAINING: our side is shut, and what still comes
 * is read over for a while, so that the client finds the answer and not a reset.
 *
 * Bytes that come while nobody wants them are kept, up to IN_MAX; above, the socket is not read.
 *
 * Handlers may answer from inside conn_readable. `feeding` keeps the loop over the input in one
 * place; `doomed` says that io->close was called and that nothing may be done any more.
 */
enum state { HEAD, BODY, BUSY, ANSWERING, DRAINING };

struct conn {
    struct exchange exchange; /* first: exchange_* come back by it */
    struct conn_shared *shared;
    const struct conn_io *io;
    void *socket;
    enum state state;
    mono_us deadline; /* 0: none */
    struct buf in;    /* read, not consumed */
    struct buf body;
    const struct route *route;
    bool chunked, version_1_1, keep_alive, head_only, head_begun, feeding, doomed, read_off,
        blocked;
    bool request_over; /* the request was read to its end */
    uint64_t body_left;
    struct chunked chunks;
    uint64_t body_seen;
    size_t drained;
    struct buf out; /* head of the answer, and a body that is in memory */
    size_t out_sent;
    struct answer_source source;
    int status;
    char runner[NAME_MAX_LEN + 1]; /* for the log */
};

#define IN_MAX (2 * HTTP_HEAD_MAX)
#define DRAIN_MAX (8 * 1024 * 1024)
#define DRAIN_MS 2000
#define SMALL_ANSWER CONN_PIECE
#define ROUNDS_A_TURN 16

const struct http_timeouts http_timeouts_default = {
    .head_ms = 10000,
    .idle_ms = 75000,
    .body_ms = 30000,
    .write_ms = 30000,
};

static void feed(struct conn *conn, const char *data, size_t len);

static void set_deadline(struct conn *conn, int64_t ms)
{
    conn->deadline = ms ? clock_now(&clock_system) + ms * US_PER_MS : 0;
}

static void doom(struct conn *conn)
{
    if (conn->doomed)
        return;
    conn->doomed = true;
    conn->io->close(conn->socket);
}

static void set_read(struct conn *conn, bool on)
{
    if (conn->read_off == on)
        conn->io->want_read(conn->socket, on);
    conn->read_off = !on;
}

struct conn *conn_create(struct conn_shared *shared, const struct conn_io *io, void *socket)
{
    struct conn *conn = mem_new(struct conn);
    conn->shared = shared;
    conn->io = io;
    conn->socket = socket;
    conn->exchange.app = &shared->app;
    buf_init(&conn->in, SIZE_MAX / 2);
    buf_init(&conn->out, SIZE_MAX / 2);
    set_deadline(conn, shared->timeouts.idle_ms);
    return conn;
}

static void drop_source(struct conn *conn)
{
    if (conn->source.destroy)
        conn->source.destroy(conn->source.self);
    conn->source = (struct answer_source){0};
}

void conn_closed(struct conn *conn)
{
    conn->doomed = true;
    if (conn->state == BUSY || conn->state == ANSWERING)
        conn->shared->busy--;
    if (conn->state == BUSY && conn->exchange.gone)
        conn->exchange.gone(&conn->exchange, conn->exchange.gone_data);
    drop_source(conn);
    buf_finish(&conn->in);
    buf_finish(&conn->body);
    buf_finish(&conn->out);
    free(conn);
}

/* --- answering --- */

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 431:
        return "Request Header Fields Too Large";
    case 498:
        return "Runner Timed Out";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 507:
        return "Insufficient Storage";
    default:
        return "Internal Server Error";
    }
}

static const char *date(struct conn_shared *shared)
{
    int64_t now_s = clock_wall_ms() / 1000;
    if (now_s != shared->date_s) {
        struct tm utc;
        time_t seconds = (time_t)now_s;
        gmtime_r(&seconds, &utc);
        strftime(shared->date, sizeof(shared->date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
        shared->date_s = now_s;
    }
    return shared->date;
}

static void log_answer(const struct conn *conn)
{
    char ms[32];
    snprintf(ms, sizeof(ms), "%.2f", exchange_ms(&conn->exchange));
    log_info("request", LOG_S("method", http_method_name(conn->exchange.method)),
             LOG_S("path", conn->exchange.path), LOG_D("status", conn->status), LOG_S("ms", ms),
             LOG_S("id", conn->exchange.id), LOG_S("runner", conn->runner));
}

static void answer_over(struct conn *conn)
{
    conn->shared->busy--;
    conn->state = HEAD; /* from here it is not busy, however it ends */
    log_answer(conn);
    drop_source(conn);
    buf_clear(&conn->out);
    conn->out_sent = 0;
    if (conn->out.room > SMALL_ANSWER)
        buf_finish(&conn->out);
    if (!conn->keep_alive && conn->request_over) {
        doom(conn);
        return;
    }
    if (!conn->keep_alive) {
        conn->state = DRAINING;
        conn->drained = 0;
        set_deadline(conn, DRAIN_MS);
        conn->io->shut(conn->socket);
    } else {
        set_deadline(conn, conn->shared->timeouts.idle_ms);
    }
    set_read(conn, true);
    if (!conn->feeding)
        feed(conn, NULL, 0);
}

/* A chunk: its length in six digits, CR LF, the bytes, CR LF. */
#define CHUNK_HEAD 8
#define CHUNK_TAIL 2
#define LAST_CHUNK "0\r\n\r\n"

static void put_chunk_frame(char *piece, size_t len)
{
    char head[CHUNK_HEAD + 1];
    snprintf(head, sizeof(head), "%06x\r\n", (unsigned)len & 0xFFFFFF);
    memcpy(piece, head, CHUNK_HEAD);
    memcpy(piece + CHUNK_HEAD + len, "\r\n", CHUNK_TAIL);
}

static int write_some(struct conn *conn, const char *data, size_t len)
{
    bool clear = true;
    if (len > 0 && conn->io->write(conn->socket, data, len, &clear) != 0) {
        doom(conn);
        return -1;
    }
    conn->blocked = !clear;
    return 0;
}

/* The next piece of a streamed answer, as a chunk; HTTP/1.0 knows none, its answers end with the
 * connection.
 */
static int send_piece(struct conn *conn)
{
    char *piece = conn->shared->piece;
    size_t room = CONN_PIECE - CHUNK_HEAD - CHUNK_TAIL;
    size_t len = conn->source.read(conn->source.self, piece + CHUNK_HEAD, room);
    if (len == 0)
        drop_source(conn);
    if (!conn->version_1_1)
        return write_some(conn, piece + CHUNK_HEAD, len);
    if (len == 0)
        return write_some(conn, LAST_CHUNK, strlen(LAST_CHUNK));
    put_chunk_frame(piece, len);
    return write_some(conn, piece, CHUNK_HEAD + len + CHUNK_TAIL);
}

/* Sends until the socket is full or all is sent. */
static void flush(struct conn *conn)
{
    set_deadline(conn, conn->shared->timeouts.write_ms);
    for (unsigned round = 0; round < ROUNDS_A_TURN; round++) {
        if (conn->out_sent < conn->out.len) {
            size_t left = conn->out.len - conn->out_sent;
            size_t len = left < CONN_PIECE ? left : CONN_PIECE;
            if (write_some(conn, conn->out.data + conn->out_sent, len) != 0)
                return;
            conn->out_sent += len;
        } else if (conn->source.self) {
            if (send_piece(conn) != 0)
                return;
        } else {
            answer_over(conn);
            return;
        }
        if (conn->blocked) {
            set_read(conn, false); /* a client that does not read need not be heard */
            return;
        }
    }
    conn->io->want_writable(conn->socket);
}

void conn_writable(struct conn *conn)
{
    conn->blocked = false;
    if (conn->state == ANSWERING && !conn->doomed)
        flush(conn);
}

/* The answer's head. length: -1 when it is not known, 0 for 204. extra: whole header lines, or "".
 */
static void put_head(struct conn *conn, int64_t length, const char *extra)
{
    struct buf *out = &conn->out;
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", conn->status, reason(conn->status),
               date(conn->shared));
    if (conn->status != 204)
        buf_append_str(out, "Content-Type: application/json\r\n");
    if (conn->status != 204 && length >= 0)
        buf_printf(out, "Content-Length: %" PRId64 "\r\n", length);
    else if (length < 0 && conn->version_1_1)
        buf_append_str(out, "Transfer-Encoding: chunked\r\n");
    buf_printf(out,
               "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
               "X-Request-Id: %s\r\n%sConnection: %s\r\n\r\n",
               conn->exchange.id, extra, conn->keep_alive ? "keep-alive" : "close");
}

/* From here the exchange is no handler's any more. */
static void begin_answer(struct conn *conn, int status)
{
    conn->exchange.gone = NULL;
    conn->status = status;
    conn->state = ANSWERING;
    if (!conn->request_over)
        conn->keep_alive = false;
}

static void send_json(struct conn *conn, int status, struct buf *take_json, const char *extra)
{
    begin_answer(conn, status);
    put_head(conn, (int64_t)take_json->len, extra);
    if (!conn->head_only && take_json->len > 0)
        buf_append(&conn->out, take_json->data, take_json->len);
    buf_finish(take_json);
    flush(conn);
}

void exchange_answer(struct exchange *exchange, int status, struct buf *take_json)
{
    send_json((struct conn *)exchange, status, take_json, "");
}

static void send_failure(struct conn *conn, const struct failure *failure, const char *allow)
{
    struct buf body;
    buf_init(&body, 4096);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    json_put_text(&json, "name", err_name(failure->err.code));
    json_put_text(&json, "message", failure->err.msg);
    if (failure->runner[0]) {
        json_put_text(&json, "runner", failure->runner);
        memcpy(conn->runner, failure->runner, sizeof(conn->runner));
    }
    json_put_ms(&json, "duration", exchange_ms(&conn->exchange));
    json_put_text(&json, "requestId", conn->exchange.id);
    json_close(&json, '}');
    char extra[ROUTES_ALLOW_MAX + 96] = "";
    if (failure->retry_after_ms > 0)
        snprintf(extra, sizeof(extra), "Retry-After: %" PRId64 "\r\n",
                 (failure->retry_after_ms + 999) / 1000);
    else if (allow)
        snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
    else if (failure->err.code == ERR_UNAUTHORIZED)
        snprintf(extra, sizeof(extra), "WWW-Authenticate: Bearer\r\n");
    if (err_http_status(failure->err.code) == 500)
        log_error("request failed", LOG_S("id", conn->exchange.id), LOG_ERR(&failure->err));
    send_json(conn, err_http_status(failure->err.code), &body, extra);
}

void exchange_fail_with(struct exchange *exchange, const struct failure *failure)
{
    send_failure((struct conn *)exchange, failure, NULL);
}

void exchange_fail(struct exchange *exchange, const struct err *err)
{
    struct failure failure = {.err = *err};
    exchange_fail_with(exchange, &failure);
}

/* Fills the shared piece; *end when that was all. */
static size_t first_piece(struct conn *conn, bool *end)
{
    const struct answer_source *source = &conn->source;
    char *piece = conn->shared->piece + CHUNK_HEAD;
    size_t room = CONN_PIECE - CHUNK_HEAD - CHUNK_TAIL, filled = 0, len = 1;
    while (len > 0 && room - filled >= EXCHANGE_PIECE_LEAST) {
        len = source->read(source->self, piece + filled, room - filled);
        filled += len;
    }
    *end = len == 0;
    return filled;
}

/* A text that fits one piece goes out with its length, in one write; a longer one as it is made. */
void exchange_stream(struct exchange *exchange, int status, const char *runner,
                     const struct answer_source *take_source)
{
    struct conn *conn = (struct conn *)exchange;
    bool end;
    begin_answer(conn, status);
    snprintf(conn->runner, sizeof(conn->runner), "%s", runner);
    conn->source = *take_source;
    size_t len = first_piece(conn, &end);
    char *piece = conn->shared->piece;
    if (!end && !conn->version_1_1)
        conn->keep_alive = false;
    put_head(conn, end ? (int64_t)len : -1, "");
    if (end || conn->head_only)
        drop_source(conn);
    if (conn->head_only) {
        flush(conn);
        return;
    }
    put_chunk_frame(piece, len);
    if (end || !conn->version_1_1)
        buf_append(&conn->out, piece + CHUNK_HEAD, len);
    else
        buf_append(&conn->out, piece, CHUNK_HEAD + len + CHUNK_TAIL);
    flush(conn);
}

void exchange_on_gone(struct exchange *exchange,
                      void (*gone)(struct exchange *exchange, void *data), void *data)
{
    exchange->gone = gone;
    exchange->gone_data = data;
}

double exchange_ms(const struct exchange *exchange)
{
    return (double)(clock_now(&clock_system) - exchange->received) / US_PER_MS;
}

bool exchange_query(const struct exchange *exchange, const char *name, char *text, size_t room,
                    bool *valid)
{
    struct http_slice query = {exchange->query, strlen(exchange->query)};
    return http_query_get(query, name, text, room, valid);
}

/* --- reading --- */

static void new_exchange(struct conn *conn)
{
    conn->exchange = (struct exchange){.app = &conn->shared->app, .method = HTTP_OTHER};
    conn->exchange.received = clock_now(&clock_system);
    conn->runner[0] = '\0';
    conn->version_1_1 = conn->keep_alive = conn->head_only = conn->request_over = conn->head_begun =
        false;
    conn->route = NULL;
    conn->shared->busy++;
    conn->state = BUSY;
    id_random_hex(conn->exchange.id, EXCHANGE_ID_LEN);
}

static void refuse(struct conn *conn, const struct err *err)
{
    exchange_fail(&conn->exchange, err);
}

static void cut_copy(char *to, size_t room, struct http_slice slice)
{
    size_t len = slice.len < room - 1 ? slice.len : room - 1;
    if (len > 0)
        memcpy(to, slice.text, len);
    to[len] = '\0';
}

/* curl -d names its JSON a form; what is plainly something else is refused. */
static bool type_acceptable(struct http_slice type)
{
    static const char *const accepted[] = {"json", "+json", "x-www-form-urlencoded", "plain"};
    if (!type.text)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        if (memmem(type.text, type.len, accepted[i], strlen(accepted[i])))
            return true;
    return type.len == 0;
}

static int check_body(struct conn *conn, const struct http_head *head, struct err *err)
{
    int64_t most = conn->shared->app.config->http_body_max;
    if (head->content_length > (uint64_t)most)
        return err_set(err, ERR_BODY_TOO_LARGE,
                       "the body has %" PRIu64 " bytes, at most %" PRId64 " are allowed",
                       head->content_length, most);
    if ((head->chunked || head->content_length > 0) && !type_acceptable(head->content_type))
        return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                       "the body must be JSON (Content-Type: application/json)");
    return 0;
}

static void begin_body(struct conn *conn, const struct http_head *head)
{
    conn->chunked = head->chunked;
    conn->chunks = (struct chunked){0};
    conn->body_left = head->content_length;
    conn->body_seen = 0;
    buf_finish(&conn->body);
    buf_init(&conn->body, (size_t)conn->shared->app.config->http_body_max);
    conn->request_over = !head->chunked && head->content_length == 0;
}

static void dispatch(struct conn *conn)
{
    conn->exchange.body = conn->body.data ? conn->body.data : "";
    conn->exchange.body_len = conn->body.len;
    /* The handler may answer, and the next request's body must not disturb this one's. */
    struct buf body = conn->body;
    conn->body = (struct buf){0};
    conn->route->handle(&conn->exchange);
    buf_finish(&body);
}

static void answer_options(struct conn *conn, const char *allow)
{
    char extra[ROUTES_ALLOW_MAX + 16];
    struct buf nothing = {0};
    snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
    send_json(conn, 204, &nothing, extra);
}

/* All that can be said of a request before its body is read. */
static void on_head(struct conn *conn, const struct http_head *head)
{
    struct exchange *exchange = &conn->exchange;
    struct failure failure = {0};
    char allow[ROUTES_ALLOW_MAX];
    exchange->method = head->method;
    conn->keep_alive = head->keep_alive;
    conn->version_1_1 = head->version_1_1;
    conn->head_only = head->method == HTTP_HEAD;
    cut_copy(exchange->path, sizeof(exchange->path), head->path);
    cut_copy(exchange->query, sizeof(exchange->query), head->query);
    begin_body(conn, head);
    conn->route = routes_find(head->method, head->path, exchange, allow, &failure.err);
    if (!conn->route && allow[0] && head->method == HTTP_OPTIONS) {
        answer_options(conn, allow);
    } else if (!conn->route) {
        send_failure(conn, &failure, allow[0] ? allow : NULL);
    } else if (auth_check(head, conn->route, exchange, &failure.err) != 0 ||
               check_body(conn, head, &failure.err) != 0) {
        refuse(conn, &failure.err);
    } else if (conn->request_over) {
        dispatch(conn);
    } else {
        conn->state = BODY;
        conn->shared->busy--; /* until the body is there */
        set_deadline(conn, conn->shared->timeouts.body_ms);
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (head->expect_continue)
            write_some(conn, go_on, sizeof(go_on) - 1);
    }
}

static size_t consume_head(struct conn *conn, const char *data, size_t len)
{
    struct http_head head;
    struct err err;
    size_t used;
    switch (http_head_parse(data, len, &head, &used, &err)) {
    case HTTP_HEAD_MORE:
        return 0;
    case HTTP_HEAD_BAD:
        new_exchange(conn);
        conn->deadline = 0;
        refuse(conn, &err);
        return len;
    default:
        break;
    }
    new_exchange(conn);
    conn->deadline = 0;
    on_head(conn, &head);
    return used;
}

static void body_progress(struct conn *conn, size_t len)
{
    uint64_t before = conn->body_seen >> 16;
    conn->body_seen += len;
    conn->deadline += (mono_us)((conn->body_seen >> 16) - before) * US_PER_SEC;
}

static void refuse_body(struct conn *conn, const struct err *err)
{
    conn->shared->busy++;
    conn->state = BUSY;
    conn->deadline = 0;
    refuse(conn, err);
}

static void body_whole(struct conn *conn)
{
    conn->shared->busy++;
    conn->state = BUSY;
    conn->deadline = 0;
    conn->request_over = true;
    dispatch(conn);
}

static bool take_body(struct conn *conn, const char *data, size_t len)
{
    body_progress(conn, len);
    if (buf_append(&conn->body, data, len))
        return true;
    struct err err;
    err_set(&err, ERR_BODY_TOO_LARGE, "the body is longer than %zu bytes", conn->body.cap);
    refuse_body(conn, &err);
    return false;
}

static size_t consume_chunked(struct conn *conn, const char *data, size_t len)
{
    const char *body;
    size_t body_len;
    struct err err;
    long used = chunked_next(&conn->chunks, data, len, &body, &body_len, &err);
    if (used < 0) {
        refuse_body(conn, &err);
        return len;
    }
    if (body_len > 0 && !take_body(conn, body, body_len))
        return (size_t)used;
    if (conn->chunks.state == CHUNKED_DONE)
        body_whole(conn);
    return (size_t)used;
}

static size_t consume_plain(struct conn *conn, const char *data, size_t len)
{
    size_t piece = len < conn->body_left ? len : (size_t)conn->body_left;
    if (!take_body(conn, data, piece))
        return piece;
    conn->body_left -= piece;
    if (conn->body_left == 0)
        body_whole(conn);
    return piece;
}

/* Returns how many bytes were used; 0 when the state has no use for these (yet). */
static size_t consume(struct conn *conn, const char *data, size_t len)
{
    switch (conn->state) {
    case HEAD:
        return consume_head(conn, data, len);
    case BODY:
        return conn->chunked ? consume_chunked(conn, data, len) : consume_plain(conn, data, len);
    case DRAINING:
        conn->drained += len;
        if (conn->drained > DRAIN_MAX)
            doom(conn);
        return len;
    default:
        return 0;
    }
}

static size_t consume_all(struct conn *conn, const char *data, size_t len)
{
    size_t at = 0;
    while (at < len && !conn->doomed) {
        size_t used = consume(conn, data + at, len - at);
        if (used == 0)
            break;
        at += used;
    }
    return at;
}

static void feed(struct conn *conn, const char *data, size_t len)
{
    conn->feeding = true;
    if (conn->in.len == 0) {
        size_t used = consume_all(conn, data, len);
        if (used < len)
            buf_append(&conn->in, data + used, len - used);
    } else {
        if (len > 0)
            buf_append(&conn->in, data, len);
        size_t used = consume_all(conn, conn->in.data, conn->in.len);
        buf_drop(&conn->in, used);
    }
    conn->feeding = false;
    if (conn->doomed)
        return;
    if (conn->in.len == 0 && conn->in.room > 0)
        buf_finish(&conn->in);
    if (conn->state == HEAD && conn->in.len > 0 && !conn->head_begun)
        set_deadline(conn, conn->shared->timeouts.head_ms);
    conn->head_begun = conn->state == HEAD && conn->in.len > 0;
    if (conn->in.len > IN_MAX)
        set_read(conn, false);
}

void conn_readable(struct conn *conn, const char *data, size_t len)
{
    if (!conn->doomed)
        feed(conn, data, len);
}

void conn_check_time(struct conn *conn, mono_us now)
{
    if (conn->deadline == 0 || now < conn->deadline || conn->doomed)
        return;
    log_debug("connection timed out", LOG_D("state", conn->state));
    doom(conn);
}
