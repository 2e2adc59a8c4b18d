#include "steer.h"

#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <string.h>

struct steer {
    struct worker *worker;
    struct link_conn *conn; /* NULL before the first signal, and once it was lost */
    char hello[64];
    const struct steer_ops *ops;
    void *data;
};

static void lose(struct steer *steer)
{
    link_conn_destroy(steer->conn);
    steer->conn = NULL;
    steer->ops->drain(steer->data);
}

/* Only an error comes. */
static void on_frame(struct link_conn *conn, const struct frame *frame, void *data)
{
    (void)conn;
    log_warn("a worker takes no signals", LOG_S("answer", frame_name(frame->type)));
    lose(data);
}

static void on_closed(struct link_conn *conn, const struct err *why, void *data)
{
    (void)conn;
    if (why->code != ERR_NONE)
        log_warn("signals to a worker are lost", LOG_ERR(why));
    lose(data);
}

static void on_drain(struct link_conn *conn, void *data)
{
    struct steer *steer = data;
    (void)conn;
    steer->ops->drain(steer->data);
}

static const struct link_conn_ops conn_ops = {
    .on_frame = on_frame,
    .on_closed = on_closed,
    .on_drain = on_drain,
};

struct steer *steer_create(struct worker *worker, const char *key, const struct steer_ops *ops,
                           void *data)
{
    struct steer *steer = mem_new(struct steer);
    steer->worker = worker;
    worker_begin(worker, false);
    steer->ops = ops;
    steer->data = data;
    str_format(steer->hello, sizeof(steer->hello), "{\"key\":\"%s\"}", key);
    return steer;
}

static bool connect_now(struct steer *steer)
{
    struct err err;
    if (steer->conn)
        return true;
    steer->conn = link_open(worker_link(steer->worker), &conn_ops, steer, &err);
    if (!steer->conn) {
        log_warn("signals to a worker are lost", LOG_ERR(&err));
        return false;
    }
    link_conn_send(steer->conn, FRAME_STEER, steer->hello, strlen(steer->hello));
    return true;
}

bool steer_has_room(const struct steer *steer)
{
    return !steer->conn || link_conn_queued(steer->conn) <= CHAN_HIGH;
}

bool steer_signal(struct steer *steer, const char *name)
{
    char text[64];
    if (!connect_now(steer))
        return true;
    str_format(text, sizeof(text), "{\"signal\":\"%s\"}", name);
    link_conn_send(steer->conn, FRAME_SIGNAL, text, strlen(text));
    return steer_has_room(steer);
}

void steer_destroy(struct steer *steer)
{
    if (!steer)
        return;
    link_conn_destroy(steer->conn);
    worker_end(steer->worker, false);
    free(steer);
}
