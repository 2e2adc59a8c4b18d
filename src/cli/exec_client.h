/* A program that runs over there with our stdin, stdout and stderr: the client's side of the API's
 * exec WebSocket, docs/api.md.
 */
#ifndef CLI_EXEC_CLIENT_H
#define CLI_EXEC_CLIENT_H

#include "../common/err.h"

#include <jansson.h>

struct exec_request {
    const char *address; /* as http.listen */
    const char *path;    /* of the WebSocket */
    const char *token;
    const json_t *start; /* the first message */
    int stdio[3];        /* ours for the program's; not closed */
};

/* Blocks until the program's end. While it runs SIGINT, SIGTERM, SIGQUIT and SIGHUP are the
 * program's; the same one a second time in a row is ours, and *interrupted says which. 0 with the
 * result, which the caller owns (NULL when interrupted); -1 when there is none, err says why.
 */
int exec_client_run(const struct exec_request *request, json_t **result, int *interrupted,
                    struct err *err);

#endif
