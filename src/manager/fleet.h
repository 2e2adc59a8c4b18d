/* The workers: who they are, which of them takes a run, and which has a runner of a name. */
#ifndef MANAGER_FLEET_H
#define MANAGER_FLEET_H

#include "../common/clock.h"
#include "names.h"
#include "worker.h"

/* Each takes descriptors and memory of the manager. */
#define FLEET_WORKERS_MAX 1000

/* Workers that a run asks before it is refused. */
#define FLEET_TRIED_MAX 16

/* Waiting for a worker that is down, or that fails, is of use for so long: its supervisor has it
 * back within 2 s, so something worse is wrong, and a caller wants to know at once.
 */
#define FLEET_GRACE_MS 5000

/* What has no runner on a worker that goes has so long to make sure of that, and to go elsewhere.
 */
#define FLEET_EVICT_MS 2000

struct fleet;

struct fleet *fleet_create(uv_loop_t *loop);
void fleet_destroy(struct fleet *fleet); /* and its workers; NULL is fine */

/* Takes worker, whose name no other has (fleet_worker says so). It is probed when it fails. */
void fleet_add(struct fleet *fleet, struct worker *take_worker);

/* Ends when the worker is out of the fleet and its memory gone: no fresh run is sent there from now
 * on, runs that wait there for a runner are given wait_ms to get one and all others to end; then
 * the former go elsewhere, and the latter end with ERR_BAD_GATEWAY. Its runners stay on their host.
 * done fires once, from the loop; not when the fleet is destroyed before. ERR_NOT_FOUND when it is
 * being removed already.
 */
typedef void (*fleet_removed_cb)(void *data);
int fleet_remove(struct fleet *fleet, struct worker *worker, int64_t wait_ms, fleet_removed_cb done,
                 void *data, struct err *err);

/* Being removed. */
bool fleet_leaving(const struct fleet *fleet, const struct worker *worker);

/* Workers that a run is not to be given again, and the one that it is for, "" for any. */
struct fleet_tried {
    char only[NAME_MAX_LEN + 1];
    const struct worker *workers[FLEET_TRIED_MAX];
    size_t count;
};

/* Where a fresh runner of the template is to be taken; NULL when no worker may take it now. */
struct worker *fleet_place(struct fleet *fleet, const char *template_name,
                           const struct fleet_tried *tried);

/* After fleet_place found none: until when a worker may be there that takes it; 0: none will. */
mono_us fleet_hope_until(const struct fleet *fleet, const struct fleet_tried *tried);

/* Why there is none: fills err with ERR_NOT_AVAILABLE. */
void fleet_explain(const struct fleet *fleet, const char *template_name,
                   const struct fleet_tried *tried, struct err *err);

/* Tells the listener when fleet_place may answer otherwise. */
void fleet_listen(struct fleet *fleet, struct listener *listener);
void fleet_unlisten(struct fleet *fleet, struct listener *listener);

/* The worker that has a runner of that name, and what is known of it; NULL when there is none. */
struct worker *fleet_find(const struct fleet *fleet, const char *runner,
                          const struct runner_info **info);

/* All runners' names. */
struct names *fleet_names(const struct fleet *fleet);

/* The worker of that name; NULL when there is none. */
struct worker *fleet_worker(const struct fleet *fleet, const char *name);

size_t fleet_count(const struct fleet *fleet);
struct worker *fleet_at(const struct fleet *fleet, size_t index); /* in the order they were added */

#endif
