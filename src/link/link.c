#include "link.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../common/version.h"
#include "../loop/timer.h"

#include <stdio.h>
#include <string.h>

/* How it works. A connection says hello as soon as it is made and is `greeted` when the worker's
 * hello has come. Some are made ahead of demand: they wait in `spares` without an owner, and
 * link_open hands the oldest out, so that connect, accept and both hellos are off a run's path. One
 * that ends while it waits is dropped; it is replaced by the next refill, never at once, so that a
 * worker that goes away is not hammered. Refills happen in the loop's next turn after a link_open.
 */
struct link_conn {
    struct link *link;
    struct chan *chan;
    const struct link_conn_ops *ops; /* NULL while it is a spare */
    void *data;
    bool greeted, ended;
    mono_us started;
    struct link_conn *prev, *next; /* in link->spares */
};

struct link {
    uv_loop_t *loop;
    const struct link_transport *transport;
    void *self;
    struct link_status status;
    struct link_conn *spares, *spares_last; /* oldest first */
    unsigned spare_count;
    uv_timer_t *refill;
    char hello[128];
};

static void set_status(struct link *link, bool up, const struct err *why)
{
    if (why)
        memcpy(link->status.last_error, why->msg, sizeof(link->status.last_error));
    if (link->status.up == up && link->status.since_ms != 0)
        return;
    link->status.up = up;
    link->status.since_ms = clock_wall_ms();
    if (up)
        log_info("worker reached", LOG_S("location", link_location(link)));
    else
        log_warn("worker out of reach", LOG_S("location", link_location(link)),
                 LOG_S("error", link->status.last_error));
}

static void spare_remove(struct link_conn *conn)
{
    struct link *link = conn->link;
    *(conn->prev ? &conn->prev->next : &link->spares) = conn->next;
    *(conn->next ? &conn->next->prev : &link->spares_last) = conn->prev;
    conn->prev = conn->next = NULL;
    link->spare_count--;
}

static void spare_add(struct link_conn *conn)
{
    struct link *link = conn->link;
    conn->prev = link->spares_last;
    *(link->spares_last ? &link->spares_last->next : &link->spares) = conn;
    link->spares_last = conn;
    link->spare_count++;
}

/* The connection is of no use any more; an owner hears of it, a spare goes. */
static void conn_failed(struct link_conn *conn, const struct err *why)
{
    if (conn->ended)
        return;
    conn->ended = true;
    if (!conn->greeted)
        set_status(conn->link, false, why);
    if (conn->ops) {
        conn->ops->on_closed(conn, why, conn->data);
        return;
    }
    spare_remove(conn);
    link_conn_destroy(conn);
}

/* One that tells no version fits when its protocol does. */
static enum link_fit fit_of(const char *program, int64_t protocol)
{
    struct version theirs, ours;
    if (protocol != PROTOCOL_VERSION)
        return protocol < PROTOCOL_VERSION ? LINK_OLDER : LINK_NEWER;
    if (!version_parse(program, &theirs) || !version_parse(CODELAND_VERSION, &ours))
        return LINK_FITS;
    int compared = version_compare(&theirs, &ours);
    return compared == 0 ? LINK_FITS : compared < 0 ? LINK_OLDER : LINK_NEWER;
}

static int refuse_version(enum link_fit fit, const char *program, int64_t protocol, struct err *err)
{
    return err_set(err, ERR_BAD_GATEWAY,
                   "the worker (%.40s, protocol %d) is %s than this manager (codeland %s, protocol "
                   "%d): %s",
                   program, (int)protocol, fit == LINK_OLDER ? "older" : "newer", CODELAND_VERSION,
                   PROTOCOL_VERSION,
                   fit == LINK_OLDER
                       ? "systemctl restart codeland-worker there when this version is installed, "
                         "codeland worker doctor NAME --install when not"
                       : "install its version here, too, and restart the manager");
}

static int check_hello(struct link *link, const struct frame *frame, struct err *err)
{
    if (frame->type == FRAME_LINK_ERROR) {
        cleanup_json json_t *refusal = json_parse_object(frame->payload, frame->len, false, err);
        const char *message = "no reason given";
        if (refusal)
            json_get_string(refusal, "message", false, &message, NULL, err);
        return err_set(err, ERR_BAD_GATEWAY, "the worker refused: %.150s", message);
    }
    if (frame->type != FRAME_LINK_HELLO)
        return err_set(err, ERR_BAD_GATEWAY, "the worker sent %s before its hello",
                       frame_name(frame->type));
    cleanup_json json_t *hello = json_parse_object(frame->payload, frame->len, false, err);
    int64_t protocol = 0;
    if (!hello || json_get_int(hello, "protocol", true, 0, INT32_MAX, &protocol, err) != 0) {
        err_context(err, "the worker's hello");
        err->code = ERR_BAD_GATEWAY;
        return -1;
    }
    const char *program = "";
    if (json_get_string(hello, "program", false, &program, NULL, err) != 0)
        return -1;
    str_format(link->status.program, sizeof(link->status.program), "%s", program);
    link->status.fit = fit_of(program, protocol);
    if (link->status.fit != LINK_FITS)
        return refuse_version(link->status.fit, program, protocol, err);
    return 0;
}

