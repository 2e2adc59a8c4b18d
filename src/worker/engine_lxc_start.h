/* The starter: a small process beside the worker that forks one child per container; the child
 * builds the root file system, configures liblxc in memory and becomes the container's monitor.
 *
 * How it works. liblxc must not be called in a large, threaded or long-lived process: it forks
 * (40 us per MB), moves its caller into the container's monitor cgroup, and waits. So the worker
 * forks the starter first of all, while it is small. Requests and answers are messages on a
 * SEQPACKET socket. When the worker dies the starter sees the end of the socket and exits; the
 * monitors go on, so the containers do, and the next worker adopts them.
 */
#ifndef WORKER_ENGINE_LXC_START_H
#define WORKER_ENGINE_LXC_START_H

#include "cgroup.h"
#include "engine.h"
#include "idmap.h"

#include <sys/types.h>

#define START_PATH_MAX 256

/* When the host is out of memory runners end first, monitors with them: what the worker has for
 * itself is no less than 0 (proc(5)), and a program cannot lower it.
 */
#define START_OOM_SCORE "500"

struct start_config {
    const struct cgroup *cgroup;
    struct idmap *idmap;
    const char *prefix;       /* of the cgroups */
    const char *run_dir;      /* mount point and LXC's folder are made in it */
    const char *agent;        /* the agent's binary on the host */
    const char *agent_folder; /* what is bound to AGENT_SOCKET_DIR */
    const char *apparmor;     /* the profile to start with; NULL where there is no AppArmor */
};

/* Worker → starter. */
struct start_request {
    uint64_t id;
    bool kill;               /* kill the monitor of this id instead, if it has not ended */
    struct engine_spec spec; /* rootfs is NULL here */
    char rootfs[START_PATH_MAX];
};

/* Starter → worker: ENDED when the monitor was reaped, or when there is none. What went wrong is in
 * err (ERR_NONE: nothing that is known), or in FAILED before it, which the child itself sends.
 */
enum start_event { START_FAILED, START_ENDED };

struct start_report {
    uint64_t id;
    enum start_event event;
    struct err err;
};

/* Where each monitor mounts its runner's disk, in its own namespace; false when that is too long.
 */
bool start_mount_point(const char *run_dir, char path[START_PATH_MAX]);

/* Forks the starter. Returns its end of the socket (non-blocking) and its pid; -1 on failure.
 * config is used by the starter as it is now.
 */
int starter_spawn(const struct start_config *config, pid_t *pid, struct err *err);

#endif
