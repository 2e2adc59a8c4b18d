/* The body of a request that runs code. A pure function over bytes. */
#ifndef HTTP_RUN_BODY_H
#define HTTP_RUN_BODY_H

#include "../common/languages.h"
#include "../manager/runs.h"

#define RUN_ARGS_MAX 256
#define RUN_ENV_MAX 256
#define RUN_STRING_MAX (128 * 1024 - 1) /* what execve takes of one string, less its NUL */
#define RUN_CWD_MAX 2048
#define RUN_MEMORY_LEAST 4194304
#define RUN_PROCESSES_LEAST 2
#define RUN_DISK_LEAST 1048576

enum run_body_kind {
    RUN_BODY_FRESH, /* /runner/run, /runner: code is required */
    RUN_BODY_NEW,   /* /runner/new: code may be missing; has a name */
    RUN_BODY_NAMED, /* /runner/:runner: code is required; memory is given */
};

struct run_limits {
    int64_t time_ms, time_max_ms; /* of a request that names none; the most */
    int64_t memory_bytes, memory_max_bytes;
    int64_t cpu_max_ms, processes_max, disk_max_bytes, output_max_bytes, queue_max_ms;
    const struct languages *languages;
    bool nat;   /* whether a runner may have a network */
    bool admin; /* whose request it is: one may name a worker */
};

/* Fills the fields of request that a body decides, over the defaults that the caller has set where
 * limits names none; the caller owns hold then. time_query is the text of ?time=, NULL
 * when it was not given; the body's time wins. On failure err names the field, and nothing is held.
 */
int run_body_parse(const char *text, size_t len, const char *time_query, enum run_body_kind kind,
                   const struct run_limits *limits, struct run_request *request, struct err *err);

#endif
