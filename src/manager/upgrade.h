/* Brings workers that are older than this manager up to it, in place: their hosts are installed
 * anew over SSH, the worker is started again there, and its named runners live on meanwhile.
 */
#ifndef MANAGER_UPGRADE_H
#define MANAGER_UPGRADE_H

#include "provision.h"
#include "workers.h"

struct upgrades;

/* When an upgrade was not possible it is tried again after so long. */
#define UPGRADE_RETRY_MS 300000

/* From now on every worker of the fleet. All three outlive it. */
struct upgrades *upgrades_create(uv_loop_t *loop, struct fleet *fleet,
                                 const struct workers *workers, struct provisioner *provisioner);
void upgrades_destroy(struct upgrades *upgrades); /* what runs goes on; NULL is fine */

#endif
