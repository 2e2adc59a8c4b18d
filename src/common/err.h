/* A failure as a value: what kind, which errno, and a sentence for a person.
 * Filled by the function that failed, owned by its caller, nothing to free. msg is always valid
 * UTF-8 (other bytes become '?'), so that it fits into JSON; one that was cut ends in "...".
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdarg.h>

enum err_code {
    ERR_NONE = 0,
#define ERR(code, status, name) ERR_##code,
#include "err.def"
#undef ERR
    ERR_COUNT,
};

#define ERR_MSG_SIZE 480

struct err {
    enum err_code code;
    int sys_errno; /* 0 when no system call is to blame */
    char msg[ERR_MSG_SIZE];
};

/* Fill err and return -1, so that `return err_set(...)` reads well. A NULL err is allowed. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": strerror(sys_errno)" appended and sys_errno kept. */
int err_sys(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " before the message of an err that is already set; returns -1. Of a context that
 * is too long the end is left out, not the message.
 */
int err_context(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The name on the wire, e.g. "badRequest"; "none" for ERR_NONE. Static storage. */
const char *err_name(enum err_code code);

/* The HTTP status; 500 for a code that is out of range. */
int err_http_status(enum err_code code);

/* The code for a name on the wire; ERR_INTERNAL for one we do not know, and for "none". */
enum err_code err_from_name(const char *name);

#endif
