#include "engine_lxc.h"

#include "engine_lxc_start.h"
#include "listener.h"
#include "network.h"
#include "op_groups.h"
#include "rootfs_disk.h"
#include "slots.h"

#include "../common/agent_wire.h"
#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

/* How it works. Four things happen to a runner, each reported by somebody else:
 *
 *   the starter says FAILED, ENDED                 (starter_socket)
 *   its agent connects and says hello              (listener, then a channel per agent)
 *   an adopted one, whose monitor is not the starter's child, ends    (pidfd of its init)
 *   a timer: adopted ones whose agent stays away, failures that must not call back at once, and
 *   the tidying up
 *
 * A runner is found by its slot: the starter's ids carry it, and so do the credentials of the
 * agent's socket, since no two runners share an id range. What the agent says of itself counts for
 * nothing. It is over when the monitor has ended, which removes the cgroups before; whatever is
 * left of a container that died badly is removed then, a little at a time, then its network, and
 * only then is it gone.
 *
 * When a worker dies while a container is being started, the start goes on. Its agent then meets
 * the next worker, perhaps in a slot that has a new owner: so the init must be in the very cgroup
 * of the runner, and one that is in another group of ours is nobody's and is killed.
 */
struct engine_lxc {
    struct engine engine;
    struct engine_lxc_config config;
    struct listener *listener;
    int starter_pidfd;
    uv_poll_t starter_poll, starter_exit_poll;
    uint64_t next_id;
    bool starts_go_well; /* the last one did */
    struct engine_runner **by_slot;
    unsigned slots_used; /* those above never had a runner */
    mono_us complained;  /* about a connection, last */
    int open_handles;    /* of this struct; freed with the last */
};

struct engine_runner {
    struct engine_lxc *engine;
    void *runner; /* the owner's */
    struct engine_spec spec;
    uint64_t id; /* sequence << 16 | slot */
    bool adopted, ready, destroyed;
    bool over; /* nothing runs in it any more, or never did: what is left is its cgroups */
    pid_t init_pid;
    int init_pidfd;
    int disk;             /* see rootfs_disk.h; -1: it could not be opened */
    struct chan *control; /* NULL while the agent is away */
    bool greeted;         /* it has said hello on this connection */
    bool hears_signals;   /* over this connection: it is none of an earlier version */
    unsigned connections; /* of its agent since connections_since */
    mono_us connections_since;
    struct op_groups groups;
    enum { NETWORK_NONE, NETWORK_COMING, NETWORK_THERE, NETWORK_GOING } network;
    engine_attached attached; /* while COMING */
    void *attached_data;
    bool tidy;      /* over, and its cgroups are gone */
    struct err why; /* code ERR_NONE until something failed */
    uv_timer_t timer;
    uv_poll_t exit_poll; /* of init_pidfd, adopted runners only */
    unsigned tidy_rounds;
    int open_handles;
};

#define SLOT_BITS 16
_Static_assert(SLOTS_MOST == 1 << SLOT_BITS, "an id carries the slot");

/* Tidying up is tried for a second. The monitor of an adopted runner is not ours and does it by
 * itself, so it gets a quarter of that; in the last half monitors that hang are killed.
 */
#define TIDY_MS 2
#define TIDY_ROUNDS 500

#define COMPLAINT_PAUSE_US ((mono_us)10 * US_PER_SEC)

/* An agent connects once to each worker, and again with pauses of up to half a second when that
 * fails. One that does so more often is out to keep the worker busy.
 */
#define CONNECTIONS_MOST 64
#define CONNECTIONS_US ((mono_us)10 * US_PER_SEC)

static void arm_timer(struct engine_runner *handle, uint64_t delay_ms);
static int ask_starter(struct engine_runner *handle, bool kill_it);

/* ---- the end of a runner ---- */

static void on_runner_handle_closed(uv_handle_t *closed)
{
    struct engine_runner *handle = closed->data;
    if (--handle->open_handles > 0)
        return;
    fd_close(&handle->init_pidfd);
    fd_close(&handle->disk);
    free(handle);
}

