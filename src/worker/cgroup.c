#include "cgroup.h"

#include "cgroup_private.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const controllers[HIERARCHIES] = {"memory", "pids", "cpu", "cpuacct", "freezer"};

int cgroup_hierarchies(const struct cgroup *cgroup)
{
    return cgroup->v2 ? 1 : HIERARCHIES;
}

int cgroup_monitor_hierarchies(const struct cgroup *cgroup)
{
    return cgroup->v2 ? 1 : HIERARCHY_FREEZER;
}

int cgroup_runners_of(const struct cgroup *cgroup, enum hierarchy hierarchy)
{
    return cgroup->runners[cgroup->v2 ? HIERARCHY_MEMORY : hierarchy];
}

const char *cgroup_path_of(const char *name, const char *file, char path[PATH_ROOM])
{
    str_format(path, PATH_ROOM, "%s/%s", name, file);
    return path;
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
    for (int i = 0; i < cgroup_hierarchies(cgroup); i++)
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
    for (int i = 0; i < cgroup_hierarchies(cgroup); i++) {
        cgroup->runners[i] = make_folder(cgroup, i, "", err);
        if (cgroup->runners[i] < 0)
            return -1;
    }
    for (int i = 0; i < cgroup_monitor_hierarchies(cgroup); i++) {
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
_Static_assert(HIERARCHIES + HIERARCHY_FREEZER <= CGROUP_DESCRIPTORS_MOST, "and here");

size_t cgroup_roots(const struct cgroup *cgroup, struct cgroup_root roots[CGROUP_ROOTS_MOST])
{
    size_t count = (size_t)cgroup_monitor_hierarchies(cgroup);
    for (size_t i = 0; i < count; i++)
        roots[i] = (struct cgroup_root){cgroup->root[i], cgroup->v2 ? "" : controllers[i]};
    return count;
}

const char *cgroup_version(const struct cgroup *cgroup)
{
    return cgroup->v2 ? "v2" : "v1";
}

size_t cgroup_descriptors(const struct cgroup *cgroup, int descriptors[CGROUP_DESCRIPTORS_MOST])
{
    size_t count = 0;
    for (int i = 0; i < cgroup_hierarchies(cgroup); i++)
        descriptors[count++] = cgroup->runners[i];
    for (int i = 0; i < cgroup_monitor_hierarchies(cgroup); i++)
        descriptors[count++] = cgroup->monitors[i];
    return count;
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
