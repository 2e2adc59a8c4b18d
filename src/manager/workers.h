/* Which workers there are: what is written down of them, in the settings and the store, and what of
 * that is in the fleet. What was added, drained or removed here is so after a restart.
 */
#ifndef MANAGER_WORKERS_H
#define MANAGER_WORKERS_H

#include "../common/worker_spec.h"
#include "../store/store.h"
#include "fleet.h"

enum workers_source {
    WORKERS_DEFAULT, /* this host's own: no other is in the settings */
    WORKERS_CONFIG,
    WORKERS_API,
};

struct workers;

/* A link to what spec describes; NULL with err when none can be made. */
typedef struct link *(*workers_link_cb)(uv_loop_t *loop, const struct worker_spec *spec, void *data,
                                        struct err *err);

/* Nobody is added yet. make_link's data outlives it. */
struct workers *workers_create(uv_loop_t *loop, struct fleet *fleet, struct store *store,
                               workers_link_cb make_link, void *data);

/* After the fleet and the store; NULL is fine. */
void workers_destroy(struct workers *workers);

/* At the start, before the loop runs; blocks for the store. Adds `configured`, or `local` when
 * there is none, and those of the store. One of the store that cannot be used, e.g. because the
 * settings have its name by now, is left out and logged.
 */
int workers_load(struct workers *workers, const struct worker_specs *configured,
                 const struct worker_spec *local, struct err *err);

/* Fires exactly once unless workers_forget was called or a part is destroyed before, never inside
 * the function that was given it; err is NULL when all is done.
 */
typedef void (*workers_done_cb)(const struct err *err, void *data);

/* spec is copied. ERR_NAME_TAKEN. */
void workers_add(struct workers *workers, const struct worker_spec *spec, workers_done_cb done,
                 void *data);

/* As fleet_remove. ERR_NOT_FOUND; ERR_RUNNER_BUSY when it has runners that are kept, unless force
 * is set, or when it is no worker of the API's.
 */
void workers_remove(struct workers *workers, const char *name, bool force, int64_t wait_ms,
                    workers_done_cb done, void *data);

void workers_drain(struct workers *workers, const char *name, bool draining, workers_done_cb done,
                   void *data);

/* done does not fire for that data; what was begun goes on. */
void workers_forget(struct workers *workers, void *data);

/* What is written down of it; NULL when there is none of that name. */
const struct worker_spec *workers_spec(const struct workers *workers, const char *name,
                                       enum workers_source *source);

#endif
