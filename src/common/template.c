#include "template.h"

#include "agent_wire.h"
#include "fd.h"
#include "json.h"
#include "mem.h"
#include "str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define JSON_MAX_BYTES (1024 * 1024)

bool template_path(char *path, size_t room, const char *state_dir, const char *name,
                   const char *below)
{
    return str_format(path, room, "%s/templates/%s%s%s", state_dir, name, below[0] ? "/" : "",
                      below);
}

static int missing(const char *name, const char *path, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND,
                   "template \"%s\" is not there (%s); make it: sudo codeland template build %s",
                   name, path, name);
}

/* Puts the template's name before, and what mends it behind, what is wrong. */
static int broken(const char *name, const struct err *why, struct err *err)
{
    return err_set(err, ERR_NOT_AVAILABLE,
                   "template \"%s\" is broken: %s; build it again: sudo codeland template build %s",
                   name, why->msg, name);
}

static int copy_text(const json_t *object, const char *key, char text[TEMPLATE_TEXT_MAX + 1],
                     struct err *err)
{
    const char *value = "";
    if (json_get_string(object, key, true, &value, NULL, err) != 0)
        return -1;
    if (!str_format(text, TEMPLATE_TEXT_MAX + 1, "%s", value))
        return err_set(err, ERR_NOT_AVAILABLE, "%s: longer than %d bytes", key, TEMPLATE_TEXT_MAX);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, ERR_NOT_AVAILABLE, "%s: must not hold control characters", key);
    return 0;
}

static int parse(const char *text, size_t len, struct template_info *info, struct err *err)
{
    cleanup_json json_t *object = json_parse_object(text, len, false, err);
    if (!object)
        return -1;
    int64_t format;
    if (json_get_int(object, "format", true, 0, INT32_MAX, &format, err) != 0)
        return -1;
    if (format != TEMPLATE_FORMAT)
        return err_set(err, ERR_NOT_AVAILABLE, "its format is %d, this program's is %d",
                       (int)format, TEMPLATE_FORMAT);
    json_t *packages;
    if (copy_text(object, "description", info->description, err) != 0 ||
        copy_text(object, "from", info->from, err) != 0 ||
        copy_text(object, "made", info->made, err) != 0 ||
        json_get_int(object, "sizeBytes", true, 0, INT64_MAX, &info->size_bytes, err) != 0 ||
        json_get_array(object, "packages", true, &packages, err) != 0)
        return -1;
    info->packages = json_array_size(packages);
    return 0;
}

static int read_info(const char *folder, struct template_info *info, struct err *err)
{
    char path[PATH_MAX];
    if (!str_format(path, sizeof(path), "%s/template.json", folder))
        return err_set(err, ERR_NOT_AVAILABLE, "%s: path too long", folder);
    cleanup_free char *text = mem_calloc(1, JSON_MAX_BYTES);
    ssize_t len = fd_read_file(AT_FDCWD, path, text, JSON_MAX_BYTES);
    if (len < 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "%s", path);
    if (parse(text, (size_t)len, info, err) != 0)
        return err_context(err, "template.json");
    return 0;
}

int template_read(const char *state_dir, const char *name, struct template_info *info,
                  struct err *err)
{
    struct err why;
    char path[PATH_MAX];
    struct stat st;
    if (!id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no template's name", name);
    if (!template_path(path, sizeof(path), state_dir, name, ""))
        return err_set(err, ERR_NOT_AVAILABLE, "%s: path too long", state_dir);
    if (stat(path, &st) != 0 && errno == ENOENT)
        return missing(name, path, err);

    *info = (struct template_info){0};
    str_format(info->name, sizeof(info->name), "%s", name);
    return read_info(path, info, &why) == 0 ? 0 : broken(name, &why, err);
}

/* No link is followed: it would lead to the host's files. */
static int check_kind(int folder, const char *below, mode_t kind, const char *what, struct err *err)
{
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    struct stat st;
    cleanup_close int fd = (int)syscall(SYS_openat2, folder, below, &how, sizeof(how));
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "%s", below);
    if ((st.st_mode & S_IFMT) != kind)
        return err_set(err, ERR_NOT_AVAILABLE, "%s is not %s", below, what);
    return 0;
}

static int check_mount_points(const char *path, struct err *err)
{
    cleanup_close int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "%s", path);
    if (check_kind(folder, "rootfs", S_IFDIR, "a folder", err) != 0 ||
        check_kind(folder, "rootfs" AGENT_PATH, S_IFREG, "a file", err) != 0 ||
        check_kind(folder, "rootfs" AGENT_SOCKET_DIR, S_IFDIR, "a folder", err) != 0)
        return -1;
    return 0;
}

int template_check(const char *state_dir, const char *name, struct err *err)
{
    struct template_info info;
    struct err why;
    char path[PATH_MAX];
    if (template_read(state_dir, name, &info, err) != 0)
        return -1;
    if (!template_path(path, sizeof(path), state_dir, name, ""))
        return err_set(err, ERR_NOT_AVAILABLE, "%s: path too long", state_dir);
    return check_mount_points(path, &why) == 0 ? 0 : broken(name, &why, err);
}

int template_check_folder(const char *folder, struct err *err)
{
    struct template_info info = {0};
    return read_info(folder, &info, err) == 0 ? check_mount_points(folder, err) : -1;
}

int template_remove_unused(const char *folder, struct err *err)
{
    char path[PATH_MAX];
    if (!str_format(path, sizeof(path), "%s/rootfs", folder))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", folder);
    cleanup_close int rootfs = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (rootfs >= 0 && flock(rootfs, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? 1 : err_sys(err, ERR_INTERNAL, errno, "cannot lock %s", path);
    return fd_remove_tree(folder, err);
}
