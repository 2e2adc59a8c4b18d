#include "cgroup.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
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

struct cgroup {
    bool v2;
    char prefix[NAME_MAX_LEN + 1];
    char root[HIERARCHIES][PATH_ROOM]; /* mount points; the same one for all on v2 */
};

static int hierarchies(const struct cgroup *cgroup)
{
    return cgroup->v2 ? 1 : HIERARCHIES;
}

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

/* One line of /proc/self/mounts: device, mount point, type, options (proc(5)). */
static void note_mount(struct cgroup *cgroup, char *line)
{
    char *rest = line;
    strsep(&rest, " ");
    char *point = strsep(&rest, " ");
    char *type = strsep(&rest, " ");
    char *options = strsep(&rest, " ");
    if (!options || strlen(point) >= PATH_ROOM)
        return;
    if (strcmp(type, "cgroup2") == 0 && strcmp(point, "/sys/fs/cgroup") == 0) {
        cgroup->v2 = true;
        strcpy(cgroup->root[HIERARCHY_MEMORY], point);
    }
    if (strcmp(type, "cgroup") != 0)
        return;
    for (int i = 0; i < HIERARCHIES; i++)
        if (!cgroup->root[i][0] && has_option(options, controllers[i]))
            strcpy(cgroup->root[i], point);
}

static int find_hierarchies(struct cgroup *cgroup, struct err *err)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    if (!mounts)
        return err_sys(err, ERR_INTERNAL, errno, "/proc/self/mounts");
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, mounts) > 0)
        note_mount(cgroup, line);
    free(line);
    fclose(mounts);
    for (int i = 0; i < hierarchies(cgroup); i++)
        if (!cgroup->root[i][0])
            return err_set(err, ERR_INTERNAL, "no cgroup hierarchy has the %s controller",
                           controllers[i]);
    return 0;
}

/* PATH_ROOM bytes for root/prefix.monitor/name, where LXC keeps the container's monitor. */
static bool monitor_path(const struct cgroup *cgroup, int hierarchy, const char *name, char *path)
{
    return str_format(path, PATH_ROOM, "%s/%s" CGROUP_MONITOR_SUFFIX "/%s", cgroup->root[hierarchy],
                      cgroup->prefix, name);
}

/* PATH_ROOM bytes for root/prefix[/name[/file]]; false when they do not fit. */
static bool path_of(const struct cgroup *cgroup, int hierarchy, const char *name, const char *file,
                    char *path)
{
    return str_format(path, PATH_ROOM, "%s/%s%s%s%s%s", cgroup->root[hierarchy], cgroup->prefix,
                      name ? "/" : "", name ? name : "", file ? "/" : "", file ? file : "");
}

