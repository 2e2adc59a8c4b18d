#include "cgroup_private.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int operation_folder(const struct cgroup *cgroup)
{
    return cgroup_runners_of(cgroup, HIERARCHY_FREEZER);
}

#define OPERATION_PREFIX "op-"

/* NAME/op-NUMBER, with "/file" behind it unless that is NULL. */
static const char *operation_path(const char *name, unsigned number, const char *file,
                                  char path[PATH_ROOM])
{
    str_format(path, PATH_ROOM, "%s/" OPERATION_PREFIX "%u%s%s", name, number, file ? "/" : "",
               file ? file : "");
    return path;
}

/* On v1 the runner's own group is made here too: LXC knows nothing of this hierarchy. */
static int make_operation(const struct cgroup *cgroup, const char *name, const char *path)
{
    int folder = operation_folder(cgroup);
    if (FAULT(CGROUP_OPERATION, -1, mkdirat(folder, path, 0755)) == 0 || errno == EEXIST)
        return 0;
    if (cgroup->v2 || errno != ENOENT || mkdirat(folder, name, 0755) != 0)
        return -1;
    return mkdirat(folder, path, 0755);
}

int cgroup_operation_create(const struct cgroup *cgroup, const char *name, unsigned number,
                            struct err *err)
{
    char path[PATH_ROOM];
    if (make_operation(cgroup, name, operation_path(name, number, NULL, path)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make cgroup %s", path);
    /* v1 moves a single thread through `tasks` without waiting for RCU; on v2 a process must move
     * as a whole.
     */
    operation_path(name, number, cgroup->v2 ? "cgroup.procs" : "tasks", path);
    int fd = FAULT(CGROUP_JOIN, -1, openat(operation_folder(cgroup), path, O_WRONLY | O_CLOEXEC));
    if (fd < 0)
        err_sys(err, ERR_INTERNAL, errno, "cannot open cgroup %s", path);
    return fd;
}

static FILE *open_list(int folder, const char *path)
{
    int fd = FAULT(CGROUP_LIST, -1, openat(folder, path, O_RDONLY | O_CLOEXEC));
    FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
    if (!list && fd >= 0)
        close(fd);
    return list;
}

int cgroup_kill_listed(int folder, const char *path)
{
    FILE *list = open_list(folder, path);
    if (!list)
        return 0;
    int count = 0;
    for (int pid; fscanf(list, "%d", &pid) == 1; count++)
        if (pid > 0) /* 0 stands for one that our pid namespace does not have */
            kill(pid, SIGKILL);
    fclose(list);
    return count;
}

/* Freezing takes effect when each task next enters the kernel; the state file then says FROZEN. One
 * that hangs in the kernel does not, nor can it fork: 10 ms are enough for the others.
 */
static void freeze_v1(int folder, const char *state)
{
    const struct timespec pause = {.tv_nsec = 500000};
    char text[32];
    FAULT(CGROUP_FREEZE, -1, fd_write_file(folder, state, "FROZEN"));
    for (int i = 0; i < 20; i++) {
        if (fd_read_file(folder, state, text, sizeof(text)) <= 0 || str_starts_with(text, "FROZEN"))
            return;
        nanosleep(&pause, NULL);
    }
}

/* v1 has no cgroup.kill: freeze, so that nothing forks, kill all, thaw, and again until none is
 * left. A kill of a frozen process takes effect when it thaws.
 */
static void kill_v1(int folder, const char *name, unsigned number)
{
    char state[PATH_ROOM], procs[PATH_ROOM];
    operation_path(name, number, "freezer.state", state);
    operation_path(name, number, "cgroup.procs", procs);
    for (int round = 0; round < 50; round++) {
        freeze_v1(folder, state);
        int killed = cgroup_kill_listed(folder, procs);
        FAULT(CGROUP_THAW, -1, fd_write_file(folder, state, "THAWED"));
        if (killed == 0)
            return;
    }
}

void cgroup_operation_kill(const struct cgroup *cgroup, const char *name, unsigned number)
{
    char path[PATH_ROOM];
    if (cgroup->v2)
        FAULT(CGROUP_KILL, -1,
              fd_write_file(operation_folder(cgroup),
                            operation_path(name, number, "cgroup.kill", path), "1"));
    else
        kill_v1(operation_folder(cgroup), name, number);
}

bool cgroup_operation_empty(const struct cgroup *cgroup, const char *name, unsigned number)
{
    char path[PATH_ROOM], first;
    cleanup_close int fd =
        openat(operation_folder(cgroup), operation_path(name, number, "cgroup.procs", path),
               O_RDONLY | O_CLOEXEC);
    return fd < 0 || read(fd, &first, 1) <= 0;
}

unsigned cgroup_operation_count(const struct cgroup *cgroup, const char *name)
{
    int fd = openat(operation_folder(cgroup), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    unsigned count = 0;
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        int64_t number;
        if (str_starts_with(entry->d_name, OPERATION_PREFIX) &&
            str_to_int(entry->d_name + strlen(OPERATION_PREFIX), 0, INT32_MAX, &number) &&
            number >= count)
            count = (unsigned)number + 1;
    }
    closedir(folder);
    return count;
}
