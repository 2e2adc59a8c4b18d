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

struct engine_use cgroup_use(const struct cgroup *cgroup, const char *name)
{
    struct engine_use use = {
        .processes = single(cgroup, HIERARCHY_PIDS, name, "pids.current"),
        .pids_refused = from_keyed(cgroup, HIERARCHY_PIDS, name, "pids.events", "max"),
    };
    char text[2048];
    if (!cgroup->v2) {
        use.cpu_us = single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage") / 1000;
        use.user_us = single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage_user") / 1000;
    } else if (read_file(cgroup, HIERARCHY_CPU, name, "cpu.stat", text, sizeof(text))) {
        use.cpu_us = keyed(text, "usage_usec");
        use.user_us = keyed(text, "user_usec");
    }
    if (use.user_us > use.cpu_us)
        use.user_us = use.cpu_us;
    return use;
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
    stats->memory_peak_bytes = single(cgroup, HIERARCHY_MEMORY, name,
                                      cgroup->v2 ? "memory.peak" /* 5.19 */
                                                 : "memory.max_usage_in_bytes");
    stats->oom_kills = from_keyed(cgroup, HIERARCHY_MEMORY, name,
                                  cgroup->v2 ? "memory.events" : "memory.oom_control", "oom_kill");
    const struct engine_use use = cgroup_use(cgroup, name);
    stats->cpu_us = use.cpu_us;
    stats->user_us = use.user_us;
    stats->system_us = use.cpu_us - use.user_us;
    stats->pids_refused = use.pids_refused;
    stats->processes = use.processes;
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
