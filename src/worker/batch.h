/* Runners that compute give way to those that answer. A runner that has used the processor for 20
 * ms is batch work (ENGINE_PACE_BATCH), so that a small run beside it is nearly as fast as alone.
 * One that gets next to nothing that way, or wants nothing, is no batch work until it has computed
 * again, so that all go on: one that others starve competes like any other for 30 of every 130 ms.
 * A fork bomb gets even less (ENGINE_PACE_CURBED) until it has been none for a second: it is at
 * work in the kernel, which many a system does not interrupt for others, and each process that it
 * cannot start needs no end.
 */
#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "runner.h"

#include <uv.h>

struct batch;

/* loop and roster must outlive it. */
struct batch *batch_create(uv_loop_t *loop, struct roster *roster, const struct clock *clock);

/* Before its roster. What is watched is freed by the loop's next turns. */
void batch_destroy(struct batch *batch);

/* An operation on the runner, which is in use, is about to begin. */
void batch_begin(struct batch *batch, struct runner *runner);

/* An operation of it is about to be killed: it needs the processor for its end, and waits for no
 * next share of its limit. It has 100 ms without one, once a second at most.
 */
void batch_lift(struct runner *runner);

#endif
