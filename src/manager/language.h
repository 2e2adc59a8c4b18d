/* The languages that a run may name: one row each. */
#ifndef MANAGER_LANGUAGE_H
#define MANAGER_LANGUAGE_H

#include "../common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct language {
    const char *name;
    const char *const *aliases; /* NULL-terminated */
    const char *program;        /* is given the file's name and the request's args */
    const char *suffix;         /* of the file that holds the code, with its dot */
};

/* By name or alias. NULL with ERR_UNKNOWN_LANGUAGE, whose message lists the known ones. */
const struct language *language_find(const char *name, size_t len, struct err *err);

/* What a request without a language gets. */
const struct language *language_default(void);

#endif