static int write_value(const struct cgroup *cgroup, int hierarchy, const char *name,
                       const char *file, const char *value)
{
    char path[PATH_ROOM];
    if (!path_of(cgroup, cgroup->v2 ? 0 : hierarchy, name, file, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return fd_write_file(AT_FDCWD, path, value);
}

static ssize_t read_value(const struct cgroup *cgroup, int hierarchy, const char *name,
                          const char *file, char *text, size_t room)
{
    char path[PATH_ROOM];
    if (!path_of(cgroup, cgroup->v2 ? 0 : hierarchy, name, file, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return fd_read_file(AT_FDCWD, path, text, room);
}

/* v2: a folder has only the controllers that its parent hands down. */
static int hand_down(const char *folder, struct err *err)
{
    char path[PATH_ROOM + 32];
    str_format(path, sizeof(path), "%s/cgroup.subtree_control", folder);
    static const char *const wanted[] = {"+memory", "+pids", "+cpu"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (fd_write_file(AT_FDCWD, path, wanted[i]) != 0)
            return err_sys(err, ERR_INTERNAL, errno, "cannot write %s to %s", wanted[i], path);
    return 0;
}

static int make_prefix(struct cgroup *cgroup, struct err *err)
{
    for (int i = 0; i < hierarchies(cgroup); i++) {
        char path[PATH_ROOM];
        if (!path_of(cgroup, i, NULL, NULL, path))
            return err_set(err, ERR_INTERNAL, "%s: path too long", cgroup->root[i]);
        if (cgroup->v2 && hand_down(cgroup->root[i], err) != 0)
            return -1;
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return err_sys(err, ERR_INTERNAL, errno, "cannot make cgroup %s", path);
        if (cgroup->v2 && hand_down(path, err) != 0)
            return -1;
    }
    return 0;
}

struct cgroup *cgroup_create(const char *prefix, struct err *err)
{
    struct cgroup *cgroup = mem_new(struct cgroup);
    if (!str_format(cgroup->prefix, sizeof(cgroup->prefix), "%s", prefix) ||
        find_hierarchies(cgroup, err) != 0 || make_prefix(cgroup, err) != 0) {
        free(cgroup);
        return NULL;
    }
    return cgroup;
}

void cgroup_destroy(struct cgroup *cgroup)
{
    free(cgroup);
}

const char *cgroup_version(const struct cgroup *cgroup)
{
    return cgroup->v2 ? "v2" : "v1";
}

const char *cgroup_lxc_use(const struct cgroup *cgroup)
{
    return cgroup->v2 ? "" : "memory,pids,cpu,cpuacct";
}

/* What a limit is called and how its value is written, for each generation; file NULL ends.
 * Order: v1 wants memory.limit_in_bytes at or below memsw at all times, so it is tried twice.
 */
struct limit_file {
    int hierarchy;
    const char *file;
    char value[48];
    bool optional; /* the kernel may be built without it (swap accounting) */
};

#define LIMIT_FILES 6

static size_t limit_files(const struct cgroup *cgroup, const struct engine_limits *limits,
                          struct limit_file files[LIMIT_FILES])
{
    size_t n = 0;
#define ADD(which, name, is_optional, ...)                                                         \
    do {                                                                                           \
        files[n] =                                                                                 \
            (struct limit_file){.hierarchy = (which), .file = (name), .optional = (is_optional)};  \
        str_format(files[n].value, sizeof(files[n].value), __VA_ARGS__);                           \
        n++;                                                                                       \
    } while (0)
    int64_t quota_us = limits->cpu_percent * (CPU_PERIOD_US / 100);
    if (cgroup->v2) {
        ADD(HIERARCHY_MEMORY, "memory.max", false, "%" PRId64, limits->memory_bytes);
        ADD(HIERARCHY_MEMORY, "memory.swap.max", true, "0");
        ADD(HIERARCHY_PIDS, "pids.max", false, "%" PRId64, limits->processes);
        ADD(HIERARCHY_CPU, "cpu.max", false, "%" PRId64 " %d", quota_us, CPU_PERIOD_US);
    } else {
        ADD(HIERARCHY_MEMORY, "memory.limit_in_bytes", true, "%" PRId64, limits->memory_bytes);
        ADD(HIERARCHY_MEMORY, "memory.memsw.limit_in_bytes", true, "%" PRId64,
            limits->memory_bytes);
        ADD(HIERARCHY_MEMORY, "memory.limit_in_bytes", false, "%" PRId64, limits->memory_bytes);
        ADD(HIERARCHY_PIDS, "pids.max", false, "%" PRId64, limits->processes);
        ADD(HIERARCHY_CPU, "cpu.cfs_period_us", false, "%d", CPU_PERIOD_US);
        ADD(HIERARCHY_CPU, "cpu.cfs_quota_us", false, "%" PRId64, quota_us);
    }
#undef ADD
    return n;
}

bool cgroup_lxc_items(const struct cgroup *cgroup, const struct engine_limits *limits,
                      bool (*item)(const char *key, const char *value, void *data), void *data)
{
    struct limit_file files[LIMIT_FILES];
    size_t count = limit_files(cgroup, limits, files);
    for (size_t i = 0; i < count; i++) {
        char key[64], path[PATH_ROOM];
        str_format(key, sizeof(key), "%s.%s", cgroup->v2 ? "lxc.cgroup2" : "lxc.cgroup",
                   files[i].file);
        /* LXC fails the start over a file that is not there. */
        if (files[i].optional &&
            (!path_of(cgroup, cgroup->v2 ? 0 : files[i].hierarchy, NULL, files[i].file, path) ||
             access(path, F_OK) != 0))
            continue;
        if (!item(key, files[i].value, data))
            return false;
    }
    return true;
}

int cgroup_set_limits(const struct cgroup *cgroup, const char *name,
                      const struct engine_limits *limits, struct err *err)
{
    struct limit_file files[LIMIT_FILES];
    size_t count = limit_files(cgroup, limits, files);
    for (size_t i = 0; i < count; i++)
        if (write_value(cgroup, files[i].hierarchy, name, files[i].file, files[i].value) != 0 &&
            !files[i].optional)
            return err_sys(err, ERR_INTERNAL, errno, "cannot set %s of %s to %s", files[i].file,
                           name, files[i].value);
    return 0;
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

static int64_t single(const struct cgroup *cgroup, int hierarchy, const char *name,
                      const char *file)
{
    char text[64];
    return read_value(cgroup, hierarchy, name, file, text, sizeof(text)) > 0
               ? strtoll(text, NULL, 10)
               : 0;
}

static int64_t from_keyed(const struct cgroup *cgroup, int hierarchy, const char *name,
                          const char *file, const char *key)
{
    char text[1024];
    return read_value(cgroup, hierarchy, name, file, text, sizeof(text)) > 0 ? keyed(text, key) : 0;
}

static void stats_v2(const struct cgroup *cgroup, const char *name, struct engine_stats *stats)
{
    char text[2048];
    stats->memory_peak_bytes = single(cgroup, 0, name, "memory.peak"); /* since 5.19 */
    if (read_value(cgroup, 0, name, "cpu.stat", text, sizeof(text)) > 0) {
        stats->cpu_us = keyed(text, "usage_usec");
        stats->user_us = keyed(text, "user_usec");
        stats->system_us = keyed(text, "system_usec");
    }
    stats->oom_kills = from_keyed(cgroup, 0, name, "memory.events", "oom_kill");
    stats->pids_refused = from_keyed(cgroup, 0, name, "pids.events", "max");
}

static void stats_v1(const struct cgroup *cgroup, const char *name, struct engine_stats *stats)
{
    stats->memory_peak_bytes = single(cgroup, HIERARCHY_MEMORY, name, "memory.max_usage_in_bytes");
    stats->cpu_us = single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage") / 1000;
    stats->user_us = single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage_user") / 1000;
    stats->system_us = single(cgroup, HIERARCHY_CPUACCT, name, "cpuacct.usage_sys") / 1000;
    stats->oom_kills = from_keyed(cgroup, HIERARCHY_MEMORY, name, "memory.oom_control", "oom_kill");
    stats->pids_refused = from_keyed(cgroup, HIERARCHY_PIDS, name, "pids.events", "max");
}

int cgroup_stats(const struct cgroup *cgroup, const char *name, struct engine_stats *stats,
                 struct err *err)
{
    char text[64];
    *stats = (struct engine_stats){0};
    if (read_value(cgroup, HIERARCHY_MEMORY, name,
                   cgroup->v2 ? "memory.current" : "memory.usage_in_bytes", text,
                   sizeof(text)) <= 0)
        return err_sys(err, ERR_INTERNAL, errno, "cgroup of %s", name);
    stats->memory_bytes = strtoll(text, NULL, 10);
    if (cgroup->v2)
        stats_v2(cgroup, name, stats);
    else
        stats_v1(cgroup, name, stats);
    return 0;
}

void cgroup_reset_peak(const struct cgroup *cgroup, const char *name)
{
    if (!cgroup->v2)
        write_value(cgroup, HIERARCHY_MEMORY, name, "memory.max_usage_in_bytes", "0");
}

/* The hierarchy in which an operation has its group. */
static int operation_hierarchy(const struct cgroup *cgroup)
{
    return cgroup->v2 ? 0 : HIERARCHY_FREEZER;
}

static bool operation_path(const struct cgroup *cgroup, const char *name, uint32_t id,
                           const char *file, char *path)
{
    char below[64];
    return str_format(below, sizeof(below), "op-%" PRIu32 "%s%s", id, file ? "/" : "",
                      file ? file : "") &&
           path_of(cgroup, operation_hierarchy(cgroup), name, below, path);
}

int cgroup_operation_create(const struct cgroup *cgroup, const char *name, uint32_t id,
                            struct err *err)
{
    char path[PATH_ROOM];
    if (!cgroup->v2 && path_of(cgroup, HIERARCHY_FREEZER, name, NULL, path))
        mkdir(path, 0755);
    if (!operation_path(cgroup, name, id, NULL, path) || mkdir(path, 0755) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make cgroup %s", path);
    /* v1 moves a single thread through `tasks` without waiting for RCU; on v2 a process must move
     * as a whole.
     */
    operation_path(cgroup, name, id, cgroup->v2 ? "cgroup.procs" : "tasks", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        err_sys(err, ERR_INTERNAL, errno, "%s", path);
    return fd;
}

/* Kill every process listed in a cgroup.procs file; returns how many there were. */
static int kill_listed(const char *procs)
{
    FILE *list = fopen(procs, "re");
    if (!list)
        return 0;
    int count = 0;
    for (int pid; fscanf(list, "%d", &pid) == 1; count++)
        if (pid > 0)
            kill(pid, SIGKILL);
    fclose(list);
    return count;
}

/* Freezing takes effect when each task next enters the kernel; the state file then says FROZEN. */
static void freeze_v1(const char *state)
{
    const struct timespec pause = {.tv_nsec = 500000};
    char text[32];
    fd_write_file(AT_FDCWD, state, "FROZEN");
    for (int i = 0; i < 40; i++) {
        if (fd_read_file(AT_FDCWD, state, text, sizeof(text)) <= 0 ||
            str_starts_with(text, "FROZEN"))
            return;
        nanosleep(&pause, NULL);
    }
}

/* v1 has no cgroup.kill: freeze, so that nothing forks, kill all, thaw, and again until none is
 * left. A kill of a frozen process takes effect when it thaws.
 */
static void kill_v1(const char *folder)
{
    char state[PATH_ROOM + 32], procs[PATH_ROOM + 32];
    str_format(state, sizeof(state), "%s/freezer.state", folder);
    str_format(procs, sizeof(procs), "%s/cgroup.procs", folder);
    for (int round = 0; round < 20; round++) {
        freeze_v1(state);
        int killed = kill_listed(procs);
        fd_write_file(AT_FDCWD, state, "THAWED");
        if (killed == 0)
            return;
    }
}

void cgroup_operation_kill(const struct cgroup *cgroup, const char *name, uint32_t id)
{
    char path[PATH_ROOM];
    if (cgroup->v2 && operation_path(cgroup, name, id, "cgroup.kill", path))
        fd_write_file(AT_FDCWD, path, "1");
    else if (operation_path(cgroup, name, id, NULL, path))
        kill_v1(path);
}

/* Move every process of one group to another. */
static void move_up(const char *from, const char *to)
{
    FILE *list = fopen(from, "re");
    if (!list)
        return;
    for (int pid; fscanf(list, "%d", &pid) == 1;) {
        char text[16];
        str_format(text, sizeof(text), "%d", pid);
        fd_write_file(AT_FDCWD, to, text);
    }
    fclose(list);
}

void cgroup_operation_remove(const struct cgroup *cgroup, const char *name, uint32_t id)
{
    char folder[PATH_ROOM], from[PATH_ROOM], to[PATH_ROOM];
    if (!operation_path(cgroup, name, id, NULL, folder) || rmdir(folder) == 0 || errno != EBUSY)
        return;
    if (!operation_path(cgroup, name, id, "cgroup.procs", from) ||
        !path_of(cgroup, operation_hierarchy(cgroup), name, "cgroup.procs", to))
        return;
    for (int round = 0; round < 20; round++) { /* it may fork while we move */
        move_up(from, to);
        if (rmdir(folder) == 0 || errno != EBUSY)
            return;
    }
}

/* Remove a group and the groups below it, one hierarchy. */
static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char below[PATH_ROOM + 256];
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            str_format(below, sizeof(below), "%s/%s", path, entry->d_name))
            remove_folder(below);
    }
    closedir(folder);
    rmdir(path);
}

void cgroup_operations_remove(const struct cgroup *cgroup, const char *name)
{
    char path[PATH_ROOM];
    if (!cgroup->v2 && path_of(cgroup, HIERARCHY_FREEZER, name, NULL, path) && rmdir(path) != 0 &&
        errno != ENOENT)
        remove_folder(path);
}

void cgroup_each(const struct cgroup *cgroup, void (*found)(const char *name, void *data),
                 void *data)
{
    char path[PATH_ROOM];
    if (!path_of(cgroup, HIERARCHY_MEMORY, NULL, NULL, path))
        return;
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            found(entry->d_name, data);
    closedir(folder);
}

bool cgroup_exists(const struct cgroup *cgroup, const char *name)
{
    char path[PATH_ROOM];
    for (int i = 0; i < hierarchies(cgroup) && i != HIERARCHY_FREEZER; i++)
        if ((path_of(cgroup, i, name, NULL, path) && access(path, F_OK) == 0) ||
            (monitor_path(cgroup, i, name, path) && access(path, F_OK) == 0))
            return true;
    return false;
}

static void kill_below(const char *path)
{
    char procs[PATH_ROOM + 256], state[PATH_ROOM + 256];
    /* A worker that died in the middle of kill_v1 left it frozen, and frozen processes stay. */
    if (str_format(state, sizeof(state), "%s/freezer.state", path))
        fd_write_file(AT_FDCWD, state, "THAWED");
    if (str_format(procs, sizeof(procs), "%s/cgroup.procs", path))
        kill_listed(procs);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char below[PATH_ROOM + 256];
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            str_format(below, sizeof(below), "%s/%s", path, entry->d_name))
            kill_below(below);
    }
    closedir(folder);
}

void cgroup_kill(const struct cgroup *cgroup, const char *name)
{
    char path[PATH_ROOM];
    if (path_of(cgroup, HIERARCHY_MEMORY, name, NULL, path))
        kill_below(path);
}

int cgroup_remove(const struct cgroup *cgroup, const char *name, struct err *err)
{
    /* A monitor tidies up and ends by itself once its container is dead: it gets half the time. */
    const struct timespec pause = {.tv_nsec = 2000000};
    const int rounds = 500;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < hierarchies(cgroup); i++) {
            char path[PATH_ROOM];
            if (path_of(cgroup, i, name, NULL, path)) {
                kill_below(path);
                remove_folder(path);
            }
            if (monitor_path(cgroup, i, name, path)) {
                if (round > rounds / 2)
                    kill_below(path);
                remove_folder(path);
            }
        }
        if (!cgroup_exists(cgroup, name))
            return 0;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_INTERNAL, "cgroup of %s is still busy after a second", name);
}

void cgroup_remove_prefix(const struct cgroup *cgroup)
{
    static const char *const suffixes[] = {CGROUP_PIVOT_SUFFIX, CGROUP_MONITOR_SUFFIX, ""};
    for (int i = 0; i < hierarchies(cgroup); i++) {
        for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
            char path[PATH_ROOM];
            if (str_format(path, sizeof(path), "%s/%s%s", cgroup->root[i], cgroup->prefix,
                           suffixes[k]))
                remove_folder(path); /* LXC makes a folder of its own in the pivot */
        }
    }
}
