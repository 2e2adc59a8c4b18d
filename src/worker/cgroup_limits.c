#include "cgroup_private.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define CPU_PERIOD_US 100000
#define QUOTA_LEAST_US 1000 /* the kernel's bound */
#define CURBED_PART 10      /* of its limit is what a runner has that is curbed */

/* What a limit is called and how its value is written, for each generation. Order: v1 wants
 * memory.limit_in_bytes at or below memsw at all times, so it is tried before and after.
 */
struct limit_file {
    enum hierarchy hierarchy;
    const char *file;
    bool optional; /* the kernel may be built without it (swap accounting), or it may fail first */
    char value[48];
};

struct limit_files {
    struct limit_file list[6];
    size_t count;
};

__attribute__((format(printf, 5, 6))) static void add_limit(struct limit_files *files,
                                                            enum hierarchy hierarchy,
                                                            const char *file, bool optional,
                                                            const char *fmt, ...)
{
    struct limit_file *at = &files->list[files->count++];
    *at = (struct limit_file){.hierarchy = hierarchy, .file = file, .optional = optional};
    va_list args;
    va_start(args, fmt);
    vsnprintf(at->value, sizeof(at->value), fmt, args); /* room for two numbers */
    va_end(args);
}

static struct limit_files limit_files(const struct cgroup *cgroup,
                                      const struct engine_limits *limits)
{
    struct limit_files files = {.count = 0};
    int64_t memory = limits->memory_bytes;
    int64_t quota_us = limits->cpu_percent * (CPU_PERIOD_US / 100);
    if (cgroup->v2) {
        add_limit(&files, HIERARCHY_MEMORY, "memory.max", false, "%" PRId64, memory);
        add_limit(&files, HIERARCHY_MEMORY, "memory.swap.max", true, "0");
        add_limit(&files, HIERARCHY_PIDS, "pids.max", false, "%" PRId64, limits->processes);
        add_limit(&files, HIERARCHY_CPU, "cpu.max", false, "%" PRId64 " %d", quota_us,
                  CPU_PERIOD_US);
    } else {
        add_limit(&files, HIERARCHY_MEMORY, "memory.limit_in_bytes", true, "%" PRId64, memory);
        add_limit(&files, HIERARCHY_MEMORY, "memory.memsw.limit_in_bytes", true, "%" PRId64,
                  memory);
        add_limit(&files, HIERARCHY_MEMORY, "memory.limit_in_bytes", false, "%" PRId64, memory);
        add_limit(&files, HIERARCHY_PIDS, "pids.max", false, "%" PRId64, limits->processes);
        add_limit(&files, HIERARCHY_CPU, "cpu.cfs_period_us", false, "%d", CPU_PERIOD_US);
        add_limit(&files, HIERARCHY_CPU, "cpu.cfs_quota_us", false, "%" PRId64, quota_us);
    }
    return files;
}

int cgroup_bound_all(const struct cgroup *cgroup, const struct cgroup_share *share, struct err *err)
{
    struct limit_files files = {.count = 0};
    bool v2 = cgroup->v2;
    add_limit(&files, HIERARCHY_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes", false,
              "%" PRId64, share->memory_bytes);
    if (!v2) /* the memory of those above it is reclaimed first: that of runners */
        add_limit(&files, HIERARCHY_MEMORY, "memory.soft_limit_in_bytes", true, "0");
    add_limit(&files, HIERARCHY_PIDS, "pids.max", false, "%" PRId64, share->processes);
    add_limit(&files, HIERARCHY_CPU, v2 ? "cpu.weight" : "cpu.shares", false, "%d", v2 ? 50 : 512);
    for (size_t i = 0; i < files.count; i++) {
        const struct limit_file *at = &files.list[i];
        if (FAULT(CGROUP_BOUND, -1,
                  fd_write_file(cgroup_runners_of(cgroup, at->hierarchy), at->file, at->value)) !=
                0 &&
            !at->optional)
            return err_sys(err, ERR_INTERNAL, errno, "cannot set %s of all runners to %s", at->file,
                           at->value);
    }
    return 0;
}

bool cgroup_lxc_items(const struct cgroup *cgroup, const struct engine_limits *limits,
                      bool (*item)(const char *key, const char *value, void *data), void *data)
{
    if (!cgroup_by_lxc(cgroup))
        return true;
    struct limit_files files = limit_files(cgroup, limits);
    for (size_t i = 0; i < files.count; i++) {
        const struct limit_file *at = &files.list[i];
        char key[64];
        str_format(key, sizeof(key), "lxc.cgroup2.%s", at->file);
        /* LXC fails the start over a file that is not there. */
        if (at->optional &&
            faccessat(cgroup_runners_of(cgroup, at->hierarchy), at->file, F_OK, 0) != 0)
            continue;
        if (!item(key, at->value, data))
            return false;
    }
    return true;
}

int cgroup_set_limits(const struct cgroup *cgroup, const char *name,
                      const struct engine_limits *limits, struct err *err)
{
    struct limit_files files = limit_files(cgroup, limits);
    for (size_t i = 0; i < files.count; i++) {
        const struct limit_file *at = &files.list[i];
        char path[PATH_ROOM];
        if (FAULT(CGROUP_LIMIT, -1,
                  fd_write_file(cgroup_runners_of(cgroup, at->hierarchy),
                                cgroup_path_of(name, at->file, path), at->value)) != 0 &&
            !at->optional)
            return err_sys(err, ERR_INTERNAL, errno, "cannot set %s of %s to %s", at->file, name,
                           at->value);
    }
    return 0;
}

/* It is no more than help: a runner is held as well without. */
static void try_to_set(const struct cgroup *cgroup, const char *name, const char *file,
                       const char *value)
{
    char path[PATH_ROOM];
    (void)FAULT(CGROUP_PACE, -1,
                fd_write_file(cgroup_runners_of(cgroup, HIERARCHY_CPU),
                              cgroup_path_of(name, file, path), value));
}

void cgroup_set_pace(const struct cgroup *cgroup, const char *name, enum engine_pace pace,
                     const struct engine_limits *limits)
{
    int64_t quota_us = limits->cpu_percent * (CPU_PERIOD_US / 100);
    if (pace == ENGINE_PACE_CURBED)
        quota_us /= CURBED_PART;
    char quota[24];
    if (pace == ENGINE_PACE_ENDING || pace == ENGINE_PACE_OVERDUE)
        str_format(quota, sizeof(quota), "%s", cgroup->v2 ? "max" : "-1");
    else
        str_format(quota, sizeof(quota), "%" PRId64,
                   quota_us > QUOTA_LEAST_US ? quota_us : QUOTA_LEAST_US);
    bool gives_way = pace == ENGINE_PACE_BATCH || pace == ENGINE_PACE_CURBED;
    try_to_set(cgroup, name, cgroup->v2 ? "cpu.max" : "cpu.cfs_quota_us", quota); /* period stays */
    if (pace != ENGINE_PACE_ENDING)
        try_to_set(cgroup, name, "cpu.idle", gives_way ? "1" : "0");
}
