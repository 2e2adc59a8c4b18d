/* The workers. There is one today; who asks for a worker asks here, so that placement over many
 * has its place.
 */
#ifndef MANAGER_FLEET_H
#define MANAGER_FLEET_H

#include "worker.h"

struct fleet;

struct fleet *fleet_create(void);
void fleet_destroy(struct fleet *fleet); /* and its workers; NULL is fine */

/* Takes worker. */
void fleet_add(struct fleet *fleet, struct worker *take_worker);

/* Where a fresh runner is to be taken; may be a worker that is down. NULL in an empty fleet. */
struct worker *fleet_pick(const struct fleet *fleet);

/* The worker that has a runner of that name, and what is known of it; NULL when there is none. */
struct worker *fleet_find(const struct fleet *fleet, const char *runner,
                          const struct runner_info **info);

size_t fleet_count(const struct fleet *fleet);
struct worker *fleet_at(const struct fleet *fleet, size_t index);

#endif
