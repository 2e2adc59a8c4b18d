/* User namespaces that map a runner's id range, made once per slot and kept. They are what an
 * idmapped mount is given: mount_setattr(2), MOUNT_ATTR_IDMAP.
 */
#ifndef WORKER_IDMAP_H
#define WORKER_IDMAP_H

#include "../common/err.h"

#include <stdint.h>

struct idmap;

/* Ids 0..count-1 of slot n are base + n * count and up on the host. */
struct idmap *idmap_create(uint32_t base, uint32_t count);
void idmap_destroy(struct idmap *idmap);

/* First host id of the slot, and how many a slot has. */
uint32_t idmap_first(const struct idmap *idmap, unsigned slot);
uint32_t idmap_count(const struct idmap *idmap);

/* The slot that a host id is the first id of, or -1. */
int idmap_slot(const struct idmap *idmap, uint32_t host_id);

/* A user namespace with the slot's map, owned by idmap; -1 on failure, also for a slot whose ids
 * the host does not have. Blocks for about 0.3 ms the first time. At most IDMAP_KEPT are kept open;
 * beyond, the oldest is made anew when needed again.
 */
#define IDMAP_KEPT 2048
int idmap_userns(struct idmap *idmap, unsigned slot, struct err *err);

#endif
