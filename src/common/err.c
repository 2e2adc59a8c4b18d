#include "err.h"

#include "str.h"

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

/* Messages end up in logs and in JSON: what is cut or comes from outside must still be UTF-8. */
static void tidy(char *msg)
{
    size_t len = strlen(msg);
    for (size_t at = 0; (at += str_utf8_valid(msg + at, len - at)) < len;)
        msg[at] = '?';
}

/* snprintf wanted more than room: say so, where the text ends. */
static void mark_cut(char *msg, size_t room)
{
    memcpy(msg + room - sizeof("..."), "...", sizeof("..."));
    tidy(msg); /* the cut may have gone through a character */
}

static void fill(char *msg, size_t room, const char *fmt, va_list args)
{
    int wanted = vsnprintf(msg, room, fmt, args);
    if (wanted >= (int)room)
        mark_cut(msg, room);
    else
        tidy(msg);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return -1;
    char msg[sizeof(err->msg)]; /* an argument may be the old message */
    va_list args;
    va_start(args, fmt);
    fill(msg, sizeof(msg), fmt, args);
    va_end(args);
    *err = (struct err){.code = code};
    memcpy(err->msg, msg, sizeof(msg));
    return -1;
}

/* "first: rest" into err->msg; a first that is too long is cut so that half is left for the cause,
 * which stands last.
 */
static void join(struct err *err, char *first, const char *rest)
{
    size_t rest_len = strlen(rest), half = sizeof(err->msg) / 2;
    size_t room = sizeof(err->msg) - sizeof(": ") - (rest_len < half ? rest_len : half);
    if (strlen(first) >= room)
        mark_cut(first, room);
    int wanted = snprintf(err->msg, sizeof(err->msg), "%s: %s", first, rest);
    if (wanted >= (int)sizeof(err->msg))
        mark_cut(err->msg, sizeof(err->msg));
}

int err_sys(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
{
    if (!err)
        return -1;
    char doing[sizeof(err->msg)];
    va_list args;
    va_start(args, fmt);
    fill(doing, sizeof(doing), fmt, args);
    va_end(args);
    *err = (struct err){.code = code, .sys_errno = sys_errno};
    join(err, doing, strerror(sys_errno));
    return -1;
}

int err_context(struct err *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char context[sizeof(err->msg)], rest[sizeof(err->msg)];
    memcpy(rest, err->msg, sizeof(rest));
    va_list args;
    va_start(args, fmt);
    fill(context, sizeof(context), fmt, args);
    va_end(args);
    join(err, context, rest);
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
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) /* "none" is no failure's name */
        if (strcmp(table[code].name, name) == 0)
            return (enum err_code)code;
    return ERR_INTERNAL;
}