static void close_handles(struct engine_runner *handle)
{
    chan_destroy(handle->control, false);
    handle->control = NULL;
    op_groups_finish(&handle->groups);
    uv_close((uv_handle_t *)&handle->timer, on_runner_handle_closed);
    if (handle->open_handles > 1)
        uv_close((uv_handle_t *)&handle->exit_poll, on_runner_handle_closed);
}

static void note_failure(struct engine_runner *handle, const struct err *why)
{
    if (handle->why.code == ERR_NONE)
        handle->why = *why;
}

/* The last event of a runner. */
static void report_gone(struct engine_runner *handle)
{
    struct engine_lxc *engine = handle->engine;
    engine->by_slot[handle->spec.slot] = NULL;
    if (!handle->ready)
        engine->starts_go_well = false;
    if (handle->why.code == ERR_NONE)
        err_set(&handle->why, ERR_BAD_GATEWAY, "the container ended by itself");
    close_handles(handle);
    engine->engine.events->gone(handle->runner, handle->destroyed ? NULL : &handle->why);
}

static bool is_tidy(struct engine_runner *handle)
{
    const struct cgroup *cgroup = handle->engine->config.cgroup;
    unsigned round = handle->tidy_rounds++;
    if (handle->adopted && round < TIDY_ROUNDS / 4 && cgroup_exists(cgroup, handle->spec.name))
        return false;
    return cgroup_try_remove(cgroup, handle->spec.name, round > TIDY_ROUNDS / 2);
}

static void on_detached(const struct err *why, void *data)
{
    struct engine_runner *handle = data;
    (void)why; /* the network has logged it */
    handle->network = NETWORK_NONE;
    report_gone(handle);
}

/* The last step but one. */
static void end_tidy(struct engine_runner *handle)
{
    handle->tidy = true;
    if (handle->network == NETWORK_NONE) {
        report_gone(handle);
    } else if (handle->network == NETWORK_THERE) {
        handle->network = NETWORK_GOING;
        network_detach(handle->engine->config.network, handle->spec.slot, on_detached, handle);
    }
}

/* Nothing runs in it any more; it is gone when its cgroups are. */
static void end_over(struct engine_runner *handle)
{
    handle->over = true;
    if (is_tidy(handle)) {
        end_tidy(handle);
    } else if (handle->tidy_rounds > TIDY_ROUNDS) {
        log_error("a runner's cgroup cannot be removed", LOG_S("runner", handle->spec.name));
        end_tidy(handle);
    } else {
        arm_timer(handle, TIDY_MS);
    }
}

static void lxc_set_pace(struct engine *base, struct engine_runner *handle, enum engine_pace pace)
{
    cgroup_set_pace(((struct engine_lxc *)base)->config.cgroup, handle->spec.name, pace,
                    &handle->spec.limits);
}

/* Killing init kills every process of its pid namespace at once (pid_namespaces(7)). One that has
 * not been heard of yet dies with its monitor.
 */
static void kill_container(struct engine_runner *handle)
{
    if (handle->over)
        return;
    if (handle->ready)
        lxc_set_pace(&handle->engine->engine, handle, ENGINE_PACE_ENDING);
    if (handle->init_pidfd >= 0)
        pidfd_send_signal(handle->init_pidfd, SIGKILL, NULL, 0);
    else if (ask_starter(handle, true) != 0)
        arm_timer(handle, TIDY_MS); /* the starter is busy */
}

/* Its agent is not what it should be: it is not trusted with anything any more. */
static void condemn(struct engine_runner *handle, const struct err *why)
{
    note_failure(handle, why);
    chan_destroy(handle->control, false);
    handle->control = NULL;
    kill_container(handle);
}

/* ---- the agent's connection ---- */

