/* The table of routes: every path the manager answers, one row a method. */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include "exchange.h"

struct route {
    enum http_method method; /* HTTP_GET answers HEAD too */
    const char *path;        /* "/api/v1/runner/:runner" */
    bool open;               /* needs no token */
    bool admin;              /* needs an admin's */
    void (*handle)(struct exchange *exchange);
};

/* The row for a method and a path as sent. Fills exchange->runner or exchange->worker. NULL with
 * ERR_NOT_FOUND, ERR_RUNNER_NOT_FOUND for a name that no runner can have, or
 * ERR_METHOD_NOT_ALLOWED. allow is then
 * the list for the Allow header, also with HTTP_OPTIONS, which has no row and fails likewise.
 */
#define ROUTES_ALLOW_MAX 64
const struct route *routes_find(enum http_method method, struct http_slice path,
                                struct exchange *exchange, char allow[ROUTES_ALLOW_MAX],
                                struct err *err);

#endif
