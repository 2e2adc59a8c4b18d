#include "preflight.h"

#include "http_client.h"

#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int check_user(const struct config *config, struct err *err)
{
    if (geteuid() != 0)
        return err_set(err, ERR_FORBIDDEN, "this needs root, for it makes containers; use sudo");
    if (!getpwnam(config->http_user))
        return err_set(err, ERR_NOT_FOUND,
                       "there is no user \"%s\" (http.user) for the manager to become; add one: "
                       "useradd --system --user-group %s",
                       config->http_user, config->http_user);
    if (!getgrnam(config->http_group))
        return err_set(err, ERR_NOT_FOUND,
                       "there is no group \"%s\" (http.group); add one: groupadd --system %s",
                       config->http_group, config->http_group);
    return 0;
}

static int check_folder(const char *path, const char *setting, struct err *err)
{
    if (fd_mkdirs(path, 0755, err) != 0)
        return err_context(err, "%s", setting);
    if (access(path, W_OK | X_OK) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot write to %s (%s)", path, setting);
    return 0;
}

static int check_port(const struct config *config, struct err *err)
{
    struct http_address address;
    if (http_client_address(config->http_listen, false, &address, err) != 0)
        return -1;
    cleanup_close int fd = socket(address.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address.addr, address.len) == 0 && listen(fd, 1) == 0)
        return 0;
    if (errno == EADDRINUSE)
        return err_set(err, ERR_NOT_AVAILABLE,
                       "%s (http.listen) is in use by another program; end that one, or listen "
                       "elsewhere: --set http.listen=ADDRESS:PORT",
                       config->http_listen);
    return err_sys(err, ERR_NOT_AVAILABLE, errno, "cannot listen on %s (http.listen)",
                   config->http_listen);
}

static bool lock_path(char *path, const struct config *config)
{
    return str_format(path, PATH_MAX, "%s/up.lock", config->paths_run_dir);
}

/* Whether the file that was locked is still the one at path: its last holder removes it. */
static bool still_there(int fd, const char *path)
{
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

static int held_by_another(int fd, const struct config *config, struct err *err)
{
    char pid[24] = "";
    ssize_t len = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[len > 0 ? (size_t)len : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return err_set(err, ERR_NOT_AVAILABLE,
                   "another `codeland up` (pid %s) is running with %s (paths.run_dir); stop that "
                   "one first",
                   pid[0] ? pid : "?", config->paths_run_dir);
}

static int take_lock(const struct config *config, struct err *err)
{
    char path[PATH_MAX];
    if (!lock_path(path, config))
        return err_set(err, ERR_BAD_REQUEST, "paths.run_dir is too long");
    for (;;) {
        cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return err_sys(err, ERR_INTERNAL, errno, "%s", path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            return held_by_another(fd, config, err);
        if (!still_there(fd, path))
            continue;
        if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
            return err_sys(err, ERR_INTERNAL, errno, "%s", path);
        return steal_fd(&fd);
    }
}

int preflight_begin(const struct config *config, struct err *err)
{
    if (check_user(config, err) != 0 ||
        check_folder(config->paths_run_dir, "paths.run_dir", err) != 0)
        return -1;
    cleanup_close int lock = take_lock(config, err);
    if (lock < 0)
        return -1;
    if (check_folder(config->paths_state_dir, "paths.state_dir", err) != 0 ||
        check_port(config, err) != 0) {
        preflight_end(config, steal_fd(&lock));
        return -1;
    }
    return steal_fd(&lock);
}

void preflight_end(const struct config *config, int take_lock)
{
    char path[PATH_MAX];
    if (lock_path(path, config))
        unlink(path);
    rmdir(config->paths_run_dir);
    fd_close(&take_lock);
}
