/* How the manager reaches one worker. Every operation has a connection of its own; link.c says
 * LINK_HELLO on each and checks the worker's, whatever carries the bytes. What carries them is the
 * seam: a link_transport. link_local is a unix socket on this host.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "../common/err.h"
#include "../common/frame.h"
#include "../loop/chan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct link;
struct link_conn;

/* What carries the bytes. */
struct link_transport {
    /* A new channel to the worker; a failure to connect may arrive as on_closed instead. */
    struct chan *(*connect)(void *self, uv_loop_t *loop, const struct chan_ops *ops, void *data,
                            struct err *err);
    const char *(*location)(const void *self); /* for people: "local", or a host's name */
    void (*destroy)(void *self);
};

/* Connections that are kept ready ahead of demand, with both hellos already exchanged. */
#define LINK_SPARES 8

/* Takes self. Nothing is connected before the first link_open. */
struct link *link_create(uv_loop_t *loop, const struct link_transport *transport, void *take_self);

/* Which manager this is (ids.h); before the first link_open. Workers serve no other. */
void link_set_manager(struct link *link, const char *manager);

/* Where a transport notes its last_line. */
struct link_status *link_transport_status(struct link *link);

/* A link to the unix socket at path, which is copied. */
struct link *link_local_create(uv_loop_t *loop, const char *path);

/* Every connection must have been destroyed before. NULL is fine. */
void link_destroy(struct link *link);

struct link_conn_ops {
    /* As in chan_ops, for every frame after the worker's LINK_HELLO. The connection may be
     * destroyed inside both.
     */
    void (*on_frame)(struct link_conn *conn, const struct frame *frame, void *data);

    /* At most once, never inside a call of link_conn_send or link_open. why->code is ERR_NONE when
     * the worker closed in order, which it does after an operation's last frame.
     */
    void (*on_closed)(struct link_conn *conn, const struct err *why, void *data);

    void (*on_drain)(struct link_conn *conn, void *data); /* as in chan_ops; may be NULL */
};

/* A connection for one operation, whose frames may be sent at once. ops must outlive it. NULL when
 * the transport knows already that it cannot; otherwise a failure arrives as on_closed.
 */
struct link_conn *link_open(struct link *link, const struct link_conn_ops *ops, void *data,
                            struct err *err);

/* As chan_send, chan_queued. */
void link_conn_send(struct link_conn *conn, enum frame_type type, const void *payload, size_t len);
size_t link_conn_queued(const struct link_conn *conn);

/* Whether the worker can have seen anything of the operation. */
bool link_conn_may_have_begun(const struct link_conn *conn);

/* As chan_pause, chan_resume. */
void link_conn_pause(struct link_conn *conn);
void link_conn_resume(struct link_conn *conn);

/* Closes at once, which abandons an operation that is not over. NULL is fine. */
void link_conn_destroy(struct link_conn *conn);

/* The worker beside this manager: by the protocol, and when that is the same, by the version. Only
 * one that fits is used.
 */
enum link_fit { LINK_FITS, LINK_OLDER, LINK_NEWER };

/* Up: the worker's last hello was good, and no connection has failed since. */
struct link_status {
    bool up;
    int64_t since_ms; /* wall time of the last change; 0: never connected */
    char last_error[ERR_MSG_SIZE];
    int64_t latency_us;  /* from connect to the worker's hello, last; 0: not known */
    char last_line[240]; /* what the transport's program (ssh) said last, without secrets; "" */
    char program[64];    /* of the worker's hello: "codeland-worker 0.1.0"; "" before the first */
    enum link_fit fit;   /* by its last hello */
};

const struct link_status *link_get_status(const struct link *link);
const char *link_location(const struct link *link);

#endif
