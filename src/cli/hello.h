/* The first look at a service that was just started: is it ready, and does it run code? */
#ifndef CLI_HELLO_H
#define CLI_HELLO_H

#include "../common/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_TOKEN_MAX 128

/* Whether GET /readyz says yes; if not, why not in *err (ERR_BAD_GATEWAY while nobody listens). */
bool hello_ready(const struct config *config, int cancel_fd, struct err *err);

/* Reads the admin token's file. */
int hello_token(const struct config *config, char token[HELLO_TOKEN_MAX], struct err *err);

/* Runs a small program through the API; said gets what it printed, without the newline, and
 * *duration_ms the time that the answer names.
 */
int hello_run(const struct config *config, const char *token, int cancel_fd, char *said,
              size_t room, double *duration_ms, struct err *err);

/* Runners in the oven: ready, and being made. False when the API does not tell. */
bool hello_oven(const struct config *config, const char *token, int cancel_fd, int64_t *available,
                int64_t *cooking);

#endif
