#include "cgroup_private.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* Calls each for the groups below one, with their paths from folder. */
static void each_below(int folder, const char *path, void (*each)(int folder, const char *path))
{
    int fd = openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        char below[PATH_ROOM];
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            str_format(below, sizeof(below), "%s/%s", path, entry->d_name))
            each(folder, below);
    }
    closedir(entries);
}

/* Removes a group and those below it, as far as they are empty. */
static void remove_group(int folder, const char *path)
{
    if (unlinkat(folder, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return;
    each_below(folder, path, remove_group);
    unlinkat(folder, path, AT_REMOVEDIR);
}

static void kill_group(int folder, const char *path)
{
    char file[PATH_ROOM];
    /* A worker that died in the middle of killing an operation left it frozen, and frozen
     * processes stay.
     */
    if (str_format(file, sizeof(file), "%s/freezer.state", path))
        fd_write_file(folder, file, "THAWED");
    if (str_format(file, sizeof(file), "%s/cgroup.procs", path))
        cgroup_kill_listed(folder, file);
    each_below(folder, path, kill_group);
}

static bool is_there(int folder, const char *name)
{
    return faccessat(folder, name, F_OK, 0) == 0;
}

/* The names in the last of these folders that none before it has. */
static void each_new(const int *folders, size_t count, void (*found)(const char *name, void *data),
                     void *data)
{
    int fd = openat(folders[count - 1], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        size_t earlier = 0;
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        while (earlier + 1 < count && !is_there(folders[earlier], entry->d_name))
            earlier++;
        if (earlier + 1 == count)
            found(entry->d_name, data);
    }
    closedir(entries);
}

void cgroup_each(const struct cgroup *cgroup, void (*found)(const char *name, void *data),
                 void *data)
{
    int folders[2 * HIERARCHIES];
    size_t count = 0;
    for (int i = 0; i < cgroup_hierarchies(cgroup); i++)
        folders[count++] = cgroup->runners[i];
    for (int i = 0; i < cgroup_monitor_hierarchies(cgroup); i++)
        folders[count++] = cgroup->monitors[i];
    for (size_t i = 1; i <= count; i++)
        each_new(folders, i, found, data);
}

bool cgroup_exists(const struct cgroup *cgroup, const char *name)
{
    for (int i = 0; i < cgroup_monitor_hierarchies(cgroup); i++)
        if (is_there(cgroup->runners[i], name) || is_there(cgroup->monitors[i], name))
            return true;
    return false;
}

void cgroup_kill(const struct cgroup *cgroup, const char *name)
{
    kill_group(cgroup->runners[HIERARCHY_MEMORY], name);
    if (!cgroup->v2)
        kill_group(cgroup->runners[HIERARCHY_FREEZER], name); /* thaws it */
}

static bool try_remove_one(int folder, const char *name, bool kill_it)
{
    if (FAULT(CGROUP_REMOVE, -1, unlinkat(folder, name, AT_REMOVEDIR)) == 0 || errno == ENOENT)
        return true;
    if (kill_it)
        kill_group(folder, name);
    remove_group(folder, name);
    return !is_there(folder, name);
}

bool cgroup_try_remove(const struct cgroup *cgroup, const char *name, bool monitor_too)
{
    bool gone = true;
    for (int i = 0; i < cgroup_hierarchies(cgroup); i++)
        gone = try_remove_one(cgroup->runners[i], name, true) && gone;
    for (int i = 0; i < cgroup_monitor_hierarchies(cgroup); i++)
        gone = try_remove_one(cgroup->monitors[i], name, monitor_too) && gone;
    return gone;
}

int cgroup_remove(const struct cgroup *cgroup, const char *name, struct err *err)
{
    /* A monitor tidies up and ends by itself once its container is dead: it gets half the time. */
    const struct timespec pause = {.tv_nsec = 2000000};
    const int rounds = 500;
    for (int round = 0; round < rounds; round++) {
        if (cgroup_try_remove(cgroup, name, round > rounds / 2))
            return 0;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_INTERNAL, "the cgroup of %s is still busy after a second", name);
}

static bool try_remove_prefix(const struct cgroup *cgroup, bool kill_it)
{
    /* LXC makes a folder of its own in the pivot. */
    static const char *const suffixes[] = {CGROUP_PIVOT_SUFFIX, CGROUP_MONITOR_SUFFIX, ""};
    bool gone = true;
    for (int i = 0; i < cgroup_hierarchies(cgroup); i++) {
        for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
            char path[PATH_ROOM];
            if (str_format(path, sizeof(path), "%s/%s%s", cgroup->root[i], cgroup->prefix,
                           suffixes[k]))
                gone = try_remove_one(AT_FDCWD, path, kill_it) && gone;
        }
    }
    return gone;
}

void cgroup_remove_prefix(const struct cgroup *cgroup)
{
    /* A monitor spends its last moments in the pivot, and those of adopted runners are nobody's
     * children here: it gets half the time.
     */
    const struct timespec pause = {.tv_nsec = 2000000};
    const int rounds = 500;
    for (int round = 0; round < rounds && !try_remove_prefix(cgroup, round > rounds / 2); round++)
        nanosleep(&pause, NULL);
}
