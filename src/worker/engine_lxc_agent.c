#include "engine_lxc_private.h"

#include "engine_lxc_start.h"
#include "rootfs_disk.h"

#include "../common/agent_wire.h"
#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#define COMPLAINT_PAUSE_US ((mono_us)10 * US_PER_SEC)

/* An agent connects once to each worker, and again with pauses of up to half a second when that
 * fails. One that does so more often is out to keep the worker busy.
 */
#define CONNECTIONS_MOST 64
#define CONNECTIONS_US ((mono_us)10 * US_PER_SEC)

/* It connects again, or the monitor's end is reported. */
static void on_control_closed(struct chan *chan, const struct err *why, void *data)
{
    struct engine_runner *handle = data;
    (void)chan;
    if (why->code != ERR_NONE && why->sys_errno == 0) { /* what it sent was no frame */
        engine_runner_condemn(handle, why);
        return;
    }
    chan_destroy(handle->control, false);
    handle->control = NULL;
}

static void open_disk(struct engine_runner *handle)
{
    char path[START_PATH_MAX];
    struct err err;
    start_mount_point(handle->engine->config.run_dir, path);
    handle->disk = rootfs_disk_open(handle->init_pid, handle->init_pidfd, path, &err);
    if (handle->disk < 0)
        log_warn("a runner's disk is out of sight", LOG_S("runner", handle->spec.name),
                 LOG_ERR(&err));
}

static void become_ready(struct engine_runner *handle)
{
    if (handle->ready || handle->destroyed)
        return;
    handle->ready = true;
    open_disk(handle);
    uv_timer_stop(&handle->timer);
    if (handle->adopted) {
        cgroup_set_pace(handle->engine->config.cgroup, handle->spec.name, ENGINE_PACE_EQUAL,
                        &handle->spec.limits); /* whatever it had */
    } else {
        handle->engine->starts_go_well = true;
        cgroup_reset_peak(handle->engine->config.cgroup, handle->spec.name);
    }
    handle->engine->engine.events->ready(handle->runner);
}

static void on_control_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct engine_runner *handle = data;
    struct agent_hello hello;
    struct err why;
    (void)chan;
    if (handle->greeted || frame->type != FRAME_AGENT_HELLO ||
        !FAULT(AGENT_HELLO, false, agent_hello_decode(frame->payload, frame->len, &hello))) {
        err_set(&why, ERR_BAD_GATEWAY, "its agent does not keep to the protocol");
        engine_runner_condemn(handle, &why);
    } else if (hello.version < AGENT_PROTOCOL_OLDEST || hello.version > AGENT_PROTOCOL) {
        err_set(&why, ERR_BAD_GATEWAY,
                "its agent speaks version %" PRIu32 " of the protocol, not %d", hello.version,
                AGENT_PROTOCOL);
        engine_runner_condemn(handle, &why);
    } else {
        handle->greeted = true;
        handle->agent_version = hello.version;
        become_ready(handle);
    }
}

static const struct chan_ops control_ops = {
    .on_frame = on_control_frame,
    .on_closed = on_control_closed,
};

/* Whether pid is the init of a pid namespace directly below ours, NSpid being "host 1", and its
 * user the root of the slot's id range (proc(5)): the one process that LXC started there.
 */
