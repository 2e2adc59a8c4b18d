#include "conn_private.h"

#include "../common/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SMALL_ANSWER CONN_PIECE
#define ROUNDS_A_TURN 16

void conn_drop_source(struct conn *conn)
{
    if (conn->source.destroy)
        conn->source.destroy(conn->source.self);
    conn->source = (struct answer_source){0};
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 101:
        return "Switching Protocols";
    case 201:
        return "Created";
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
    case 426:
        return "Upgrade Required";
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

void conn_log_answer(const struct conn *conn)
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
    conn->state = CONN_HEAD; /* from here it is not busy, however it ends */
    conn_log_answer(conn);
    conn_drop_source(conn);
    buf_clear(&conn->out);
    conn->out_sent = 0;
    if (conn->out.room > SMALL_ANSWER)
        buf_finish(&conn->out);
    if (!conn->keep_alive && conn->request_over) {
        conn_doom(conn);
        return;
    }
    if (!conn->keep_alive) {
        conn->state = CONN_DRAINING;
        conn->drained = 0;
        conn_set_deadline(conn, CONN_DRAIN_MS);
        conn->io->shut(conn->socket);
    } else {
        conn_set_deadline(conn, conn->shared->timeouts.idle_ms);
    }
    conn_set_read(conn, true);
    if (!conn->feeding)
        conn_feed(conn, NULL, 0);
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

int conn_write(struct conn *conn, const char *data, size_t len)
{
    bool clear = true;
    if (len > 0 && conn->io->write(conn->socket, data, len, &clear) != 0) {
        conn_doom(conn);
        return -1;
    }
    conn->blocked = !clear;
    return 0;
}

/* The next piece of a streamed answer, as a chunk; HTTP/1.0 knows none, its answers end with the
 * connection. *later: the source has none at the moment.
 */
static int send_piece(struct conn *conn, bool *later)
{
    char *piece = conn->shared->piece;
    size_t room = CONN_PIECE - CHUNK_HEAD - CHUNK_TAIL;
    size_t len = conn->source.read(conn->source.self, piece + CHUNK_HEAD, room);
    *later = len == ANSWER_LATER;
    if (*later)
        return 0;
    if (len == 0)
        conn_drop_source(conn);
    if (!conn->version_1_1)
        return conn_write(conn, piece + CHUNK_HEAD, len);
    if (len == 0)
        return conn_write(conn, LAST_CHUNK, strlen(LAST_CHUNK));
    put_chunk_frame(piece, len);
    return conn_write(conn, piece, CHUNK_HEAD + len + CHUNK_TAIL);
}

static bool is_live(const struct conn *conn)
{
    return conn->source.live && conn->source.live(conn->source.self);
}

/* Sends until the socket is full, all is sent, or the source has no more at the moment. */
static void flush(struct conn *conn)
{
    conn_set_deadline(conn, is_live(conn) ? 0 : conn->shared->timeouts.write_ms);
    bool later = false;
    for (unsigned round = 0; round < ROUNDS_A_TURN; round++) {
        if (conn->out_sent < conn->out.len) {
            size_t left = conn->out.len - conn->out_sent;
            size_t len = left < CONN_PIECE ? left : CONN_PIECE;
            if (conn_write(conn, conn->out.data + conn->out_sent, len) != 0)
                return;
            conn->out_sent += len;
        } else if (conn->source.self) {
            if (send_piece(conn, &later) != 0)
                return;
            if (later) {
                conn_set_read(conn, conn->in.len <= CONN_IN_MAX);
                return;
            }
        } else {
            answer_over(conn);
            return;
        }
        if (conn->blocked) {
            conn_set_read(conn, false); /* a client that does not read need not be heard */
            return;
        }
    }
    conn->io->want_writable(conn->socket);
}

void conn_writable(struct conn *conn)
{
    conn->blocked = false;
    if (conn->state == CONN_UPGRADED && !conn->doomed)
        conn->upgrade.writable(conn->upgrade.self);
    if (conn->state == CONN_ANSWERING && !conn->doomed)
        flush(conn);
}

void exchange_wake(struct exchange *exchange)
{
    struct conn *conn = (struct conn *)exchange;
    if (!conn->blocked && !conn->doomed)
        flush(conn);
}

/* The answer's head. length: -1 when it is not known, 0 for 204. extra: whole header lines, or "".
 */
static void put_head(struct conn *conn, int64_t length, const char *extra)
{
    struct buf *out = &conn->out;
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", conn->status, reason(conn->status),
               date(conn->shared));
    const char *type = conn->source.type;
    if (conn->status != 204)
        buf_printf(out, "Content-Type: %s\r\n", type ? type : "application/json");
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
    conn->state = CONN_ANSWERING;
    if (!conn->request_over)
        conn->keep_alive = false;
}