/* It connects again, or the monitor's end is reported. */
static void on_control_closed(struct chan *chan, const struct err *why, void *data)
{
    struct engine_runner *handle = data;
    (void)chan;
    if (why->code != ERR_NONE && why->sys_errno == 0) { /* what it sent was no frame */
        condemn(handle, why);
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
        lxc_set_pace(&handle->engine->engine, handle, ENGINE_PACE_EQUAL); /* whatever it had */
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
        condemn(handle, &why);
    } else if (hello.version < AGENT_PROTOCOL_OLDEST || hello.version > AGENT_PROTOCOL) {
        err_set(&why, ERR_BAD_GATEWAY,
                "its agent speaks version %" PRIu32 " of the protocol, not %d", hello.version,
                AGENT_PROTOCOL);
        condemn(handle, &why);
    } else {
        handle->greeted = true;
        handle->hears_signals = hello.version >= 2;
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
    end_over(poll->data);
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

static void on_agent(int take_fd, void *data)
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
        condemn(handle, &err);
        return;
    }
    chan_destroy(handle->control, false);
    handle->greeted = false;
    handle->control = chan_create(engine->config.loop, steal_fd(&fd), &control_ops, handle, &err);
}

/* ---- the starter's reports ---- */

static void on_report(struct engine_lxc *engine, const struct start_report *report)
{
    struct engine_runner *handle = engine->by_slot[report->id & ((1 << SLOT_BITS) - 1)];
    if (!handle || handle->id != report->id)
        return;
    if (report->err.code != ERR_NONE)
        note_failure(handle, &report->err);
    if (report->event == START_ENDED)
        end_over(handle);
}

static void on_starter(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct engine_lxc *engine = poll->data;
    for (;;) {
        struct start_report report;
        ssize_t len = recv(engine->config.starter_socket, &report, sizeof(report), MSG_DONTWAIT);
        if (len == (ssize_t)sizeof(report)) {
            on_report(engine, &report);
            continue;
        }
        if (len < 0 && errno == EINTR)
            continue;
        return; /* its death is not seen here: its children hold the other end too */
    }
}

static void on_starter_exit(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct engine_lxc *engine = poll->data;
    uv_poll_stop(poll);
    engine->config.starter_died(engine->config.data);
}

static int ask_starter(struct engine_runner *handle, bool kill_it)
{
    struct start_request request = {.id = handle->id, .kill = kill_it, .spec = handle->spec};
    if (!kill_it &&
        !str_format(request.rootfs, sizeof(request.rootfs), "%s", handle->spec.rootfs)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    request.spec.rootfs = NULL;
    return FAULT(
        START_ASK, -1,
        fd_send(handle->engine->config.starter_socket, &request, sizeof(request), NULL, 0));
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *timer)
{
    struct engine_runner *handle = timer->data;
    if (handle->over) {
        end_over(handle);
        return;
    }
    if (handle->adopted && !handle->destroyed) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "its agent has not come back within %d s",
                ENGINE_LXC_ADOPT_MS / 1000);
        note_failure(handle, &why);
    }
    if (handle->adopted && handle->init_pidfd < 0) { /* nobody reports its end */
        cgroup_kill(handle->engine->config.cgroup, handle->spec.name);
        end_over(handle);
        return;
    }
    kill_container(handle); /* its end is reported */
}

static void arm_timer(struct engine_runner *handle, uint64_t delay_ms)
{
    uv_timer_start(&handle->timer, on_timer, delay_ms, 0);
}

/* There is no container, and nothing may be reported before the caller has returned. */
static void end_soon(struct engine_runner *handle)
{
    handle->over = true;
    arm_timer(handle, 0);
}

/* ---- the engine's functions ---- */

