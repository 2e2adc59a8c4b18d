#include "own_group.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_ROOM 512
#define LIST_ROOM 8192

struct own_group {
    struct place {
        char group[PATH_ROOM];
        char before[PATH_ROOM]; /* the folder of the group that it came from */
    } places[CGROUP_ROOTS_MOST];
    size_t count;
};

/* The path behind "ID:CONTROLLERS:" in /proc/self/cgroup, of the line that has the controller; v2's
 * has none (cgroups(7)).
 */
static bool find_present(char *list, const char *controller, char path[PATH_ROOM])
{
    char *save = NULL;
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        strsep(&line, ":");
        char *names = strsep(&line, ":");
        if (!line)
            continue;
        if (!controller[0] && !names[0])
            return str_format(path, PATH_ROOM, "%s", line);
        for (char *name; (name = strsep(&names, ","));)
            if (controller[0] && strcmp(name, controller) == 0)
                return str_format(path, PATH_ROOM, "%s", line);
    }
    return false;
}

/* One that is not below our root, in the eyes of our cgroup namespace, cannot be gone back to. */
static bool note_present(const struct cgroup_root *root, struct place *place)
{
    char list[LIST_ROOM], path[PATH_ROOM];
    if (fd_read_file(AT_FDCWD, "/proc/self/cgroup", list, sizeof(list)) < 0 ||
        !find_present(list, root->controller, path) || strstr(path, "/.."))
        strcpy(path, "/");
    return str_format(place->before, PATH_ROOM, "%s%s", root->path, path);
}

/* "0" is the writing process with all its threads. */
static int move_to(const char *group)
{
    char path[PATH_ROOM + 16];
    str_format(path, sizeof(path), "%s/cgroup.procs", group);
    return FAULT(OWN_GROUP_MOVE, -1, fd_write_file(AT_FDCWD, path, "0"));
}

static int set(const char *group, const char *file, int64_t value, struct err *err)
{
    char path[PATH_ROOM + 32], text[32];
    str_format(path, sizeof(path), "%s/%s", group, file);
    str_format(text, sizeof(text), "%" PRId64, value);
    if (fd_write_file(AT_FDCWD, path, text) == 0)
        return 0;
    return err_sys(err, ERR_INTERNAL, errno, "cannot set %s to %s", path, text);
}

/* Twice what another group of the host has by default; all runners together have half. */
static int protect(const struct cgroup_root *root, const char *group, int64_t memory_bytes,
                   struct err *err)
{
    if (!root->controller[0])
        return set(group, "memory.min", memory_bytes, err) != 0 ||
                       set(group, "cpu.weight", 200, err) != 0
                   ? -1
                   : 0;
    return strcmp(root->controller, "cpu") == 0 ? set(group, "cpu.shares", 2048, err) : 0;
}

static int enter_one(struct own_group *own, const struct cgroup_root *root, const char *prefix,
                     int64_t memory_bytes, struct err *err)
{
    struct place *place = &own->places[own->count];
    if (!note_present(root, place) ||
        !str_format(place->group, PATH_ROOM, "%s/%s" OWN_GROUP_SUFFIX, root->path, prefix))
        return err_set(err, ERR_INTERNAL, "path too long: %s", root->path);
    /* A dead worker's child is in it already, and must not go back there. */
    if (strcmp(place->before, place->group) == 0)
        str_format(place->before, PATH_ROOM, "%s", root->path);
    if (FAULT(OWN_GROUP_MAKE, -1, mkdir(place->group, 0755)) != 0 && errno != EEXIST)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make cgroup %s", place->group);
    own->count++;
    if (protect(root, place->group, memory_bytes, err) != 0)
        return -1;
    if (move_to(place->group) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot enter cgroup %s", place->group);
    return 0;
}

struct own_group *own_group_enter(const struct cgroup *cgroup, const char *prefix,
                                  int64_t memory_bytes, struct err *err)
{
    struct own_group *own = mem_new(struct own_group);
    struct cgroup_root roots[CGROUP_ROOTS_MOST];
    size_t count = cgroup_roots(cgroup, roots);
    for (size_t i = 0; i < count; i++) {
        if (enter_one(own, &roots[i], prefix, memory_bytes, err) != 0) {
            own_group_leave(own);
            return NULL;
        }
    }
    return own;
}

void own_group_leave(struct own_group *own)
{
    if (!own)
        return;
    for (size_t i = 0; i < own->count; i++) {
        const struct place *place = &own->places[i];
        char root[PATH_ROOM];
        str_format(root, sizeof(root), "%s", place->group);
        *strrchr(root, '/') = '\0';
        if (move_to(place->before) != 0)
            move_to(root); /* the group it came from has gone */
        rmdir(place->group);
    }
    free(own);
}
