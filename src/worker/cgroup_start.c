#include "cgroup_private.h"

#include "../common/fault.h"
#include "../common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

bool cgroup_by_lxc(const struct cgroup *cgroup)
{
    return cgroup->v2;
}

int cgroup_join_monitors(const struct cgroup *cgroup, struct err *err)
{
    if (cgroup_by_lxc(cgroup))
        return 0;
    for (int i = 0; i < cgroup_monitor_hierarchies(cgroup); i++)
        if (FAULT(CGROUP_MONITORS, -1, fd_write_file(cgroup->monitors[i], "tasks", "0")) != 0)
            return err_sys(err, ERR_INTERNAL, errno,
                           "cannot join cgroup %s/%s" CGROUP_MONITOR_SUFFIX, cgroup->root[i],
                           cgroup->prefix);
    return 0;
}

int cgroup_make_runner(const struct cgroup *cgroup, const char *name,
                       const struct engine_limits *limits, int joins[CGROUP_ROOTS_MOST],
                       struct err *err)
{
    int count = cgroup_monitor_hierarchies(cgroup);
    if (cgroup_by_lxc(cgroup))
        return 0;
    for (int i = 0; i < count; i++)
        if (FAULT(CGROUP_RUNNER, -1, mkdirat(cgroup->runners[i], name, 0755)) != 0 &&
            errno != EEXIST) /* cpu and cpuacct are one on many a host */
            return err_sys(err, ERR_INTERNAL, errno, "cannot make cgroup %s", name);
    if (cgroup_set_limits(cgroup, name, limits, err) != 0)
        return -1;
    for (int i = 0; i < count; i++) {
        char path[PATH_ROOM];
        joins[i] = FAULT(CGROUP_RUNNER_JOIN, -1,
                         openat(cgroup->runners[i], cgroup_path_of(name, "tasks", path), O_WRONLY));
        if (joins[i] < 0)
            return err_sys(err, ERR_INTERNAL, errno, "cannot open cgroup %s", path);
    }
    return count;
}