static struct engine_runner *allocate(struct engine_lxc *engine, const struct engine_spec *spec,
                                      void *runner)
{
    if (spec->slot >= SLOTS_MOST)
        abort();
    struct engine_runner *handle = mem_new(struct engine_runner);
    handle->engine = engine;
    handle->runner = runner;
    handle->spec = *spec;
    handle->id = engine->next_id++ << SLOT_BITS | spec->slot;
    handle->init_pidfd = -1;
    handle->disk = -1;
    op_groups_init(&handle->groups, engine->config.cgroup, engine->config.loop, handle->spec.name);
    uv_timer_init(engine->config.loop, &handle->timer);
    handle->timer.data = handle;
    handle->open_handles = 1;
    engine->by_slot[spec->slot] = handle;
    if (engine->slots_used <= spec->slot)
        engine->slots_used = spec->slot + 1;
    return handle;
}

static struct engine_runner *lxc_create(struct engine *base, const struct engine_spec *spec,
                                        void *runner)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    struct engine_runner *handle = allocate(engine, spec, runner);
    if (!engine->starts_go_well && engine->config.check &&
        engine->config.check(handle->spec.rootfs, engine->config.data, &handle->why) != 0) {
        end_soon(handle);
    } else if (ask_starter(handle, false) != 0) {
        err_sys(&handle->why, ERR_INTERNAL, errno, "cannot reach the starter");
        end_soon(handle);
    }
    return handle;
}

/* Takes hold of the init that the journal names, if it is still the slot's container's and not
 * another process that got its number. Where it cannot be told for want of a descriptor or memory,
 * its agent's connection will.
 */
static bool find_init(struct engine_runner *handle, pid_t pid)
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

static struct engine_runner *lxc_adopt(struct engine *base, const struct engine_spec *spec,
                                       pid_t init_pid, void *runner)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    struct engine_runner *handle = allocate(engine, spec, runner);
    handle->adopted = true;
    if (spec->networked) {
        handle->network = NETWORK_THERE;
        network_adopt(engine->config.network, spec->slot);
    }
    if (!find_init(handle, init_pid)) {
        err_set(&handle->why, ERR_BAD_GATEWAY,
                "its container is not there any more, or worker.id_base has changed");
        cgroup_kill(engine->config.cgroup, spec->name); /* or not as it should be */
        end_soon(handle);
        return handle;
    }
    op_groups_adopt(&handle->groups);
    arm_timer(handle, ENGINE_LXC_ADOPT_MS);
    return handle;
}

static void lxc_destroy(struct engine *base, struct engine_runner *handle)
{
    (void)base;
    if (handle->destroyed)
        return;
    handle->destroyed = true;
    kill_container(handle);
}

static int lxc_open(struct engine *base, struct engine_runner *handle, uint32_t id, bool confined,
                    int take_fd, struct err *err)
{
    (void)base;
    cleanup_close int fd = take_fd;
    int group = -1;
    if (!handle->control || !handle->greeted)
        return err_set(err, ERR_BAD_GATEWAY, "the runner's agent is not connected");
    if (confined) {
        group = op_groups_open(&handle->groups, id, err);
        if (group < 0)
            return -1;
    }
    unsigned char message[FRAME_HEADER_LEN + 16];
    const struct agent_open open = {.id = id};
    size_t len = agent_open_encode(&open, message + FRAME_HEADER_LEN, 16);
    frame_put_header(message, FRAME_AGENT_OPEN, 0, (uint32_t)len);
    const int fds[2] = {fd, group};
    if (FAULT(AGENT_OPEN, -1,
              fd_send(chan_fd(handle->control), message, FRAME_HEADER_LEN + len, fds,
                      confined ? 2 : 1)) == 0)
        return 0;
    err_sys(err, ERR_BAD_GATEWAY, errno, "the runner's agent takes no operation");
    op_groups_end(&handle->groups, id);
    return -1;
}

/* One frame at a time, whole or not at all: AGENT_OPEN goes the same way. */
static bool lxc_signal(struct engine *base, struct engine_runner *handle, uint32_t id, int number)
{
    (void)base;
    const struct agent_op_signal signal = {.id = id, .signal = (uint32_t)number, .group = 1};
    unsigned char message[FRAME_HEADER_LEN + 16];
    if (!handle->control || !handle->greeted || !handle->hears_signals)
        return false;
    size_t len = agent_op_signal_encode(&signal, message + FRAME_HEADER_LEN, 16);
    frame_put_header(message, FRAME_AGENT_OP_SIGNAL, 0, (uint32_t)len);
    return fd_send(chan_fd(handle->control), message, FRAME_HEADER_LEN + len, NULL, 0) == 0;
}

