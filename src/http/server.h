/* The HTTP server: a listening socket and its connections, on the caller's uv loop. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "exchange.h"

struct http_server;

/* What protects the server from those who hold connections without using them; ms. */
struct http_timeouts {
    int64_t head_ms;  /* from a request's first byte to the end of its head */
    int64_t idle_ms;  /* between requests, and before the first */
    int64_t body_ms;  /* for a body, plus a second for every 64 KiB of it that have come */
    int64_t write_ms; /* without progress in an answer */
};
extern const struct http_timeouts http_timeouts_default;

/* Opens a socket that listens at "host:port", "[ipv6]:port" or ":port". Blocks for a name's
 * look-up. Returns the descriptor, or -1.
 */
int http_listen(const char *address, struct err *err);

/* Takes listen_fd. app is copied. Nothing is read before the loop runs. */
struct http_server *http_server_create(const struct app *app, int take_listen_fd,
                                       const struct http_timeouts *timeouts, struct err *err);

/* Accepts no more; what is under way goes on. */
void http_server_stop_listening(struct http_server *server);

/* Requests that are not answered in full. */
unsigned http_server_busy(const struct http_server *server);

/* Cuts all connections (runs are cancelled). The memory goes in the loop's next turns. NULL is
 * fine.
 */
void http_server_destroy(struct http_server *server);

#endif