static void on_chan_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan;
    struct link_conn *conn = data;
    if (conn->ended)
        return;
    if (conn->greeted) {
        if (conn->ops) {
            conn->ops->on_frame(conn, frame, conn->data);
            return;
        }
        struct err err;
        err_set(&err, ERR_BAD_GATEWAY, "the worker sent %s unasked", frame_name(frame->type));
        conn_failed(conn, &err);
        return;
    }
    struct err err;
    if (check_hello(conn->link, frame, &err) != 0) {
        conn_failed(conn, &err);
        return;
    }
    conn->greeted = true;
    conn->link->status.latency_us = clock_now(&clock_system) - conn->started;
    set_status(conn->link, true, NULL);
}

static void on_chan_closed(struct chan *chan, const struct err *why, void *data)
{
    (void)chan;
    struct link_conn *conn = data;
    struct err err = *why;
    if (!conn->greeted && why->code == ERR_NONE)
        err_set(&err, ERR_BAD_GATEWAY, "the worker closed the connection before its hello");
    conn_failed(conn, &err);
}

static void on_chan_drain(struct chan *chan, void *data)
{
    (void)chan;
    struct link_conn *conn = data;
    if (conn->ops && conn->ops->on_drain)
        conn->ops->on_drain(conn, conn->data);
}

static const struct chan_ops conn_chan_ops = {
    .on_frame = on_chan_frame,
    .on_closed = on_chan_closed,
    .on_drain = on_chan_drain,
};

static struct link_conn *connect_new(struct link *link, struct err *err)
{
    struct link_conn *conn = mem_new(struct link_conn);
    conn->link = link;
    conn->started = clock_now(&clock_system);
    conn->chan = link->transport->connect(link->self, link->loop, &conn_chan_ops, conn, err);
    if (!conn->chan) {
        set_status(link, false, err);
        free(conn);
        return NULL;
    }
    chan_send(conn->chan, FRAME_LINK_HELLO, link->hello, strlen(link->hello));
    return conn;
}

static void on_refill(uv_timer_t *timer)
{
    struct link *link = timer->data;
    while (link->status.up && link->spare_count < LINK_SPARES) {
        struct err err;
        struct link_conn *conn = connect_new(link, &err);
        if (!conn)
            return;
        spare_add(conn);
    }
}

struct link *link_create(uv_loop_t *loop, const struct link_transport *transport, void *take_self)
{
    struct link *link = mem_new(struct link);
    link->loop = loop;
    link->transport = transport;
    link->self = take_self;
    link->refill = loop_timer_create(loop, link);
    snprintf(link->hello, sizeof(link->hello), "{\"protocol\":%d,\"program\":\"codeland %s\"}",
             PROTOCOL_VERSION, CODELAND_VERSION);
    return link;
}

void link_set_manager(struct link *link, const char *manager)
{
    snprintf(link->hello, sizeof(link->hello),
             "{\"protocol\":%d,\"program\":\"codeland %s\",\"manager\":\"%s\"}", PROTOCOL_VERSION,
             CODELAND_VERSION, manager);
}

void link_destroy(struct link *link)
{
    if (!link)
        return;
    while (link->spares) {
        struct link_conn *conn = link->spares;
        spare_remove(conn);
        link_conn_destroy(conn);
    }
    loop_timer_destroy(link->refill);
    link->transport->destroy(link->self);
    free(link);
}

struct link_conn *link_open(struct link *link, const struct link_conn_ops *ops, void *data,
                            struct err *err)
{
    struct link_conn *conn = link->spares;
    if (conn)
        spare_remove(conn);
    else
        conn = connect_new(link, err);
    if (!conn)
        return NULL;
    conn->ops = ops;
    conn->data = data;
    uv_timer_start(link->refill, on_refill, 0, 0);
    return conn;
}

void link_conn_send(struct link_conn *conn, enum frame_type type, const void *payload, size_t len)
{
    chan_send(conn->chan, type, payload, len);
}

size_t link_conn_queued(const struct link_conn *conn)
{
    return chan_queued(conn->chan);
}

bool link_conn_may_have_begun(const struct link_conn *conn)
{
    return chan_taken(conn->chan) > FRAME_HEADER_LEN + strlen(conn->link->hello);
}

void link_conn_pause(struct link_conn *conn)
{
    chan_pause(conn->chan);
}

void link_conn_resume(struct link_conn *conn)
{
    chan_resume(conn->chan);
}

void link_conn_destroy(struct link_conn *conn)
{
    if (!conn)
        return;
    chan_destroy(conn->chan, false);
    free(conn);
}

struct link_status *link_transport_status(struct link *link)
{
    return &link->status;
}

const struct link_status *link_get_status(const struct link *link)
{
    return &link->status;
}

const char *link_location(const struct link *link)
{
    return link->transport->location(link->self);
}
