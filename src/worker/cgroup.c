#include "cgroup.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CPU_PERIOD_US 100000
#define PATH_ROOM 512

/* The hierarchies we use. On v2 they are all the one tree, at HIERARCHY_MEMORY. */
enum hierarchy {
    HIERARCHY_MEMORY,
    HIERARCHY_PIDS,
    HIERARCHY_CPU,
    HIERARCHY_CPUACCT,
    HIERARCHY_FREEZER, /* v1: ours alone, to kill one operation; LXC is not told of it */
    HIERARCHIES,
};

static const char *const controllers[HIERARCHIES] = {"memory", "pids", "cpu", "cpuacct", "freezer"};

/* Every path below starts from one of these folders: the way there is half the cost of reading a
 * small file.
 */
struct cgroup {
    bool v2;
    char prefix[NAME_MAX_LEN + 1];
    char root[HIERARCHIES][PATH_ROOM]; /* mount points */
    int runners[HIERARCHIES];          /* root/PREFIX */
    int monitors[HIERARCHIES];         /* root/PREFIX.monitor */
};

static int hierarchies(const struct cgroup *cgroup)
{
    return cgroup->v2 ? 1 : HIERARCHIES;
}

/* Those that LXC knows of, and in which monitors have groups too. */
static int lxc_hierarchies(const struct cgroup *cgroup)
{
    return cgroup->v2 ? 1 : HIERARCHY_FREEZER;
}

/* ---- finding and making them ---- */

static bool has_option(const char *options, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = options; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, len) == 0 && (at[len] == '\0' || at[len] == ',' || at[len] == '\n'))
            return true;
    }
    return false;
}

/* One line of a list of mounts: device, mount point, type, options (proc(5)). */
static void note_mount(struct cgroup *cgroup, char *line, char unified[PATH_ROOM])
{
    char *rest = line;
    strsep(&rest, " ");
    char *point = strsep(&rest, " ");
    char *type = strsep(&rest, " ");
    char *options = strsep(&rest, " ");
    if (!options || strlen(point) >= PATH_ROOM)
        return;
    if (strcmp(type, "cgroup2") == 0 && !unified[0])
        strcpy(unified, point);
    if (strcmp(type, "cgroup") != 0)
        return;
    for (int i = 0; i < HIERARCHIES; i++)
        if (!cgroup->root[i][0] && has_option(options, controllers[i]))
            strcpy(cgroup->root[i], point);
}

/* Where memory is a hierarchy of its own, the host is a hybrid one: a cgroup2 mount beside it has
 * no controllers.
 */
static int find_hierarchies(struct cgroup *cgroup, const char *mounts, struct err *err)
{
    FILE *list = FAULT(CGROUP_MOUNTS, NULL, fopen(mounts, "re"));
    if (!list)
        return err_sys(err, ERR_INTERNAL, errno, "%s", mounts);
    char *line = NULL, unified[PATH_ROOM] = "";
    size_t room = 0;
    while (getline(&line, &room, list) > 0)
        note_mount(cgroup, line, unified);
    free(line);
    fclose(list);
    if (!cgroup->root[HIERARCHY_MEMORY][0] && unified[0]) {
        cgroup->v2 = true;
        strcpy(cgroup->root[HIERARCHY_MEMORY], unified);
    }
    for (int i = 0; i < hierarchies(cgroup); i++)
        if (!cgroup->root[i][0])
            return err_set(err, ERR_INTERNAL, "no cgroup hierarchy has the %s controller",
                           controllers[i]);
    return 0;
}

