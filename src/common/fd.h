/* File descriptors: ownership by scope, whole reads and writes, descriptors over sockets. */
#ifndef COMMON_FD_H
#define COMMON_FD_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

static inline void fd_close_indirect(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* `cleanup_close int fd = -1;` closes fd when the scope ends. */
#define cleanup_close __attribute__((cleanup(fd_close_indirect)))

/* Takes the descriptor out of a variable, which is -1 afterwards. */
static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Closes *fd if it is open and sets it to -1. */
static inline void fd_close(int *fd)
{
    fd_close_indirect(fd);
    *fd = -1;
}

/* Closes every descriptor from `first` on but those kept, in any order; -1 with errno. */
int fd_close_others(int first, const int *kept, size_t count);

int fd_set_nonblock(int fd, bool nonblock);

/* Write all len bytes to a blocking fd; -1 with errno set. */
int fd_write_all(int fd, const void *data, size_t len);

/* Send a message of 1..n bytes with nfds (0..FD_SEND_MAX) descriptors attached; the caller keeps
 * them. Returns 0, or -1 with errno: EAGAIN on a full non-blocking socket, nothing was sent;
 * EMSGSIZE when a part went, after which a stream is of no more use.
 */
#define FD_SEND_MAX 4
int fd_send(int socket, const void *data, size_t len, const int *fds, size_t nfds);

/* Receive one message and up to FD_SEND_MAX descriptors (O_CLOEXEC; unused slots are -1). Returns
 * the length, 0 at end of file, -1 with errno. Descriptors belong to the caller.
 */
ssize_t fd_recv(int socket, void *data, size_t room, int fds[FD_SEND_MAX]);

/* Read a small file, e.g. of /proc or /sys, into text (NUL-terminated). dirfd may be AT_FDCWD.
 * Returns the length or -1 with errno; EFBIG when it does not fit.
 */
ssize_t fd_read_file(int dirfd, const char *path, char *text, size_t room);

/* Write text to an existing file in one write(2), as cgroup files want it; -1 with errno. */
int fd_write_file(int dirfd, const char *path, const char *text);

/* Replace a file: temporary file beside it, rename. durable adds fsync of file and folder. On
 * failure the old file is as it was (ERR_NO_SPACE on a full disk).
 */
int fd_replace_file(const char *path, const void *data, size_t len, mode_t mode, bool durable,
                    struct err *err);

/* Make a folder and its parents (mode, whatever the umask, for those that are made); an existing
 * one is fine.
 */
int fd_mkdirs(const char *path, mode_t mode, struct err *err);

/* Remove a folder with all it holds, or a single file; never follows a link nor crosses a mount,
 * even while others write to the folder. What can be removed is, also when something cannot. 0 when
 * it is gone (or never was).
 */
int fd_remove_tree(const char *path, struct err *err);

#endif
