#include "ws.h"

#include "../common/base64.h"
#include "../common/frame.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/timer.h"
#include "conn_private.h"

#include <libwebsockets.h>
#include <string.h>
#include <strings.h>

/* How it works. The connection hands over every byte that comes and frees us when it is gone. It is
 * OPEN until either side says that it closes. CLOSING: we have, and wait for the client's word.
 * OVER: nothing that comes matters; the connection ends when the client closes it, or soon.
 *
 * `closed` tells the user when the client is of no use any more: it has closed, it has gone, or it
 * sent what is no WebSocket. After that there is no user.
 */
enum ws_state { WS_OPEN, WS_CLOSING, WS_OVER };

struct ws {
    struct conn *conn;
    const struct ws_ops *ops; /* NULL: closed was called */
    void *data;
    enum ws_state state;
    bool held;
    struct ws_reader reader;
    struct buf text; /* of the message that is coming */
    char pong[WS_CONTROL_MAX];
    size_t pong_len;
    bool pong_due; /* the socket was full; of several pings the last counts */
    unsigned silent_beats;
    uv_timer_t *beat;
};

#define CLOSE_MS 5000
#define SILENT_BEATS_MAX 3

static void tell_closed(struct ws *ws)
{
    const struct ws_ops *ops = ws->ops;
    ws->ops = NULL;
    if (ops)
        ops->closed(ws->data);
}

/* ---- to the client ---- */

static void send_frame(struct ws *ws, enum ws_opcode opcode, bool fin, const void *head,
                       size_t head_len, const void *payload, size_t len)
{
    static char frame[WS_HEAD_MAX + 1 + FRAME_DATA_MAX]; /* one loop, one thread */
    if (ws->conn->doomed)
        return;
    if (head_len + len > sizeof(frame) - WS_HEAD_MAX)
        abort();
    size_t at = ws_head_put((unsigned char *)frame, opcode, fin, head_len + len, NULL);
    if (head_len > 0)
        memcpy(frame + at, head, head_len);
    if (len > 0)
        memcpy(frame + at + head_len, payload, len);
    conn_write(ws->conn, frame, at + head_len + len);
}

void ws_send(struct ws *ws, enum ws_opcode opcode, bool fin, const void *head, size_t head_len,
             const void *payload, size_t len)
{
    if (ws->state == WS_OPEN)
        send_frame(ws, opcode, fin, head, head_len, payload, len);
}

bool ws_blocked(const struct ws *ws)
{
    return ws->conn->blocked;
}

static void send_close(struct ws *ws, int code, const char *reason)
{
    unsigned char bytes[2] = {(unsigned char)(code >> 8), (unsigned char)code};
    size_t len = strlen(reason);
    if (len > WS_CONTROL_MAX - sizeof(bytes))
        len = 0;
    send_frame(ws, WS_CLOSE, true, bytes, code == WS_CODE_NONE ? 0 : sizeof(bytes), reason, len);
}

/* Nothing more is heard or said. */
static void set_over(struct ws *ws)
{
    ws->state = WS_OVER;
    conn_set_deadline(ws->conn, CONN_DRAIN_MS);
    if (!ws->conn->blocked && !ws->conn->doomed)
        ws->conn->io->shut(ws->conn->socket);
    tell_closed(ws);
}

static void fail(struct ws *ws, enum ws_code code, const char *why)
{
    if (ws->state == WS_OPEN)
        send_close(ws, code, why);
    set_over(ws);
}

static void on_beat(uv_timer_t *timer)
{
    struct ws *ws = timer->data;
    if (ws->state != WS_OPEN)
        return;
    /* One that is held cannot be heard; but if it has gone, its kernel answers a ping with a reset,
     * while its end waits behind what it has sent.
     */
    if (!ws->held && ++ws->silent_beats > SILENT_BEATS_MAX)
        conn_doom(ws->conn);
    else if (!ws->conn->blocked)
        send_frame(ws, WS_PING, true, NULL, 0, NULL, 0);
}

/* ---- from the client ---- */

static void on_text(struct ws *ws, const struct ws_piece *piece)
{
    if (!buf_append(&ws->text, piece->data, piece->len)) {
        fail(ws, WS_CODE_TOO_BIG, "the message is too long");
        return;
    }
    if (!piece->last)
        return;
    struct buf text = ws->text;
    buf_init(&ws->text, text.cap);
    if (text.len > 0 && str_utf8_valid(text.data, text.len) < text.len)
        fail(ws, WS_CODE_NOT_UTF8, "the text is not UTF-8");
    else
        ws->ops->text(text.data ? text.data : "", text.len, ws->data);
    buf_finish(&text);
}

static void send_pong(struct ws *ws)
{
    ws->pong_due = false;
    send_frame(ws, WS_PONG, true, NULL, 0, ws->pong, ws->pong_len);
}

static void on_ping(struct ws *ws, const struct ws_piece *piece)
{
    memcpy(ws->pong, piece->data, piece->len);
    ws->pong_len = piece->len;
    ws->pong_due = true;
    if (!ws->conn->blocked && ws->state == WS_OPEN)
        send_pong(ws);
}

static void on_close(struct ws *ws, const struct ws_piece *piece)
{
    bool valid = str_utf8_valid(piece->data, piece->len) == piece->len;
    if (ws->state == WS_OPEN)
        send_close(ws, valid ? piece->code : WS_CODE_NOT_UTF8, "");
    set_over(ws);
}

