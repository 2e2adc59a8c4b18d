#include "cgroup_private.h"

#include "../common/fault.h"
#include "../common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* These files come whole in one read. */
static bool read_file(const struct cgroup *cgroup, enum hierarchy hierarchy, const char *name,
                      const char *file, char *text, size_t room)
{
    char path[PATH_ROOM];
    cleanup_close int fd = FAULT(CGROUP_READ, -1,
                                 openat(cgroup_runners_of(cgroup, hierarchy),
                                        cgroup_path_of(name, file, path), O_RDONLY | O_CLOEXEC));
    ssize_t len = fd < 0 ? -1 : read(fd, text, room - 1);
    if (len < 0)
        return false;
    text[len] = '\0';
    return true;
}

/* The number after "key " at the start of a line of a flat-keyed file; 0 when it is not there. */
static int64_t keyed(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoll(line + len + 1, NULL, 10);
    }
    return 0;
}

static int64_t single(const struct cgroup *cgroup, enum hierarchy hierarchy, const char *name,
                      const char *file)
{
    char text[64];
    return read_file(cgroup, hierarchy, name, file, text, sizeof(text)) ? strtoll(text, NULL, 10)
                                                                        : 0;
}

static int64_t from_keyed(const struct cgroup *cgroup, enum hierarchy hierarchy, const char *name,
                          const char *file, const char *key)
{
    char text[1024];
    return read_file(cgroup, hierarchy, name, file, text, sizeof(text)) ? keyed(text, key) : 0;
}

int64_t cgroup_cpu_us(const struct cgroup *cgroup, const char *name)
{
    if (cgroup->v2)
        return from_keyed(cgroup, HIERARCHY_CPU, name, "cpu.stat", "usage_usec");
    return single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage") / 1000;
}

static void stats_v2(const struct cgroup *cgroup, const char *name, struct engine_stats *stats)
{
    char text[2048];
    stats->memory_peak_bytes = single(cgroup, HIERARCHY_MEMORY, name, "memory.peak"); /* 5.19 */
    if (read_file(cgroup, HIERARCHY_CPU, name, "cpu.stat", text, sizeof(text))) {
        stats->cpu_us = keyed(text, "usage_usec");
        stats->user_us = keyed(text, "user_usec");
        stats->system_us = keyed(text, "system_usec");
    }
    stats->oom_kills = from_keyed(cgroup, HIERARCHY_MEMORY, name, "memory.events", "oom_kill");
    stats->pids_refused = from_keyed(cgroup, HIERARCHY_PIDS, name, "pids.events", "max");
}

static void stats_v1(const struct cgroup *cgroup, const char *name, struct engine_stats *stats)
{
    stats->memory_peak_bytes = single(cgroup, HIERARCHY_MEMORY, name, "memory.max_usage_in_bytes");
    stats->cpu_us = cgroup_cpu_us(cgroup, name);
    stats->user_us = single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage_user") / 1000;
    if (stats->user_us > stats->cpu_us)
        stats->user_us = stats->cpu_us;
    stats->system_us = stats->cpu_us - stats->user_us;
    stats->oom_kills = from_keyed(cgroup, HIERARCHY_MEMORY, name, "memory.oom_control", "oom_kill");
    stats->pids_refused = from_keyed(cgroup, HIERARCHY_PIDS, name, "pids.events", "max");
}

int cgroup_stats(const struct cgroup *cgroup, const char *name, struct engine_stats *stats,
                 struct err *err)
{
    char text[64];
    *stats = (struct engine_stats){0};
    if (!read_file(cgroup, HIERARCHY_MEMORY, name,
                   cgroup->v2 ? "memory.current" : "memory.usage_in_bytes", text, sizeof(text)))
        return err_sys(err, ERR_INTERNAL, errno, "cannot read the cgroup of %s", name);
    stats->memory_bytes = strtoll(text, NULL, 10);
    if (cgroup->v2)
        stats_v2(cgroup, name, stats);
    else
        stats_v1(cgroup, name, stats);
    return 0;
}

void cgroup_reset_peak(const struct cgroup *cgroup, const char *name)
{
    char path[PATH_ROOM];
    if (!cgroup->v2)
        FAULT(CGROUP_PEAK, -1,
              fd_write_file(cgroup->runners[HIERARCHY_MEMORY],
                            cgroup_path_of(name, "memory.max_usage_in_bytes", path), "0"));
}
