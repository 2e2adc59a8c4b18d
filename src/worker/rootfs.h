/* A runner's root file system: an overlay of the template, seen through the runner's id map, and a
 * bounded tmpfs. All of it lives in the calling process's own mount namespace, so nothing shows in
 * the host's mount table and the kernel frees it when the last process of the namespace ends.
 */
#ifndef WORKER_ROOTFS_H
#define WORKER_ROOTFS_H

#include "../common/err.h"

#include <stdint.h>

struct rootfs_spec {
    const char *template_path; /* read only, ids as on the template's disk (0, 1000, ...) */
    int userns;                /* the id map */
    uint32_t first_id;         /* host id of the runner's root */
    int64_t disk_bytes, disk_inodes;
    const char *agent;       /* the agent's file */
    const char *mount_point; /* an existing folder; the tmpfs covers it in this namespace */
};

/* Enters a new mount namespace, private, and mounts. The overlay is then at ROOTFS_MERGED below
 * mount_point, and the agent at ROOTFS_AGENT: where it lies, the runner's root may not be let in
 * (a clone below /root, say). ROOTFS_SHM is for /dev/shm, which semaphores and shared memory need:
 * a folder beside the overlay, so that it counts as the runner's disk. The process is of no other
 * use afterwards. Until it ends it holds a lock on the template, which nobody removes meanwhile.
 */
#define ROOTFS_MERGED "merged"
#define ROOTFS_AGENT "agent"
#define ROOTFS_SHM "shm"
int rootfs_mount(const struct rootfs_spec *spec, struct err *err);

#endif