static void on_piece(struct ws *ws, const struct ws_piece *piece)
{
    switch (piece->opcode) {
    case WS_TEXT:
        if (ws->state == WS_OPEN)
            on_text(ws, piece);
        return;
    case WS_BINARY:
        if (ws->state == WS_OPEN)
            ws->ops->binary(piece->data, piece->len, piece->first, ws->data);
        return;
    case WS_PING:
        on_ping(ws, piece);
        return;
    case WS_CLOSE:
        on_close(ws, piece);
        return;
    default:
        return;
    }
}

static size_t consume(void *self, const char *data, size_t len)
{
    static char scratch[CONN_PIECE]; /* one loop, one thread */
    struct ws *ws = self;
    struct ws_piece piece;
    const char *why;
    ws->silent_beats = 0;
    if (ws->state == WS_OVER)
        return len;
    if (ws->held)
        return 0;
    long used = ws_read(&ws->reader, data, len, scratch, sizeof(scratch), &piece, &why);
    if (used < 0) {
        fail(ws, WS_CODE_PROTOCOL, why);
        return len;
    }
    on_piece(ws, &piece);
    return (size_t)used;
}

static void on_resume(uv_timer_t *timer)
{
    struct ws *ws = timer->data;
    uint64_t beat_ms = (uint64_t)ws->conn->shared->app.config->http_heartbeat;
    uv_timer_start(timer, on_beat, beat_ms, beat_ms);
    if (!ws->held && !ws->conn->doomed)
        conn_feed(ws->conn, NULL, 0);
}

void ws_hold(struct ws *ws, bool hold)
{
    if (ws->held == hold)
        return;
    ws->held = hold;
    if (!hold) /* what was kept is looked at from the loop, for no user is called inside his call */
        uv_timer_start(ws->beat, on_resume, 0, 0);
}

void ws_close(struct ws *ws, enum ws_code code, const char *reason)
{
    if (ws->state != WS_OPEN)
        return;
    ws->state = WS_CLOSING;
    ws_hold(ws, false);
    send_close(ws, code, reason);
    conn_set_deadline(ws->conn, CLOSE_MS);
}

static void on_writable(void *self)
{
    struct ws *ws = self;
    if (ws->state == WS_OVER) {
        ws->conn->io->shut(ws->conn->socket);
        return;
    }
    if (ws->pong_due && ws->state == WS_OPEN)
        send_pong(ws);
    if (ws->ops && !ws->conn->blocked)
        ws->ops->writable(ws->data);
}

static void on_gone(void *self)
{
    struct ws *ws = self;
    tell_closed(ws);
    loop_timer_destroy(ws->beat);
    buf_finish(&ws->text);
    free(ws);
}

/* ---- the beginning ---- */

static bool is_key(struct http_slice key)
{
    unsigned char bytes[BASE64_ROOM(24)];
    size_t len, wrong;
    return key.len == 24 && base64_decode(key.text, key.len, bytes, &len, &wrong) == 0 && len == 16;
}

int ws_check(const struct exchange *exchange, struct err *err)
{
    const struct http_head *head = exchange->head;
    if (!head || !head->upgrade_ws)
        return err_set(err, ERR_UPGRADE_REQUIRED,
                       "this is a WebSocket: Connection: Upgrade, Upgrade: websocket");
    if (head->ws_version.len != 2 || memcmp(head->ws_version.text, "13", 2) != 0)
        return err_set(err, ERR_UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
    if (!is_key(head->ws_key))
        return err_set(err, ERR_BAD_REQUEST, "Sec-WebSocket-Key: must be base64 of 16 bytes");
    return 0;
}

static void put_accept(struct buf *headers, struct http_slice key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[24 + sizeof(guid)], digest[20];
    char accept[BASE64_LEN(sizeof(digest)) + 1] = "";
    memcpy(text, key.text, 24);
    memcpy(text + 24, guid, sizeof(guid) - 1);
    lws_SHA1(text, sizeof(text) - 1, digest);
    base64_encode(digest, sizeof(digest), accept);
    buf_printf(headers, "Sec-WebSocket-Accept: %s\r\n", accept);
}

static bool is_offered(const struct http_head *head, const char *protocol)
{
    struct http_slice rest = head->ws_protocols, item;
    while (http_list_next(&rest, &item))
        if (item.len == strlen(protocol) && memcmp(item.text, protocol, item.len) == 0)
            return true;
    return false;
}

struct ws *ws_accept(struct exchange *exchange, const char *protocol, size_t text_max,
                     const struct ws_ops *ops, void *data)
{
    struct ws *ws = mem_new(struct ws);
    const struct http_head *head = exchange->head;
    const struct upgrade upgrade = {
        .self = ws,
        .consume = consume,
        .writable = on_writable,
        .gone = on_gone,
    };
    ws->conn = (struct conn *)exchange;
    ws->ops = ops;
    ws->data = data;
    ws->reader.server = true;
    buf_init(&ws->text, text_max);
    ws->beat = loop_timer_create(exchange->app->loop, ws);
    uint64_t beat_ms = (uint64_t)exchange->app->config->http_heartbeat;
    uv_timer_start(ws->beat, on_beat, beat_ms, beat_ms);
    struct buf headers;
    buf_init(&headers, 1024);
    buf_append_str(&headers, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    put_accept(&headers, head->ws_key);
    if (is_offered(head, protocol))
        buf_printf(&headers, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    conn_upgrade(ws->conn, &upgrade, headers.data);
    buf_finish(&headers);
    return ws;
}

void ws_set_deadline(struct ws *ws, int64_t ms)
{
    if (ws->state == WS_OPEN)
        conn_set_deadline(ws->conn, ms);
}

void ws_set_text_max(struct ws *ws, size_t text_max)
{
    ws->text.cap = text_max;
}