static void lxc_kill_operation(struct engine *base, struct engine_runner *handle, uint32_t id)
{
    (void)base;
    op_groups_kill(&handle->groups, id);
}

static void lxc_end_operation(struct engine *base, struct engine_runner *handle, uint32_t id)
{
    (void)base;
    op_groups_end(&handle->groups, id);
}

static void on_attached(const struct err *why, void *data)
{
    struct engine_runner *handle = data;
    handle->network = why ? NETWORK_NONE : NETWORK_THERE;
    handle->attached(why, handle->attached_data);
    if (handle->tidy)
        end_tidy(handle);
}

static void lxc_attach_network(struct engine *base, struct engine_runner *handle,
                               engine_attached done, void *data)
{
    const struct engine_lxc_config *config = &((struct engine_lxc *)base)->config;
    handle->network = NETWORK_COMING;
    handle->attached = done;
    handle->attached_data = data;
    network_attach(config->network, handle->spec.slot, handle->init_pid, handle->init_pidfd,
                   idmap_first(config->idmap, handle->spec.slot), on_attached, handle);
}

static int lxc_set_limits(struct engine *base, struct engine_runner *handle,
                          const struct engine_limits *limits, struct err *err)
{
    return cgroup_set_limits(((struct engine_lxc *)base)->config.cgroup, handle->spec.name, limits,
                             err);
}

static int lxc_stats(struct engine *base, struct engine_runner *handle, struct engine_stats *stats,
                     struct err *err)
{
    return cgroup_stats(((struct engine_lxc *)base)->config.cgroup, handle->spec.name, stats, err);
}

static int64_t lxc_cpu_us(struct engine *base, struct engine_runner *handle)
{
    return cgroup_cpu_us(((struct engine_lxc *)base)->config.cgroup, handle->spec.name);
}

static int lxc_set_disk(struct engine *base, struct engine_runner *handle, int64_t bytes,
                        struct err *err)
{
    (void)base;
    if (handle->disk < 0)
        return err_set(err, ERR_INTERNAL, "the runner's disk is out of sight");
    return rootfs_disk_resize(handle->disk, bytes, err);
}

static int lxc_disk_left(struct engine *base, struct engine_runner *handle,
                         struct engine_disk *left, struct err *err)
{
    (void)base;
    if (handle->disk < 0)
        return err_set(err, ERR_INTERNAL, "the runner's disk is out of sight");
    return rootfs_disk_left(handle->disk, left, err);
}

static void lxc_reset_peak(struct engine *base, struct engine_runner *handle)
{
    cgroup_reset_peak(((struct engine_lxc *)base)->config.cgroup, handle->spec.name);
}

static pid_t lxc_init_pid(const struct engine_runner *handle)
{
    return handle->init_pid;
}

struct zombie_search {
    struct engine_lxc *engine;
    void (*found)(const char *name, void *data);
    void *data;
};

static void look_for_owner(const char *name, void *data)
{
    const struct zombie_search *search = data;
    for (unsigned slot = 0; slot < search->engine->slots_used; slot++) {
        const struct engine_runner *handle = search->engine->by_slot[slot];
        if (handle && strcmp(handle->spec.name, name) == 0)
            return;
    }
    search->found(name, search->data);
}

static void lxc_zombies(struct engine *base, void (*found)(const char *name, void *data),
                        void *data)
{
    struct zombie_search search = {(struct engine_lxc *)base, found, data};
    cgroup_each(search.engine->config.cgroup, look_for_owner, &search);
}

static int lxc_remove_zombie(struct engine *base, const char *name, struct err *err)
{
    return cgroup_remove(((struct engine_lxc *)base)->config.cgroup, name, err);
}

