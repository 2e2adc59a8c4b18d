#include "rootfs.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PATH_ROOM 512

/* open_tree(2), mount_setattr(2), move_mount(2): a detached copy of the template gets the map.
 *
 * The folder stays open and locked until this process, the monitor, ends: template_remove_unused
 * leaves a tree alone that is locked. The other processes of the runner lose it when they execute.
 */
static int attach_idmapped(const struct rootfs_spec *spec, const char *target)
{
    int folder =
        FAULT(ROOTFS_TEMPLATE, -1, open(spec->template_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder < 0 || FAULT(ROOTFS_LOCK, -1, flock(folder, LOCK_SH | LOCK_NB)) != 0)
        return -1;
    cleanup_close int tree =
        FAULT(ROOTFS_TREE, -1,
              open_tree(folder, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (tree < 0)
        return -1;
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY,
        .userns_fd = (uint64_t)spec->userns,
    };
    if (FAULT(ROOTFS_IDMAP, -1, mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr))) != 0)
        return -1;
    return FAULT(ROOTFS_MOVE, -1, move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
}

/* mkdir of base/name, owned by the runner's root where it is what the runner sees. */
static int make_folder(char path[PATH_ROOM], const char *base, const char *name, uint32_t owner)
{
    if (!str_format(path, PATH_ROOM, "%s/%s", base, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (FAULT(ROOTFS_FOLDER, -1, mkdir(path, 0755)) != 0)
        return -1;
    return owner ? FAULT(ROOTFS_OWNER, -1, chown(path, owner, owner)) : 0;
}

static int attach_agent(const struct rootfs_spec *spec)
{
    char path[PATH_ROOM];
    if (!str_format(path, sizeof(path), "%s/" ROOTFS_AGENT, spec->mount_point)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cleanup_close int file =
        FAULT(ROOTFS_AGENT_OPEN, -1, open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (file < 0)
        return -1;
    return FAULT(ROOTFS_AGENT_MOUNT, -1, mount(spec->agent, path, NULL, MS_BIND, NULL));
}

int rootfs_mount(const struct rootfs_spec *spec, struct err *err)
{
    char lower[PATH_ROOM], upper[PATH_ROOM], work[PATH_ROOM], merged[PATH_ROOM], shm[PATH_ROOM];
    char options[4 * PATH_ROOM];

    if (FAULT(ROOTFS_UNSHARE, -1, unshare(CLONE_NEWNS)) != 0 ||
        FAULT(ROOTFS_PRIVATE, -1, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot enter a private mount namespace");
    /* 9 inodes are for the files and folders below, which the runner's own count should not pay
     * for. */
    str_format(options, sizeof(options), "mode=0755,size=%" PRId64 ",nr_inodes=%" PRId64,
               spec->disk_bytes, spec->disk_inodes + 9);
    if (FAULT(ROOTFS_TMPFS, -1,
              mount("codeland", spec->mount_point, "tmpfs", MS_NOSUID | MS_NODEV, options)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot mount a tmpfs at %s", spec->mount_point);
    if (make_folder(lower, spec->mount_point, "lower", 0) != 0 ||
        make_folder(upper, spec->mount_point, "upper", spec->first_id) != 0 ||
        make_folder(work, spec->mount_point, "work", spec->first_id) != 0 ||
        make_folder(merged, spec->mount_point, ROOTFS_MERGED, 0) != 0 ||
        make_folder(shm, spec->mount_point, ROOTFS_SHM, spec->first_id) != 0 ||
        chmod(shm, 01777) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make the overlay's folders");
    if (attach_agent(spec) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot bind the agent, %s", spec->agent);
    if (attach_idmapped(spec, lower) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot mount %s with the runner's ids",
                       spec->template_path);
    if (!str_format(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper,
                    work))
        return err_set(err, ERR_INTERNAL, "path too long: %s", spec->mount_point);
    if (FAULT(ROOTFS_OVERLAY, -1,
              mount("codeland", merged, "overlay", MS_NOSUID | MS_NODEV, options)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot mount the overlay of %s",
                       spec->template_path);
    return 0;
}
