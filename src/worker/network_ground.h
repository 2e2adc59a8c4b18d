/* The network of a worker on its host: the bridge, the rules, and each runner's cable, from the
 * settings alone (network_plan.h) and what the kernel says.
 *
 * For the network's process alone (network_helper.c): everything here blocks, and for a moment the
 * caller is in a runner's network namespace.
 */
#ifndef WORKER_NETWORK_GROUND_H
#define WORKER_NETWORK_GROUND_H

#include "../common/network_plan.h"

#include <stdbool.h>
#include <sys/types.h>

struct network_ground;

/* Nothing is made on the host before the first runner is attached. plan must outlive it; notes is
 * the path of a file that remembers what was changed on the host, for a worker that comes after
 * one that was killed. NULL on failure.
 */
struct network_ground *network_ground_create(const struct network_plan *plan, const char *notes,
                                             struct err *err);

struct network_target {
    unsigned slot;
    pid_t init;  /* of the container */
    int pidfd;   /* of the same process; borrowed */
    uid_t owner; /* whose file its resolv.conf shall be: the container's root */
};

/* Gives a runner in which nothing has run yet its network. On failure it has none. */
int network_ground_attach(struct network_ground *ground, const struct network_target *target,
                          struct err *err);

/* Takes it away, with its connections and whatever else is left of it. One that has none is fine.
 */
int network_ground_detach(struct network_ground *ground, unsigned slot, struct err *err);

/* An earlier worker attached it. */
void network_ground_adopt(struct network_ground *ground, unsigned slot);

/* After the last adopt: removes what an earlier worker left and nobody has adopted. */
int network_ground_settle(struct network_ground *ground, struct err *err);

/* Unless somebody is attached: removes bridge and rules, and undoes what was changed on the host.
 */
int network_ground_clear(struct network_ground *ground, struct err *err);

#endif
