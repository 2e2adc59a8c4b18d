/* Tries a worker that fails again and again, until it can be taken back. */
#ifndef MANAGER_PROBE_H
#define MANAGER_PROBE_H

#include "worker.h"

struct probe;

/* From now on the worker is probed whenever it fails and is up: `true` is run on a fresh runner,
 * with a pause before each try that grows as health.h says.
 */
struct probe *probe_create(uv_loop_t *loop, struct worker *worker);

/* Before the worker is; NULL is fine. */
void probe_destroy(struct probe *probe);

#endif
