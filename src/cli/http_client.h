/* One HTTP request to our own API: what `up` needs to see that it works. */
#ifndef CLI_HTTP_CLIENT_H
#define CLI_HTTP_CLIENT_H

#include "../common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* An answer larger than this is an error. */
#define HTTP_CLIENT_ANSWER_MAX (8 * 1024 * 1024)

struct http_answer {
    int status;
    char *body; /* NUL-terminated, the caller's; NULL on failure */
    size_t len;
};

struct http_request {
    const char *address; /* as http.listen: "127.0.0.1:8080", "[::1]:8080" */
    const char *method, *path;
    const char *token; /* NULL: none */
    const char *body;  /* JSON; NULL: none */
    int timeout_ms;    /* for all of it */
    int cancel_fd;     /* readable: give up; -1: none */
};

/* Blocks. Fails with ERR_BAD_GATEWAY when nobody answers properly, ERR_TIMED_OUT when too late or
 * cancelled.
 */
int http_client_ask(const struct http_request *request, struct http_answer *answer,
                    struct err *err);

/* The socket address of such a text; a wildcard becomes loopback when connecting. */
struct http_address {
    struct sockaddr_storage addr;
    socklen_t len;
};
int http_client_address(const char *text, bool connecting, struct http_address *address,
                        struct err *err);

#endif
