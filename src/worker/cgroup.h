/* Control groups, both generations behind one interface: pure v2, and the hybrid layout in which
 * the controllers are v1 hierarchies. Kernel: Documentation/admin-guide/cgroup-v2.rst and
 * cgroup-v1/{memory,pids,cpuacct,freezer-subsystem}.rst.
 *
 * A runner's group is PREFIX/NAME in every hierarchy used. On v2 LXC makes and removes it (see
 * cgroup_lxc_items), on v1 we do (see cgroup_by_lxc). Nothing here keeps a state of its own, so
 * that threads may call it side by side.
 */
#ifndef WORKER_CGROUP_H
#define WORKER_CGROUP_H

#include "engine.h"

struct cgroup;

/* Where the monitors are, beside the prefix folder: on v2 LXC keeps each in a group of its own
 * there, and moves it to the pivot when it ends.
 */
#define CGROUP_MONITOR_SUFFIX ".monitor"
#define CGROUP_PIVOT_SUFFIX ".pivot"

/* Finds the hierarchies and makes the folder prefix in each. ERR_INTERNAL naming the controller
 * when memory, pids or cpu cannot be had.
 */
struct cgroup *cgroup_create(const char *prefix, struct err *err);

/* As cgroup_create, with another list of mounts than /proc/self/mounts (proc(5)): so that tests see
 * both generations on one machine.
 */
struct cgroup *cgroup_create_from(const char *mounts, const char *prefix, struct err *err);
void cgroup_destroy(struct cgroup *cgroup);

/* Bounds what all runners together may have, so that the host keeps the rest: memory, process
 * numbers, and processor time by a weight of half a process group's. Fails naming the file.
 */
struct cgroup_share {
    int64_t memory_bytes, processes;
};
int cgroup_bound_all(const struct cgroup *cgroup, const struct cgroup_share *share,
                     struct err *err);

/* Where the hierarchies are mounted that have a controller we count or limit by, and which it is;
 * "" on v2, where one has them all. Returns how many.
 */
#define CGROUP_ROOTS_MOST 4
struct cgroup_root {
    const char *path, *controller;
};
size_t cgroup_roots(const struct cgroup *cgroup, struct cgroup_root roots[CGROUP_ROOTS_MOST]);

/* "v1" (hybrid) or "v2". */
const char *cgroup_version(const struct cgroup *cgroup);

/* The descriptors that everything here works with: a process that closes others keeps these. */
#define CGROUP_DESCRIPTORS_MOST 9
size_t cgroup_descriptors(const struct cgroup *cgroup, int descriptors[CGROUP_DESCRIPTORS_MOST]);

/* Whether LXC is told of control groups. On v2 it is, and clones a container into its group. On v1
 * it would move processes by cgroup.procs, three times for each container and hierarchy, and each
 * time all forks, execs and ends of the host wait until those under way are over: with a fork bomb
 * that is long. A thread that writes "0" to `tasks` moves itself and makes nobody wait (Linux,
 * kernel/cgroup/cgroup.c, cgroup_procs_write_start), so there the starter joins the group of the
 * monitors, which its children inherit, and each agent joins its runner's.
 */
bool cgroup_by_lxc(const struct cgroup *cgroup);

/* Moves the calling process, which has one thread, to the group of the monitors. Nothing where it
 * is LXC that does that.
 */
int cgroup_join_monitors(const struct cgroup *cgroup, struct err *err);

/* Makes a runner's groups with these limits. joins are descriptors (not O_CLOEXEC) to which its
 * first process writes "0"; returns how many: 0 where it is LXC that does all that. -1 on failure;
 * what was made then goes with cgroup_try_remove.
 */
int cgroup_make_runner(const struct cgroup *cgroup, const char *name,
                       const struct engine_limits *limits, int joins[CGROUP_ROOTS_MOST],
                       struct err *err);

/* Calls item once for each LXC configuration item that sets these limits at the start: for none
 * where LXC is not told of groups. Returns false as soon as item does.
 */
bool cgroup_lxc_items(const struct cgroup *cgroup, const struct engine_limits *limits,
                      bool (*item)(const char *key, const char *value, void *data), void *data);

int cgroup_set_limits(const struct cgroup *cgroup, const char *name,
                      const struct engine_limits *limits, struct err *err);

int cgroup_stats(const struct cgroup *cgroup, const char *name, struct engine_stats *stats,
                 struct err *err);

/* What is cheap to look at often; what cannot be read is 0. */
struct engine_use cgroup_use(const struct cgroup *cgroup, const char *name);

/* BATCH: what is in the runner's group runs when nothing else wants the processor, as SCHED_IDLE
 * does among processes (cpu.idle, since 5.15; an older kernel has none). CURBED: so, and with a
 * tenth of its limit. ENDING: without its limit, so that who waits for the next share of it
 * goes on at once; it gives way as it did before. OVERDUE: without a limit, and gives way no more.
 */
void cgroup_set_pace(const struct cgroup *cgroup, const char *name, enum engine_pace pace,
                     const struct engine_limits *limits);

/* Lets the peak of memory begin anew where the kernel can (v1; v2 cannot from outside). */
void cgroup_reset_peak(const struct cgroup *cgroup, const char *name);

/* Writes the name of the runner in whose group a process is; false when it is in none of ours. */
bool cgroup_runner_of(const struct cgroup *cgroup, pid_t pid, char name[NAME_MAX_LEN + 1]);

/* Groups below the runner's, one for an operation, so that it can be killed alone. create makes one
 * unless it exists, and returns a descriptor to which a process writes "0" to join it; the caller
 * closes it. -1 on failure. They go with the runner.
 */
int cgroup_operation_create(const struct cgroup *cgroup, const char *name, unsigned number,
                            struct err *err);

/* Kills all that is in it. Takes up to half a second on v1 when processes hang in the kernel, no
 * time at all on v2.
 */
void cgroup_operation_kill(const struct cgroup *cgroup, const char *name, unsigned number);

/* Whether nothing is left in it, also when it is not there. */
bool cgroup_operation_empty(const struct cgroup *cgroup, const char *name, unsigned number);

/* How many there have been: one more than the highest number that is there. */
unsigned cgroup_operation_count(const struct cgroup *cgroup, const char *name);

/* Calls found once with the name of every group that belongs to a runner or to its monitor. */
void cgroup_each(const struct cgroup *cgroup, void (*found)(const char *name, void *data),
                 void *data);

/* Whether there still is a group of the runner, or of its monitor alone. */
bool cgroup_exists(const struct cgroup *cgroup, const char *name);

/* Kills what is in a runner's group; does not wait. */
void cgroup_kill(const struct cgroup *cgroup, const char *name);

/* Kills what is in a runner's group, and with monitor_too what is in its monitor's, and removes
 * what is empty. Does not wait; true when nothing is left, else call it again a little later.
 */
bool cgroup_try_remove(const struct cgroup *cgroup, const char *name, bool monitor_too);

/* The same until nothing is left; blocks for up to a second. */
int cgroup_remove(const struct cgroup *cgroup, const char *name, struct err *err);

/* Removes the prefix folder and those beside it, as far as they are empty. */
void cgroup_remove_prefix(const struct cgroup *cgroup);

#endif
