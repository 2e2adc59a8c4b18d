#include "fd.h"

#include "fault.h"
#include "mem.h"
#include "str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int fd_close_others(int first, const int *kept, size_t count)
{
    unsigned from = (unsigned)first;
    for (;;) {
        unsigned next = UINT_MAX;
        for (size_t i = 0; i < count; i++)
            if (kept[i] >= 0 && (unsigned)kept[i] >= from && (unsigned)kept[i] < next)
                next = (unsigned)kept[i];
        if (next == UINT_MAX)
            return close_range(from, UINT_MAX, 0);
        if (next > from && close_range(from, next - 1, 0) != 0)
            return -1;
        from = next + 1;
    }
}

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
    if ((size_t)sent != len) { /* not EAGAIN: a second try would send the beginning twice */
        errno = EMSGSIZE;
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
    if (written >= 0 && written < (ssize_t)len)
        errno = EIO;
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
                         path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cleanup_close int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

int fd_replace_file(const char *path, const void *data, size_t len, mode_t mode, bool durable,
                    struct err *err)
{
    char temporary[PATH_MAX];
    if (!str_format(temporary, sizeof(temporary), "%s.new.%d", path, (int)getpid()))
        return err_set(err, ERR_INTERNAL, "path too long: %s", path);
    /* What a crash left behind goes; whatever else stands there is not followed nor written to. */
    unlink(temporary);
    cleanup_close int fd =
        FAULT(REPLACE_OPEN, -1, open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (fd < 0)
        return err_sys(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, errno, "%s", temporary);
    if (fchmod(fd, mode) != 0 || FAULT(REPLACE_WRITE, -1, fd_write_all(fd, data, len)) != 0 ||
        (durable && fsync(fd) != 0) || FAULT(REPLACE_RENAME, -1, rename(temporary, path)) != 0 ||
        (durable && fsync_parent(path) != 0)) {
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
        return err_set(err, ERR_INTERNAL, "path too long: %s", path);
    for (char *slash = part; slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        bool made = FAULT(FOLDER_MAKE, -1, mkdir(part, mode)) == 0;
        /* The umask is for what users make. */
        if (made ? chmod(part, mode) != 0 : errno != EEXIST)
            return err_sys(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, errno,
                           "cannot make folder %s", part);
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

/* Removing a tree that others may be writing to. Every step names an entry of a folder that is held
 * open, and a folder is entered with openat2, which follows no link and crosses no mount, so
 * nothing outside can be reached, whatever is swapped meanwhile. A folder deeper than DEPTH_MAX is
 * moved up to the root of the tree and met again there, so that neither descriptors nor paths run
 * out.
 */
#define DEPTH_MAX 100

struct removal {
    int root;
    unsigned moved;
    int sys_errno; /* the first failure, 0: none */
};

static void remove_failed(struct removal *removal)
{
    if (errno != ENOENT && removal->sys_errno == 0)
        removal->sys_errno = errno;
}

static int open_folder(int parent, const char *name)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
    };
    return (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));
}

static void remove_entries(struct removal *removal, int take_folder, int depth);

static bool move_to_root(struct removal *removal, int parent, const char *name)
{
    for (;;) {
        char moved[32];
        str_format(moved, sizeof(moved), ".removing-%u", removal->moved++);
        if (renameat2(parent, name, removal->root, moved, RENAME_NOREPLACE) == 0)
            return true;
        if (errno != EEXIST)
            return false;
    }
}

static void remove_folder(struct removal *removal, int parent, const char *name, int depth)
{
    if (depth >= DEPTH_MAX && move_to_root(removal, parent, name))
        return;
    int folder = open_folder(parent, name);
    if (folder < 0) {
        remove_failed(removal);
        return;
    }
    remove_entries(removal, folder, depth + 1);
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0)
        remove_failed(removal);
}

static void remove_entries(struct removal *removal, int take_folder, int depth)
{
    DIR *entries = fdopendir(take_folder);
    if (!entries) {
        remove_failed(removal);
        close(take_folder);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (unlinkat(take_folder, name, 0) == 0)
            continue;
        if (errno == EISDIR)
            remove_folder(removal, take_folder, name, depth);
        else
            remove_failed(removal);
    }
    closedir(entries);
}

int fd_remove_tree(const char *path, struct err *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return err_sys(err, ERR_INTERNAL, errno, "cannot remove %s", path);
    struct removal removal = {.moved = 0};
    unsigned before;
    do {
        before = removal.moved;
        cleanup_close int root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int scanned = root < 0 ? -1 : fcntl(root, F_DUPFD_CLOEXEC, 0);
        if (scanned < 0) {
            remove_failed(&removal);
            break;
        }
        removal.root = root;
        remove_entries(&removal, scanned, 1);
    } while (removal.moved > before && removal.sys_errno == 0);
    if (removal.sys_errno == 0 && rmdir(path) != 0)
        remove_failed(&removal);
    return removal.sys_errno
               ? err_sys(err, ERR_INTERNAL, removal.sys_errno, "cannot remove %s", path)
               : 0;
}
