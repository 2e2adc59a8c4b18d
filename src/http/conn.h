/* One client's connection: reads requests, hands them to their routes, sends the answers. What lies
 * between server.c, which owns the sockets, and the handlers; the functions of exchange.h are
 * implemented here.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "server.h"

struct conn;

/* What connections share; server.c has it. */
struct conn_shared {
    struct app app;
    struct http_timeouts timeouts;
    unsigned busy; /* connections with an exchange */
    char date[64]; /* the Date header, of date_s */
    int64_t date_s;
    char *piece; /* CONN_PIECE bytes in which streamed answers are made */
};

#define CONN_PIECE 65536

/* The socket's side. */
struct conn_io {
    /* Sends all of data or keeps a copy of what the kernel does not take; false in *clear means
     * that conn_writable comes when it has. -1: the connection is dead.
     */
    int (*write)(void *socket, const char *data, size_t len, bool *clear);
    void (*want_writable)(void *socket); /* conn_writable, once, from the loop */
    void (*want_read)(void *socket, bool on);
    void (*shut)(void *socket);      /* no more will be written */
    bool (*peer_left)(void *socket); /* asked while it is not read */
    void (*close)(void *socket);     /* conn_closed will come, never inside this call */
};

struct conn *conn_create(struct conn_shared *shared, const struct conn_io *io, void *socket);

/* The socket is gone: cancels what is under way and frees the connection. */
void conn_closed(struct conn *conn);

void conn_readable(struct conn *conn, const char *data, size_t len);
void conn_writable(struct conn *conn);

/* Ends the connection if its time is up; called about once a second. */
void conn_check_time(struct conn *conn, mono_us now);

#endif
