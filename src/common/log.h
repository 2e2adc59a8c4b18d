/* The log: logfmt on stderr, one line an event, control bytes escaped, secrets as ***.
 *
 *     log_info("runner cooked", LOG_S("runner", name), LOG_D("ms", elapsed));
 *     level=info time=2026-01-31T12:00:00.123Z program=worker event="runner cooked" runner=a ms=7
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "err.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_SECRET } kind;
    const char *string;
    int64_t number;
};

#define LOG_S(name, value) ((struct log_field){(name), LOG_FIELD_STRING, (value), 0})
#define LOG_D(name, value) ((struct log_field){(name), LOG_FIELD_INT, NULL, (value)})
#define LOG_SECRET(name) ((struct log_field){(name), LOG_FIELD_SECRET, NULL, 0})
#define LOG_ERR(err) LOG_S("error", (err)->msg)

/* Who logs, for `program=`, and the least level that is written. Static string. */
void log_init(const char *program, enum log_level least);

/* Writes one line with a single write(2). A line over 4 KiB is cut. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define log_line(level, event, ...)                                                                \
    log_write((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
