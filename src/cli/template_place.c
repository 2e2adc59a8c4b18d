#include "template_place.h"

#include "../common/fd.h"
#include "../common/str.h"
#include "../common/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define OLD_MOST 999 /* trees of a template that runners live on, besides its own */

int template_place_lock(const char *state_dir, struct err *err)
{
    char path[PATH_MAX];
    if (!str_format(path, sizeof(path), "%s/templates", state_dir))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", state_dir);
    if (fd_mkdirs(path, 0755, err) != 0)
        return -1;
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, ERR_NOT_AVAILABLE,
                             "another template is being built or imported in %s", path)
                   : err_sys(err, ERR_INTERNAL, errno, "cannot lock %s", path);
    return steal_fd(&fd);
}

int template_place_away(const char *tree, const char *target, struct err *err)
{
    char old[PATH_MAX];
    for (int i = 1; i <= OLD_MOST; i++) {
        char number[8] = "";
        if (i > 1)
            str_format(number, sizeof(number), "%d", i);
        if (!str_format(old, sizeof(old), "%s.old%s", target, number))
            return err_set(err, ERR_INTERNAL, "%s: path too long", target);
        if (renameat2(AT_FDCWD, tree, AT_FDCWD, old, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return err_sys(err, ERR_INTERNAL, errno, "%s", old);
    }
    return err_set(err, ERR_INTERNAL, "runners live on %d earlier builds of it", OLD_MOST);
}

int template_place_put(const char *tree, const char *target, int templates, struct err *err)
{
    cleanup_close int fresh = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fresh < 0 || syncfs(fresh) != 0)
        return err_sys(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, errno, "%s", tree);
    if (renameat2(AT_FDCWD, tree, AT_FDCWD, target, RENAME_NOREPLACE) != 0) {
        if (errno != EEXIST)
            return err_sys(err, ERR_INTERNAL, errno, "%s", target);
        if (renameat2(AT_FDCWD, tree, AT_FDCWD, target, RENAME_EXCHANGE) != 0)
            return err_sys(err, ERR_INTERNAL, errno, "%s", target);
        if (template_place_away(tree, target, err) != 0)
            return -1;
    }
    return fsync(templates) == 0 ? 0 : err_sys(err, ERR_INTERNAL, errno, "%s", target);
}

/* NAME.new, NAME.old, NAME.old2 and so on. */
static bool left_over(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name)
        return false;
    return strcmp(dot, ".new") == 0 ||
           (str_starts_with(dot, ".old") && dot[4 + strspn(dot + 4, "0123456789")] == '\0');
}

void template_place_sweep(const char *state_dir)
{
    struct err err;
    char path[PATH_MAX];
    DIR *folder = str_format(path, sizeof(path), "%s/templates", state_dir) ? opendir(path) : NULL;
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (left_over(entry->d_name) &&
            template_path(path, sizeof(path), state_dir, entry->d_name, ""))
            template_remove_unused(path, &err);
    closedir(folder);
}

bool template_place_has_left_over(const char *state_dir, const char *name)
{
    char path[PATH_MAX];
    bool found = false;
    size_t len = strlen(name);
    DIR *folder = str_format(path, sizeof(path), "%s/templates", state_dir) ? opendir(path) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        found = found || (str_starts_with(entry->d_name, name) && entry->d_name[len] == '.' &&
                          left_over(entry->d_name));
    if (folder)
        closedir(folder);
    return found;
}
