/* The worker's nftables rules: one table that pins each runner's address on the bridge, and one
 * that says what a runner may reach. Everything is static but the sets that name the ports of those
 * that are attached and the interfaces that were opened for them.
 *
 * For the network's process alone (network_helper.c), whose namespace the rules are in.
 */
#ifndef WORKER_NETWORK_RULES_H
#define WORKER_NETWORK_RULES_H

#include "../common/buf.h"
#include "../common/network_plan.h"

#include <stdbool.h>

struct network_rules;

/* plan must outlive it. NULL on failure. */
struct network_rules *network_rules_create(const struct network_plan *plan, struct err *err);
void network_rules_destroy(struct network_rules *rules); /* the tables stay */

/* The settings' resolvers, or the host's own. */
struct network_resolvers {
    uint32_t list[NETWORK_RESOLVERS_MOST];
    unsigned len;
};

/* Makes both tables, in place of those that are there, in one step: what is connected stays so.
 * slots are attached, uplinks were opened.
 */
int network_rules_make(struct network_rules *rules, const struct network_resolvers *resolvers,
                       const unsigned *slots, size_t slots_len, const char (*uplinks)[IFNAMSIZ],
                       size_t uplinks_len, struct err *err);
int network_rules_remove(struct network_rules *rules, struct err *err);

/* Lets a slot's port speak, as its address and MAC alone. */
int network_rules_add(struct network_rules *rules, unsigned slot, struct err *err);
int network_rules_delete(struct network_rules *rules, unsigned slot, struct err *err);

/* What comes in by that interface is not handed on, but to runners. */
int network_rules_guard(struct network_rules *rules, const char *uplink, struct err *err);

/* Appends all rules of this network namespace, the host's own too, without their counters. Any
 * process of the worker's may ask.
 */
int network_rules_show(struct buf *text, struct err *err);

#endif
