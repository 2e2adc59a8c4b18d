/* What the worker answers to a run: RESULT, COMPILED and FOUND of docs/protocol.md. Everything in
 * it is checked: the worker is ours, but a part of it was said by the runner.
 */
#ifndef MANAGER_RUN_ANSWER_H
#define MANAGER_RUN_ANSWER_H

#include "runs.h"

/* Copies the runner's name. */
int run_answer_runner(const json_t *json, struct run_result *result, struct err *err);

/* ran: there is a program's end in it. */
int run_answer_result(const json_t *json, bool ran, struct run_result *result, struct err *err);

/* What was printed so far was the compiler's. */
int run_answer_compiled(const json_t *json, struct run_result *result, struct err *err);

/* One more file; at most most_files in all. */
int run_answer_found(const json_t *json, int64_t most_files, int64_t most_bytes,
                     struct run_result *result, struct err *err);

/* Bytes of the last file that was found. */
int run_answer_data(const void *data, size_t len, struct run_result *result, struct err *err);

#endif