/* v2: a folder has only the controllers that its parent hands down. */
static int hand_down(const char *folder, struct err *err)
{
    char path[PATH_ROOM + 32];
    str_format(path, sizeof(path), "%s/cgroup.subtree_control", folder);
    static const char *const wanted[] = {"+memory", "+pids", "+cpu"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (FAULT(CGROUP_HAND_DOWN, -1, fd_write_file(AT_FDCWD, path, wanted[i])) != 0)
            return err_sys(err, ERR_INTERNAL, errno, "cannot write %s to %s", wanted[i], path);
    return 0;
}

static int make_folder(const struct cgroup *cgroup, int hierarchy, const char *suffix,
                       struct err *err)
{
    char path[PATH_ROOM];
    if (!str_format(path, sizeof(path), "%s/%s%s", cgroup->root[hierarchy], cgroup->prefix, suffix))
        return err_set(err, ERR_INTERNAL, "path too long: %s", cgroup->root[hierarchy]);
    if (FAULT(CGROUP_MAKE, -1, mkdir(path, 0755)) != 0 && errno != EEXIST)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make cgroup %s", path);
    if (cgroup->v2 && !suffix[0] && hand_down(path, err) != 0)
        return -1;
    int folder = FAULT(CGROUP_OPEN, -1, open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    return folder >= 0 ? folder : err_sys(err, ERR_INTERNAL, errno, "%s", path);
}

static int make_folders(struct cgroup *cgroup, struct err *err)
{
    if (cgroup->v2 && hand_down(cgroup->root[0], err) != 0)
        return -1;
    for (int i = 0; i < hierarchies(cgroup); i++) {
        cgroup->runners[i] = make_folder(cgroup, i, "", err);
        if (cgroup->runners[i] < 0)
            return -1;
    }
    for (int i = 0; i < lxc_hierarchies(cgroup); i++) {
        cgroup->monitors[i] = make_folder(cgroup, i, CGROUP_MONITOR_SUFFIX, err);
        if (cgroup->monitors[i] < 0)
            return -1;
    }
    return 0;
}

struct cgroup *cgroup_create_from(const char *mounts, const char *prefix, struct err *err)
{
    struct cgroup *cgroup = mem_new(struct cgroup);
    for (int i = 0; i < HIERARCHIES; i++)
        cgroup->runners[i] = cgroup->monitors[i] = -1;
    if (str_format(cgroup->prefix, sizeof(cgroup->prefix), "%s", prefix)) {
        if (find_hierarchies(cgroup, mounts, err) == 0 && make_folders(cgroup, err) == 0)
            return cgroup;
    } else {
        err_set(err, ERR_INTERNAL, "%s: longer than a prefix may be", prefix);
    }
    cgroup_destroy(cgroup);
    return NULL;
}

struct cgroup *cgroup_create(const char *prefix, struct err *err)
{
    return cgroup_create_from("/proc/self/mounts", prefix, err);
}

void cgroup_destroy(struct cgroup *cgroup)
{
    if (!cgroup)
        return;
    for (int i = 0; i < HIERARCHIES; i++) {
        fd_close(&cgroup->runners[i]);
        fd_close(&cgroup->monitors[i]);
    }
    free(cgroup);
}

_Static_assert(HIERARCHY_FREEZER <= CGROUP_ROOTS_MOST, "there is room for each");

size_t cgroup_roots(const struct cgroup *cgroup, struct cgroup_root roots[CGROUP_ROOTS_MOST])
{
    size_t count = (size_t)lxc_hierarchies(cgroup);
    for (size_t i = 0; i < count; i++)
        roots[i] = (struct cgroup_root){cgroup->root[i], cgroup->v2 ? "" : controllers[i]};
    return count;
}

const char *cgroup_version(const struct cgroup *cgroup)
{
    return cgroup->v2 ? "v2" : "v1";
}

const char *cgroup_lxc_use(const struct cgroup *cgroup)
{
    return cgroup->v2 ? "" : "memory,pids,cpu,cpuacct";
}

/* ---- limits ---- */

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

/* The folder of the runners in the hierarchy that has a controller. */
static int runners_of(const struct cgroup *cgroup, enum hierarchy hierarchy)
{
    return cgroup->runners[cgroup->v2 ? HIERARCHY_MEMORY : hierarchy];
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
                  fd_write_file(runners_of(cgroup, at->hierarchy), at->file, at->value)) != 0 &&
            !at->optional)
            return err_sys(err, ERR_INTERNAL, errno, "cannot set %s of all runners to %s", at->file,
                           at->value);
    }
    return 0;
}

bool cgroup_lxc_items(const struct cgroup *cgroup, const struct engine_limits *limits,
                      bool (*item)(const char *key, const char *value, void *data), void *data)
{
    struct limit_files files = limit_files(cgroup, limits);
    for (size_t i = 0; i < files.count; i++) {
        const struct limit_file *at = &files.list[i];
        char key[64];
        str_format(key, sizeof(key), "%s.%s", cgroup->v2 ? "lxc.cgroup2" : "lxc.cgroup", at->file);
        /* LXC fails the start over a file that is not there. */
        if (at->optional && faccessat(runners_of(cgroup, at->hierarchy), at->file, F_OK, 0) != 0)
            continue;
        if (!item(key, at->value, data))
            return false;
    }
    return true;
}

/* PATH_ROOM bytes for name/file. Names have at most NAME_MAX_LEN bytes and files are ours, so it
 * fits.
 */
static const char *path_of(const char *name, const char *file, char path[PATH_ROOM])
{
    str_format(path, PATH_ROOM, "%s/%s", name, file);
    return path;
}

