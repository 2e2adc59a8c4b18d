/* Control groups, shared by cgroup.c (finding and making the hierarchies), cgroup_start.c (how
 * processes get into them), cgroup_limits.c (what runners may have), cgroup_figures.c (what they
 * have used), cgroup_operations.c (an operation's own group) and cgroup_end.c (which groups there
 * are, and their end). For these alone.
 */
#ifndef WORKER_CGROUP_PRIVATE_H
#define WORKER_CGROUP_PRIVATE_H

#include "cgroup.h"

#define PATH_ROOM 512

/* The hierarchies we use. On v2 they are all the one tree, at HIERARCHY_MEMORY. */
enum hierarchy {
    HIERARCHY_MEMORY,
    HIERARCHY_PIDS,
    HIERARCHY_CPU,
    HIERARCHY_CPUACCT,
    HIERARCHY_FREEZER, /* v1: to kill one operation */
    HIERARCHIES,
};

/* Every path starts from one of these folders: the way there is half the cost of reading a small
 * file.
 */
struct cgroup {
    bool v2;
    char prefix[NAME_MAX_LEN + 1];
    char root[HIERARCHIES][PATH_ROOM]; /* mount points */
    int runners[HIERARCHIES];          /* root/PREFIX */
    int monitors[HIERARCHIES];         /* root/PREFIX.monitor */
};

/* cgroup.c */

/* How many of the hierarchies there are, from the first on. */
int cgroup_hierarchies(const struct cgroup *cgroup);

/* Those in which the monitors are in a group of ours too. */
int cgroup_monitor_hierarchies(const struct cgroup *cgroup);

/* The folder of the runners in the hierarchy that has a controller. */
int cgroup_runners_of(const struct cgroup *cgroup, enum hierarchy hierarchy);

/* PATH_ROOM bytes for name/file. Names have at most NAME_MAX_LEN bytes and files are ours, so it
 * fits.
 */
const char *cgroup_path_of(const char *name, const char *file, char path[PATH_ROOM]);

/* cgroup_operations.c */

/* Kills every process listed in a cgroup.procs file; returns how many there were. */
int cgroup_kill_listed(int folder, const char *path);

#endif
