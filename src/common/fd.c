#include "fd.h"

#include "mem.h"
#include "str.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

int fd_set_nonblock(int fd, bool nonblock)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    return fcntl(fd, F_SETFL, nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

int fd_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        at += written;
        len -= (size_t)written;
    }
    return 0;
}

int fd_send(int socket, const void *data, size_t len, const int *fds, size_t nfds)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * FD_SEND_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (nfds > FD_SEND_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (nfds > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * nfds);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -1;
    if ((size_t)sent != len) { /* a stream socket took a part: the peer is stuck */
        errno = EAGAIN;
        return -1;
    }
    return 0;
}

ssize_t fd_recv(int socket, void *data, size_t room, int fds[FD_SEND_MAX])
{
    union {
        char room[CMSG_SPACE(sizeof(int) * FD_SEND_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = data, .iov_len = room};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.room,
        .msg_controllen = sizeof(control.room),
    };
    for (int i = 0; i < FD_SEND_MAX; i++)
        fds[i] = -1;
    ssize_t len;
    do
        len = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&msg); header; header = CMSG_NXTHDR(&msg, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(header), sizeof(int) * (count < FD_SEND_MAX ? count : FD_SEND_MAX));
    }
    return len;
}

ssize_t fd_read_file(int dirfd, const char *path, char *text, size_t room)
{
    cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t len = 0;
    for (;;) {
        if (len == room) {
            errno = EFBIG;
            return -1;
        }
        ssize_t got = read(fd, text + len, room - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    text[len] = '\0';
    return (ssize_t)len;
}

int fd_write_file(int dirfd, const char *path, const char *text)
{
    cleanup_close int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t len = strlen(text);
    ssize_t written;
    do
        written = write(fd, text, len);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)len ? 0 : -1;
}

/* The folder a path is in: "/a/b" → "/a", "b" → ".". */
static int fsync_parent(const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        strcpy(parent, ".");
    else if (!str_format(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path),
                         path))
        return -1;
    cleanup_close int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

int fd_replace_file(const char *path, const void *data, size_t len, mode_t mode, bool durable,
                    struct err *err)
{
    char temporary[PATH_MAX];
    if (!str_format(temporary, sizeof(temporary), "%s.new.%d", path, (int)getpid()))
        return err_set(err, ERR_INTERNAL, "%s: path too long", path);
    cleanup_close int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", temporary);
    if (fchmod(fd, mode) != 0 || fd_write_all(fd, data, len) != 0 || (durable && fsync(fd) != 0) ||
        rename(temporary, path) != 0 || (durable && fsync_parent(path) != 0)) {
        int failed = errno;
        unlink(temporary);
        return err_sys(err, failed == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, failed, "%s", path);
    }
    return 0;
}

int fd_mkdirs(const char *path, mode_t mode, struct err *err)
{
    char part[PATH_MAX];
    if (!str_format(part, sizeof(part), "%s", path))
        return err_set(err, ERR_INTERNAL, "%s: path too long", path);
    for (char *slash = part; slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST)
            return err_sys(err, ERR_INTERNAL, errno, "cannot make folder %s", part);
        if (slash)
            *slash = '/';
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return err_sys(err, ERR_INTERNAL, ENOTDIR, "%s", path);
    return 0;
}

int fd_remove_tree(const char *path, struct err *err)
{
    char *paths[] = {(char *)path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (!tree)
        return err_sys(err, ERR_INTERNAL, errno, "%s", path);
    int failed = 0;
    for (FTSENT *entry; (entry = fts_read(tree));) {
        int rc = 0;
        if (entry->fts_info == FTS_DP)
            rc = rmdir(entry->fts_accpath);
        else if (entry->fts_info != FTS_D)
            rc = unlink(entry->fts_accpath);
        if (rc != 0 && errno != ENOENT && !failed)
            failed = errno;
    }
    fts_close(tree);
    return failed ? err_sys(err, ERR_INTERNAL, failed, "cannot remove %s", path) : 0;
}
