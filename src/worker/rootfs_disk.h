/* The disk of a runner that exists: the tmpfs that rootfs_mount made, in its monitor's mount
 * namespace.
 */
#ifndef WORKER_ROOTFS_DISK_H
#define WORKER_ROOTFS_DISK_H

#include "engine.h"

/* A descriptor of that tmpfs, which the caller closes; -1 with err. init is the container's, alive
 * and held by pidfd; mount_point is as in rootfs_spec. No path inside the container is walked, only
 * one in the namespace of init's parent, which is our own process.
 */
int rootfs_disk_open(pid_t init, int pidfd, const char *mount_point, struct err *err);

/* ERR_NO_SPACE when more is in use. */
int rootfs_disk_resize(int disk, int64_t bytes, struct err *err);

int rootfs_disk_left(int disk, struct engine_disk *left, struct err *err);

#endif
