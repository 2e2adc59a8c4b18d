/* Control groups, both generations behind one interface: pure v2, and the hybrid layout in which
 * the controllers are v1 hierarchies. Kernel: Documentation/admin-guide/cgroup-v2.rst and
 * cgroup-v1/{memory,pids,cpuacct,freezer-subsystem}.rst.
 *
 * A runner's group is PREFIX/NAME in every hierarchy used; LXC makes and removes it (see
 * cgroup_lxc_items), this file reads and writes it.
 */
#ifndef WORKER_CGROUP_H
#define WORKER_CGROUP_H

#include "engine.h"

struct cgroup;

/* Where LXC keeps the monitors, beside the prefix folder, and moves them when they end. */
#define CGROUP_MONITOR_SUFFIX ".monitor"
#define CGROUP_PIVOT_SUFFIX ".pivot"

/* Finds the hierarchies and makes the folder prefix in each. ERR_INTERNAL naming the controller
 * when memory, pids or cpu cannot be had.
 */
struct cgroup *cgroup_create(const char *prefix, struct err *err);
void cgroup_destroy(struct cgroup *cgroup);

/* "v1" (hybrid) or "v2". */
const char *cgroup_version(const struct cgroup *cgroup);

/* The controllers LXC shall use, for lxc.cgroup.use in its global configuration: "" for all. */
const char *cgroup_lxc_use(const struct cgroup *cgroup);

/* Calls item once for each LXC configuration item that sets these limits at the start. Returns
 * false as soon as item does.
 */
bool cgroup_lxc_items(const struct cgroup *cgroup, const struct engine_limits *limits,
                      bool (*item)(const char *key, const char *value, void *data), void *data);

int cgroup_set_limits(const struct cgroup *cgroup, const char *name,
                      const struct engine_limits *limits, struct err *err);

int cgroup_stats(const struct cgroup *cgroup, const char *name, struct engine_stats *stats,
                 struct err *err);

/* Lets the peak of memory begin anew where the kernel can (v1; v2 cannot from outside). */
void cgroup_reset_peak(const struct cgroup *cgroup, const char *name);

/* A group below the runner's for one operation, so that it can be killed alone. Returns a
 * descriptor to which a process writes "0" to join it, -1 on failure; the caller closes it.
 */
int cgroup_operation_create(const struct cgroup *cgroup, const char *name, uint32_t id,
                            struct err *err);
void cgroup_operation_kill(const struct cgroup *cgroup, const char *name, uint32_t id);

/* Removes the group; what still runs in it moves up to the runner's. */
void cgroup_operation_remove(const struct cgroup *cgroup, const char *name, uint32_t id);

/* Removes what operations left of a runner that is gone (v1 only; LXC does not know of it). */
void cgroup_operations_remove(const struct cgroup *cgroup, const char *name);

/* Calls found with the name of every group below the prefix. */
void cgroup_each(const struct cgroup *cgroup, void (*found)(const char *name, void *data),
                 void *data);

/* Whether LXC has not removed a runner's or its monitor's group yet. */
bool cgroup_exists(const struct cgroup *cgroup, const char *name);

/* Kills what is in a runner's group; does not wait. */
void cgroup_kill(const struct cgroup *cgroup, const char *name);

/* Kills what is in a runner's group and removes it and its monitor's everywhere. Blocks until they
 * are gone, for up to a second.
 */
int cgroup_remove(const struct cgroup *cgroup, const char *name, struct err *err);

/* Removes the prefix folder and those beside it, as far as they are empty. */
void cgroup_remove_prefix(const struct cgroup *cgroup);

#endif