static void on_engine_handle_closed(uv_handle_t *closed)
{
    struct engine_lxc *engine = closed->data;
    if (--engine->open_handles > 0)
        return;
    fd_close(&engine->config.starter_socket);
    fd_close(&engine->starter_pidfd);
    free(engine->by_slot);
    free(engine);
}

static void lxc_finish(struct engine *base)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    for (unsigned slot = 0; slot < engine->slots_used; slot++)
        if (engine->by_slot[slot])
            close_handles(engine->by_slot[slot]);
    listener_destroy(engine->listener);
    uv_close((uv_handle_t *)&engine->starter_poll, on_engine_handle_closed);
    uv_close((uv_handle_t *)&engine->starter_exit_poll, on_engine_handle_closed);
}

static const struct engine_ops ops = {
    .create = lxc_create,
    .adopt = lxc_adopt,
    .destroy = lxc_destroy,
    .open = lxc_open,
    .signal = lxc_signal,
    .kill_operation = lxc_kill_operation,
    .end_operation = lxc_end_operation,
    .attach_network = lxc_attach_network,
    .set_limits = lxc_set_limits,
    .stats = lxc_stats,
    .cpu_us = lxc_cpu_us,
    .set_pace = lxc_set_pace,
    .set_disk = lxc_set_disk,
    .disk_left = lxc_disk_left,
    .reset_peak = lxc_reset_peak,
    .init_pid = lxc_init_pid,
    .zombies = lxc_zombies,
    .remove_zombie = lxc_remove_zombie,
    .finish = lxc_finish,
};

/* The folder is bound into every runner: 0755 so that their roots reach the socket, which anybody
 * may connect to and only a container's init is listened to on.
 */
static int listen_for_agents(struct engine_lxc *engine, struct err *err)
{
    char folder[START_PATH_MAX], path[2 * START_PATH_MAX];
    if (!str_format(folder, sizeof(folder), "%s/" ENGINE_LXC_AGENT_FOLDER, engine->config.run_dir))
        return err_set(err, ERR_INTERNAL, "path too long: %s", engine->config.run_dir);
    if (fd_mkdirs(folder, 0755, err) != 0)
        return -1;
    str_format(path, sizeof(path), "%s/" AGENT_SOCKET_NAME, folder);
    engine->listener =
        listener_create(engine->config.loop, path, 0666, (gid_t)-1, on_agent, engine, err);
    return engine->listener ? 0 : -1;
}

struct engine *engine_lxc_create(const struct engine_lxc_config *config, struct err *err)
{
    struct engine_lxc *engine = mem_new(struct engine_lxc);
    engine->engine.ops = &ops;
    engine->config = *config;
    /* No engine before this one has given these ids, even if its starter lives on. */
    engine->next_id = (uint64_t)clock_now(&clock_system);
    engine->by_slot = mem_calloc(SLOTS_MOST, sizeof(*engine->by_slot));
    engine->starter_pidfd = pidfd_open(config->starter, 0);
    if (engine->starter_pidfd < 0)
        err_sys(err, ERR_INTERNAL, errno, "the starter is gone already");
    if (engine->starter_pidfd < 0 || listen_for_agents(engine, err) != 0) {
        fd_close(&engine->starter_pidfd);
        fd_close(&engine->config.starter_socket);
        free(engine->by_slot);
        free(engine);
        return NULL;
    }
    uv_poll_init(config->loop, &engine->starter_poll, config->starter_socket);
    uv_poll_init(config->loop, &engine->starter_exit_poll, engine->starter_pidfd);
    engine->starter_poll.data = engine;
    engine->starter_exit_poll.data = engine;
    engine->open_handles = 2;
    uv_poll_start(&engine->starter_poll, UV_READABLE, on_starter);
    uv_poll_start(&engine->starter_exit_poll, UV_READABLE, on_starter_exit);
    return &engine->engine;
}
