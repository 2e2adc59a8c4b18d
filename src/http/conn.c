#include "conn.h"

#include "../common/ids.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "auth.h"
#include "conn_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct http_timeouts http_timeouts_default = {
    .head_ms = 10000,
    .idle_ms = 75000,
    .body_ms = 30000,
    .write_ms = 30000,
};

void conn_set_deadline(struct conn *conn, int64_t ms)
{
    conn->deadline = ms ? clock_now(&clock_system) + ms * US_PER_MS : 0;
}

void conn_doom(struct conn *conn)
{
    if (conn->doomed)
        return;
    conn->doomed = true;
    conn->io->close(conn->socket);
}

void conn_set_read(struct conn *conn, bool on)
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
    conn_set_deadline(conn, shared->timeouts.idle_ms);
    return conn;
}

void conn_closed(struct conn *conn)
{
    conn->doomed = true;
    if (conn->state == CONN_BUSY || conn->state == CONN_ANSWERING || conn->state == CONN_UPGRADED)
        conn->shared->busy--;
    if (conn->state == CONN_UPGRADED) {
        conn->upgrade.gone(conn->upgrade.self);
        conn_log_answer(conn);
    }
    if (conn->state == CONN_BUSY && conn->exchange.gone)
        conn->exchange.gone(&conn->exchange, conn->exchange.gone_data);
    conn_drop_source(conn);
    buf_finish(&conn->in);
    buf_finish(&conn->body);
    buf_finish(&conn->out);
    free(conn);
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

static void new_exchange(struct conn *conn)
{
    conn->exchange = (struct exchange){.app = &conn->shared->app, .method = HTTP_OTHER};
    conn->exchange.received = clock_now(&clock_system);
    conn->runner[0] = '\0';
    conn->version_1_1 = conn->keep_alive = conn->head_only = conn->request_over = conn->head_begun =
        false;
    conn->route = NULL;
    conn->shared->busy++;
    conn->state = CONN_BUSY;
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
    static const char *const accepted[] = {"json", "x-www-form-urlencoded", "text/plain"};
    char text[128];
    if (type.len == 0)
        return true;
    cut_copy(text, sizeof(text), type);
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        if (strcasestr(text, accepted[i]))
            return true;
    return false;
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

/* A cut one could mean something else. */
static int check_query(const struct http_head *head, struct err *err)
{
    if (head->query.len <= EXCHANGE_QUERY_MAX)
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "the query has %zu bytes, at most %d are allowed",
                   head->query.len, EXCHANGE_QUERY_MAX);
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
    conn->exchange.head = NULL;
    buf_finish(&body);
}

static void answer_options(struct conn *conn, const char *allow)
{
    char extra[ROUTES_ALLOW_MAX + 16];
    struct buf nothing = {0};
    snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
    conn_send_json(conn, 204, &nothing, extra);
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
    exchange->event_stream = head->accept_events;
    cut_copy(exchange->path, sizeof(exchange->path), head->path);
    cut_copy(exchange->query, sizeof(exchange->query), head->query);
    begin_body(conn, head);
    conn->route = routes_find(head->method, head->path, exchange, allow, &failure.err);
    if (!conn->route && allow[0] && head->method == HTTP_OPTIONS) {
        answer_options(conn, allow);
    } else if (!conn->route) {
        conn_send_failure(conn, &failure, allow[0] ? allow : NULL);
    } else if (auth_check(head, conn->route, exchange, &failure.err) != 0 ||
               check_query(head, &failure.err) != 0 || check_body(conn, head, &failure.err) != 0) {
        refuse(conn, &failure.err);
    } else if (conn->request_over) {
        exchange->head = head;
        dispatch(conn);
    } else {
        conn->state = CONN_BODY;
        conn->shared->busy--; /* until the body is there */
        conn_set_deadline(conn, conn->shared->timeouts.body_ms);
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (head->expect_continue)
            conn_write(conn, go_on, sizeof(go_on) - 1);
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
    conn->state = CONN_BUSY;
    conn->deadline = 0;
    refuse(conn, err);
}

static void body_whole(struct conn *conn)
{
    conn->shared->busy++;
    conn->state = CONN_BUSY;
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
    case CONN_HEAD:
        return consume_head(conn, data, len);
    case CONN_BODY:
        return conn->chunked ? consume_chunked(conn, data, len) : consume_plain(conn, data, len);
    case CONN_DRAINING:
        conn->drained += len;
        if (conn->drained > CONN_DRAIN_MAX)
            conn_doom(conn);
        return len;
    case CONN_UPGRADED:
        return conn->upgrade.consume(conn->upgrade.self, data, len);
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

void conn_feed(struct conn *conn, const char *data, size_t len)
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
    if (conn->state == CONN_HEAD && conn->in.len > 0 && !conn->head_begun)
        conn_set_deadline(conn, conn->shared->timeouts.head_ms);
    conn->head_begun = conn->state == CONN_HEAD && conn->in.len > 0;
    if (conn->in.len > CONN_IN_MAX)
        conn_set_read(conn, false);
    else if (conn->state == CONN_UPGRADED)
        conn_set_read(conn, true);
}

void conn_readable(struct conn *conn, const char *data, size_t len)
{
    if (!conn->doomed)
        conn_feed(conn, data, len);
}

void conn_check_time(struct conn *conn, mono_us now)
{
    bool waits = conn->state == CONN_BUSY || conn->state == CONN_UPGRADED;
    if (waits && conn->read_off && !conn->doomed && conn->io->peer_left(conn->socket)) {
        conn_doom(conn);
        return;
    }
    if (conn->deadline == 0 || now < conn->deadline || conn->doomed)
        return;
    log_debug("connection timed out", LOG_D("state", conn->state));
    conn_doom(conn);
}