static bool is_container_init(const struct engine_lxc *engine, unsigned slot, pid_t pid)
{
    char path[64], status[4096];
    unsigned uid;
    int host, inside, deeper;
    str_format(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (FAULT(AGENT_STATUS, -1, fd_read_file(AT_FDCWD, path, status, sizeof(status))) <= 0)
        return false;
    const char *user = strstr(status, "\nUid:"), *pids = strstr(status, "\nNSpid:");
    return user && sscanf(user, "\nUid: %u", &uid) == 1 &&
           uid == idmap_first(engine->config.idmap, slot) && pids &&
           sscanf(pids, "\nNSpid: %d %d%d", &host, &inside, &deeper) == 2 && inside == 1;
}

static void complain(struct engine_lxc *engine, const struct ucred *peer)
{
    mono_us now = clock_now(&clock_system);
    if (engine->complained && now - engine->complained < COMPLAINT_PAUSE_US)
        return;
    engine->complained = now;
    log_warn("refused a connection to the agents' socket", LOG_D("uid", peer->uid),
             LOG_D("pid", peer->pid));
}

/* It is the init of a container in a group of ours that has no owner. pidfd was opened before that
 * was found out, so it cannot be somebody else's.
 */
static void kill_stray(int pidfd, const char *name)
{
    log_info("killing a container that nobody owns", LOG_S("runner", name));
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
}

static void on_adopted_exit(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    uv_poll_stop(poll);
    engine_runner_over(poll->data);
}

static bool hold_init(struct engine_runner *handle, pid_t pid, int *take_pidfd)
{
    if (handle->init_pidfd >= 0)
        return handle->init_pid == pid;
    handle->init_pidfd = steal_fd(take_pidfd);
    handle->init_pid = pid;
    if (!handle->adopted)
        return true;
    uv_poll_init(handle->engine->config.loop, &handle->exit_poll, handle->init_pidfd);
    handle->exit_poll.data = handle;
    handle->open_handles++;
    uv_poll_start(&handle->exit_poll, UV_READABLE, on_adopted_exit);
    return true;
}

/* Whether one more is within what an agent may do. */
static bool count_connection(struct engine_runner *handle)
{
    mono_us now = clock_now(&clock_system);
    if (now - handle->connections_since > CONNECTIONS_US) {
        handle->connections_since = now;
        handle->connections = 0;
    }
    return ++handle->connections <= CONNECTIONS_MOST;
}

/* The agent that is known already, whose init is held, so that its number is nobody else's. */
static struct engine_runner *find_known(struct engine_lxc *engine, int slot, pid_t pid)
{
    struct engine_runner *handle = slot >= 0 && slot < SLOTS_MOST ? engine->by_slot[slot] : NULL;
    return handle && handle->init_pidfd >= 0 && handle->init_pid == pid ? handle : NULL;
}

/* Whose agent this is; NULL, and it was said why, when it is none. */
static struct engine_runner *identify(struct engine_lxc *engine, const struct ucred *peer)
{
    char name[NAME_MAX_LEN + 1];
    int slot = idmap_slot(engine->config.idmap, peer->uid);
    struct engine_runner *known = find_known(engine, slot, peer->pid);
    if (known)
        return known->over ? NULL : known;
    cleanup_close int pidfd = FAULT(AGENT_PIDFD, -1, pidfd_open(peer->pid, 0));
    if (pidfd < 0 || slot < 0 || slot >= SLOTS_MOST ||
        !is_container_init(engine, (unsigned)slot, peer->pid) ||
        !cgroup_runner_of(engine->config.cgroup, peer->pid, name)) {
        complain(engine, peer);
        return NULL;
    }
    struct engine_runner *handle = engine->by_slot[slot];
    if (!handle || strcmp(handle->spec.name, name) != 0) {
        kill_stray(pidfd, name);
        return NULL;
    }
    return !handle->over && hold_init(handle, peer->pid, &pidfd) ? handle : NULL;
}

void engine_lxc_on_agent(int take_fd, void *data)
{
    struct engine_lxc *engine = data;
    struct ucred peer;
    struct err err;
    socklen_t len = sizeof(peer);
    cleanup_close int fd = take_fd;
    if (FAULT(AGENT_PEER, -1, getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) != 0)
        return;
    struct engine_runner *handle = identify(engine, &peer);
    if (!handle)
        return;
    if (!count_connection(handle)) {
        err_set(&err, ERR_BAD_GATEWAY, "its agent connects over and over");
        engine_runner_condemn(handle, &err);
        return;
    }
    chan_destroy(handle->control, false);
    handle->greeted = false;
    handle->control = chan_create(engine->config.loop, steal_fd(&fd), &control_ops, handle, &err);
}

bool engine_runner_find_init(struct engine_runner *handle, pid_t pid)
{
    const struct engine_lxc *engine = handle->engine;
    char name[NAME_MAX_LEN + 1];
    cleanup_close int pidfd = FAULT(ADOPT_PIDFD, -1, pidfd_open(pid, 0));
    if (pidfd < 0 && errno != ESRCH && errno != EINVAL)
        return true;
    return pidfd >= 0 && is_container_init(engine, handle->spec.slot, pid) &&
           cgroup_runner_of(engine->config.cgroup, pid, name) &&
           strcmp(name, handle->spec.name) == 0 && hold_init(handle, pid, &pidfd);
}