int cgroup_set_limits(const struct cgroup *cgroup, const char *name,
                      const struct engine_limits *limits, struct err *err)
{
    struct limit_files files = limit_files(cgroup, limits);
    for (size_t i = 0; i < files.count; i++) {
        const struct limit_file *at = &files.list[i];
        char path[PATH_ROOM];
        if (FAULT(CGROUP_LIMIT, -1,
                  fd_write_file(runners_of(cgroup, at->hierarchy), path_of(name, at->file, path),
                                at->value)) != 0 &&
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
                fd_write_file(runners_of(cgroup, HIERARCHY_CPU), path_of(name, file, path), value));
}

void cgroup_set_pace(const struct cgroup *cgroup, const char *name, enum engine_pace pace,
                     const struct engine_limits *limits)
{
    char quota[24];
    str_format(quota, sizeof(quota), "%" PRId64, limits->cpu_percent * (CPU_PERIOD_US / 100));
    const char *none = cgroup->v2 ? "max" : "-1";
    try_to_set(cgroup, name, cgroup->v2 ? "cpu.max" : "cpu.cfs_quota_us",
               pace == ENGINE_PACE_ENDING ? none : quota); /* the period stays */
    try_to_set(cgroup, name, "cpu.idle", pace == ENGINE_PACE_BATCH ? "1" : "0");
}

/* ---- figures ---- */

/* These files come whole in one read. */
static bool read_file(const struct cgroup *cgroup, enum hierarchy hierarchy, const char *name,
                      const char *file, char *text, size_t room)
{
    char path[PATH_ROOM];
    cleanup_close int fd = FAULT(
        CGROUP_READ, -1,
        openat(runners_of(cgroup, hierarchy), path_of(name, file, path), O_RDONLY | O_CLOEXEC));
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
                            path_of(name, "memory.max_usage_in_bytes", path), "0"));
}

/* Lines of /proc/PID/cgroup are "4:memory:/PREFIX/NAME", with more before it where our own root is
 * not the host's (cgroup_namespaces(7)), or behind it in an operation's group.
 */
bool cgroup_runner_of(const struct cgroup *cgroup, pid_t pid, char name[NAME_MAX_LEN + 1])
{
    char path[64], text[8192], wanted[NAME_MAX_LEN + 3];
    str_format(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    str_format(wanted, sizeof(wanted), "/%s/", cgroup->prefix);
    if (FAULT(AGENT_CGROUP, -1, fd_read_file(AT_FDCWD, path, text, sizeof(text))) <= 0)
        return false;
    const char *at = strstr(text, wanted);
    if (!at)
        return false;
    at += strlen(wanted);
    size_t len = strcspn(at, "/\n");
    if (len > NAME_MAX_LEN)
        return false;
    memcpy(name, at, len);
    name[len] = '\0';
    return id_name_valid(name);
}

/* ---- operations ---- */

static enum hierarchy operation_hierarchy(const struct cgroup *cgroup)
{
    return cgroup->v2 ? HIERARCHY_MEMORY : HIERARCHY_FREEZER;
}

static int operation_folder(const struct cgroup *cgroup)
{
    return cgroup->runners[operation_hierarchy(cgroup)];
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

/* Kills every process listed in a cgroup.procs file; returns how many there were. */
static int kill_listed(int folder, const char *path)
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
        int killed = kill_listed(folder, procs);
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

/* ---- the end of groups ---- */

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
    /* A worker that died in the middle of kill_v1 left it frozen, and frozen processes stay. */
    if (str_format(file, sizeof(file), "%s/freezer.state", path))
        fd_write_file(folder, file, "THAWED");
    if (str_format(file, sizeof(file), "%s/cgroup.procs", path))
        kill_listed(folder, file);
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
    for (int i = 0; i < hierarchies(cgroup); i++)
        folders[count++] = cgroup->runners[i];
    for (int i = 0; i < lxc_hierarchies(cgroup); i++)
        folders[count++] = cgroup->monitors[i];
    for (size_t i = 1; i <= count; i++)
        each_new(folders, i, found, data);
}

bool cgroup_exists(const struct cgroup *cgroup, const char *name)
{
    for (int i = 0; i < lxc_hierarchies(cgroup); i++)
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
    for (int i = 0; i < hierarchies(cgroup); i++)
        gone = try_remove_one(cgroup->runners[i], name, true) && gone;
    for (int i = 0; i < lxc_hierarchies(cgroup); i++)
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
    for (int i = 0; i < hierarchies(cgroup); i++) {
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
