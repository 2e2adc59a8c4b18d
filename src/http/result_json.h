/* The answer that carries a run's result, made piece by piece: the output is in memory once, and
 * base64 and escapes exist only in the piece that is being sent.
 */
#ifndef HTTP_RESULT_JSON_H
#define HTTP_RESULT_JSON_H

#include "../manager/runs.h"

#include <stddef.h>

struct result_json;

enum result_json_flags {
    RESULT_BASE64 = 1, /* stdout and stderr are that, and not text */
    RESULT_STREAMED =
        2, /* the program's output has been sent before: without res, stdout, stderr */
};

/* Takes result. duration_ms is the request's; request_id is copied. */
struct result_json *result_json_create(struct run_result *take_result, double duration_ms,
                                       const char *request_id, unsigned flags);
void result_json_destroy(struct result_json *json); /* NULL is fine */

/* The HTTP status: 498 for a run that passed its time, else 200. */
int result_json_status(const struct result_json *json);

/* Writes the next bytes of the text into to: as much as fits, 0 only at its end. room is at least
 * RESULT_PIECE_LEAST.
 */
#define RESULT_PIECE_LEAST 64
size_t result_json_read(struct result_json *json, char *to, size_t room);

#endif
