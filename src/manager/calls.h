/* The worker's small operations: a question and one answer. */
#ifndef MANAGER_CALLS_H
#define MANAGER_CALLS_H

#include "../common/oven_change.h"
#include "op.h"

#include <jansson.h>

struct call;

/* Exactly once unless the call is cancelled, never inside the function that started it. result is
 * the worker's RESULT, valid during the call; NULL with a failure.
 */
typedef void (*call_done_cb)(const json_t *result, const struct failure *failure, void *data);

/* All wait for a worker that restarts. NULL with a failure when it is gone for good. */
struct call *call_destroy_runner(uv_loop_t *loop, struct worker *worker, const char *runner,
                                 call_done_cb done, void *data, struct failure *failure);
struct call *call_zombies(uv_loop_t *loop, struct worker *worker, bool remove, call_done_cb done,
                          void *data, struct failure *failure);

/* Changes a template's oven, or with a change that names nothing looks at it; the result is what it
 * is afterwards. ERR_NOT_FOUND when the worker has no such template.
 */
struct call *call_oven(uv_loop_t *loop, struct worker *worker, const struct oven_change *change,
                       call_done_cb done, void *data, struct failure *failure);
struct call *call_footprint(uv_loop_t *loop, struct worker *worker, call_done_cb done, void *data,
                            struct failure *failure);

/* A try of a run, by its key, is not to begin any more; the result says whether it has. */
struct call *call_withdraw(uv_loop_t *loop, struct worker *worker, const char *key,
                           call_done_cb done, void *data, struct failure *failure);

/* Runs `true` on a fresh runner; the result is the run's. */
struct call *call_probe(uv_loop_t *loop, struct worker *worker, call_done_cb done, void *data,
                        struct failure *failure);

/* done never fires; what the worker has begun it may finish. */
void call_cancel(struct call *call);

#endif
