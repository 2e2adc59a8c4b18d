/* What conn.c, which reads requests, and conn_answer.c, which sends answers, share. */
#ifndef HTTP_CONN_PRIVATE_H
#define HTTP_CONN_PRIVATE_H

#include "chunked.h"
#include "conn.h"
#include "routes.h"

/* How it works. Bytes are consumed by the state: HEAD collects until a head is whole, BODY until
 * the body is, then the handler has the exchange (BUSY) until it answers. ANSWERING ends when the
 * socket has taken all; then the next request's bytes, which may be there already, are looked at.
 * Requests of one connection are never handled at the same time. An answer that is given before
 * the request was read to its end is followed by DRAINING: our side is shut, and what still comes
 * is read over for a while, so that the client finds the answer and not a reset.
 *
 * Bytes that come while nobody wants them are kept, up to CONN_IN_MAX; above, the socket is not
 * read, and a hang-up is looked for now and then. Otherwise the socket is always read, which is how
 * a client that leaves in the middle of a run is noticed; half-closing is leaving. UPGRADED is for
 * good: from there another protocol has the connection.
 *
 * Handlers may answer from inside conn_readable. `feeding` keeps the loop over the input in one
 * place; `doomed` says that io->close was called and that nothing may be done any more.
 */
enum conn_state { CONN_HEAD, CONN_BODY, CONN_BUSY, CONN_ANSWERING, CONN_DRAINING, CONN_UPGRADED };

/* Whose the bytes are once the connection has changed its protocol. */
struct upgrade {
    void *self;
    size_t (*consume)(void *self, const char *data, size_t len); /* 0: not now, see conn_feed */
    void (*writable)(void *self);
    void (*gone)(void *self); /* its last call, and it may not write */
};

struct conn {
    struct exchange exchange; /* first: exchange_* come back by it */
    struct conn_shared *shared;
    const struct conn_io *io;
    void *socket;
    enum conn_state state;
    mono_us deadline; /* 0: none */
    struct buf in;    /* read, not consumed */
    bool feeding, doomed, read_off;

    /* The request. */
    const struct route *route;
    bool version_1_1, head_only;
    bool head_begun;   /* the next head has begun to come */
    bool request_over; /* it was read to its end */
    bool keep_alive;   /* there may be another one */
    struct buf body;
    bool chunked;
    struct chunked chunks;
    uint64_t body_left, body_seen;
    size_t drained;

    /* The answer. */
    int status;
    char runner[NAME_MAX_LEN + 1]; /* for the log */
    struct buf out;                /* its head, and a body that is in memory */
    size_t out_sent;
    struct answer_source source;
    bool blocked; /* the socket is full; conn_writable will come */

    struct upgrade upgrade;
};

#define CONN_IN_MAX (2 * HTTP_HEAD_MAX)
#define CONN_DRAIN_MAX (8 * 1024 * 1024)
#define CONN_DRAIN_MS 2000

/* conn.c */
void conn_set_deadline(struct conn *conn, int64_t ms); /* 0: none */
void conn_set_read(struct conn *conn, bool on);
void conn_doom(struct conn *conn);

/* Looks at what has come, and at what was kept before. */
void conn_feed(struct conn *conn, const char *data, size_t len);

/* conn_answer.c. These answer, so the exchange is over; extra: whole header lines, or "". */
void conn_send_json(struct conn *conn, int status, struct buf *take_json, const char *extra);
void conn_send_failure(struct conn *conn, const struct failure *failure, const char *allow);

/* Answers 101; headers: whole lines, all that differ. */
void conn_upgrade(struct conn *conn, const struct upgrade *upgrade, const char *headers);
void conn_log_answer(const struct conn *conn);

int conn_write(struct conn *conn, const char *data, size_t len); /* -1: it is doomed now */
void conn_drop_source(struct conn *conn);

#endif
