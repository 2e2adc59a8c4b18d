/* Questions of a verb to the manager that runs on this machine, as its administrator. */
#ifndef CLI_API_H
#define CLI_API_H

#include "../common/options.h"
#include "hello.h"

#include <jansson.h>

struct api {
    const struct config *config;
    char token[HELLO_TOKEN_MAX];
    int stop_fd; /* readable: give up; -1: none */
};

/* Reads the administrator's token. */
int api_init(struct api *api, const struct config *config, int stop_fd, struct err *err);

/* One request below /api/v1; take_body may be NULL. The answer's object, the caller's; NULL with
 * the API's own error when its status is no 2xx.
 */
json_t *api_ask(const struct api *api, const char *method, const char *path, json_t *take_body,
                struct err *err);

#endif
