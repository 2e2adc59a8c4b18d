#include "err.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int status;
} table[ERR_COUNT] = {
    [ERR_NONE] = {"none", 200},
#define ERR(code, http, wire) [ERR_##code] = {wire, http},
#include "err.def"
#undef ERR
};

static void fill(struct err *err, enum err_code code, int sys_errno, const char *fmt, va_list args)
{
    err->code = code;
    err->sys_errno = sys_errno;
    vsnprintf(err->msg, sizeof(err->msg), fmt, args);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, fmt);
    fill(err, code, 0, fmt, args);
    va_end(args);
    return -1;
}

int err_sys(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, fmt);
    fill(err, code, sys_errno, fmt, args);
    va_end(args);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(sys_errno));
    return -1;
}

int err_context(struct err *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char rest[sizeof(err->msg)];
    memcpy(rest, err->msg, sizeof(rest));
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, args);
    va_end(args);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", rest);
    return -1;
}

const char *err_name(enum err_code code)
{
    return (unsigned)code < ERR_COUNT ? table[code].name : "internal";
}

int err_http_status(enum err_code code)
{
    return (unsigned)code < ERR_COUNT ? table[code].status : 500;
}

enum err_code err_from_name(const char *name)
{
    for (int code = ERR_NONE; code < ERR_COUNT; code++)
        if (strcmp(table[code].name, name) == 0)
            return (enum err_code)code;
    return ERR_INTERNAL;
}
