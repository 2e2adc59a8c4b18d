#include "rootfs_disk.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/statfs.h>

/* The fourth field of stat; the second, a name in parentheses, may hold anything (proc(5)). */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[1024];
    int parent = 0;
    str_format(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (fd_read_file(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return 0;
    const char *after = strrchr(text, ')');
    return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* init dies with its monitor, so while it lives its parent is that, and not another process that
 * got the number: hence the second look.
 */
int rootfs_disk_open(pid_t init, int pidfd, const char *mount_point, struct err *err)
{
    char path[512];
    struct statfs fs;
    pid_t monitor = parent_of(init);
    if (monitor <= 1 ||
        !str_format(path, sizeof(path), "/proc/%d/root%s", (int)monitor, mount_point))
        return err_set(err, ERR_INTERNAL, "the runner's monitor cannot be found");
    cleanup_close int disk =
        FAULT(DISK_OPEN, -1, open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (disk < 0 || fstatfs(disk, &fs) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot open the runner's disk");
    if (fs.f_type != TMPFS_MAGIC || parent_of(init) != monitor ||
        pidfd_send_signal(pidfd, 0, NULL, 0) != 0)
        return err_set(err, ERR_INTERNAL, "the runner's disk cannot be found");
    return steal_fd(&disk);
}

int rootfs_disk_resize(int disk, int64_t bytes, struct err *err)
{
    char size[32];
    str_format(size, sizeof(size), "%" PRId64, bytes);
    cleanup_close int context =
        FAULT(DISK_PICK, -1, fspick(disk, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC));
    if (context < 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot reach the runner's disk");
    if (fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) == 0 &&
        FAULT(DISK_SIZE, -1, fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)) == 0)
        return 0;
    return err_sys(err, errno == EINVAL ? ERR_NO_SPACE : ERR_INTERNAL, errno,
                   "cannot set the runner's disk to %s bytes", size);
}

int rootfs_disk_left(int disk, struct engine_disk *left, struct err *err)
{
    struct statfs fs;
    if (FAULT(DISK_LEFT, -1, fstatfs(disk, &fs)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot look at the runner's disk");
    *left = (struct engine_disk){
        .free_bytes = (int64_t)fs.f_bavail * fs.f_bsize,
        .free_inodes = (int64_t)fs.f_ffree,
    };
    return 0;
}
