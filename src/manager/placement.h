/* Which worker takes a fresh runner: a pure function from what is known of them to a choice. */
#ifndef MANAGER_PLACEMENT_H
#define MANAGER_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One worker at one moment, as one run sees it. */
struct placement_worker {
    bool up;
    bool draining, failing; /* by an admin's word; by its own doing */
    bool tried;             /* this run has been refused or lost there */
    bool has_template;      /* of the run */
    bool can_cook;          /* its oven has room for one more runner */
    int64_t warm;           /* runners of the template that wait for a run */
    int64_t pending;        /* runs that are on their way and have no runner yet */
    int64_t memory_bytes;   /* available on the host */
};

#define PLACEMENT_NONE SIZE_MAX

/* The index of the best, PLACEMENT_NONE when none may take the run. The order: a warm runner that
 * no other run is on its way to; room to cook one; the most free memory; the fewest runs pending.
 * Memory counts in steps of about a fifth, so that like hosts are alike. Among equals `spread`
 * decides: the same number gives the same choice, all numbers together give each its share.
 */
size_t placement_choose(const struct placement_worker *workers, size_t count, uint64_t spread);

/* Whether the worker may take the run at all. */
bool placement_eligible(const struct placement_worker *worker);

#endif
