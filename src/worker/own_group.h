/* The worker's own control group, PREFIX.worker beside the runners': what they do together is
 * weighed against it as one, and the memory it lives in is not taken for theirs. Its helpers, which
 * are forked in it, are in it too.
 */
#ifndef WORKER_OWN_GROUP_H
#define WORKER_OWN_GROUP_H

#include "cgroup.h"

struct own_group;

#define OWN_GROUP_SUFFIX ".worker"

/* Moves this process there, in each hierarchy used, before it has threads or children. On v2
 * memory_bytes of it are never reclaimed, on v1 runners are reclaimed from first. NULL with err
 * when that cannot be; then it is where it was, or in some hierarchies there.
 */
struct own_group *own_group_enter(const struct cgroup *cgroup, const char *prefix,
                                  int64_t memory_bytes, struct err *err);

/* Moves it back to where it was and removes the group, if nobody else is in it. NULL is fine. */
void own_group_leave(struct own_group *group);

#endif