void conn_upgrade(struct conn *conn, const struct upgrade *upgrade, const char *headers)
{
    conn->exchange.gone = NULL;
    conn->status = 101;
    conn->state = CONN_UPGRADED;
    conn->upgrade = *upgrade;
    buf_printf(&conn->out, "HTTP/1.1 101 %s\r\n%sX-Request-Id: %s\r\n\r\n", reason(101), headers,
               conn->exchange.id);
    conn_write(conn, conn->out.data, conn->out.len);
    buf_finish(&conn->out);
}

void conn_send_json(struct conn *conn, int status, struct buf *take_json, const char *extra)
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
    conn_send_json((struct conn *)exchange, status, take_json, "");
}

void exchange_failure_json(const struct exchange *exchange, const struct failure *failure,
                           struct buf *text)
{
    struct json_writer json = {.buf = text};
    json_open(&json, '{');
    json_put_text(&json, "name", err_name(failure->err.code));
    json_put_text(&json, "message", failure->err.msg);
    if (failure->runner[0])
        json_put_text(&json, "runner", failure->runner);
    json_put_ms(&json, "duration", exchange_ms(exchange));
    json_put_text(&json, "requestId", exchange->id);
    json_close(&json, '}');
    if (err_http_status(failure->err.code) == 500)
        log_error("request failed", LOG_S("id", exchange->id), LOG_ERR(&failure->err));
}

void conn_send_failure(struct conn *conn, const struct failure *failure, const char *allow)
{
    struct buf body;
    buf_init(&body, 4096);
    exchange_failure_json(&conn->exchange, failure, &body);
    if (failure->runner[0])
        memcpy(conn->runner, failure->runner, sizeof(conn->runner));
    char extra[ROUTES_ALLOW_MAX + 96] = "";
    if (failure->retry_after_ms > 0)
        snprintf(extra, sizeof(extra), "Retry-After: %" PRId64 "\r\n",
                 (failure->retry_after_ms + 999) / 1000);
    else if (allow)
        snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
    else if (failure->err.code == ERR_UPGRADE_REQUIRED)
        snprintf(extra, sizeof(extra), "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    else if (failure->err.code == ERR_UNAUTHORIZED)
        snprintf(extra, sizeof(extra), "WWW-Authenticate: Bearer\r\n");
    conn_send_json(conn, err_http_status(failure->err.code), &body, extra);
}

void exchange_fail_with(struct exchange *exchange, const struct failure *failure)
{
    conn_send_failure((struct conn *)exchange, failure, NULL);
}

void exchange_fail(struct exchange *exchange, const struct err *err)
{
    struct failure failure = {
        .err = *err,
        .retry_after_ms = err->code == ERR_NOT_AVAILABLE ? 1000 : 0,
    };
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
        if (len == ANSWER_LATER)
            break;
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
    put_head(conn, end ? (int64_t)len : -1, conn->source.live ? "X-Accel-Buffering: no\r\n" : "");
    if (end || conn->head_only)
        conn_drop_source(conn);
    if (conn->head_only || (len == 0 && !end)) { /* an empty chunk would be the last */
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
