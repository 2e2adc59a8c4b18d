#include "engine_lxc.h"

#include "engine_lxc_private.h"
#include "engine_lxc_start.h"
#include "listener.h"
#include "network.h"
#include "rootfs_disk.h"

#include "../common/agent_wire.h"
#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
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

/* ---- the starter's reports ---- */

static void on_report(struct engine_lxc *engine, const struct start_report *report)
{
    struct engine_runner *handle = engine->by_slot[report->id & ((1 << SLOT_BITS) - 1)];
    if (!handle || handle->id != report->id)
        return;
    if (report->err.code != ERR_NONE)
        engine_runner_failed(handle, &report->err);
    if (report->event == START_ENDED)
        engine_runner_over(handle);
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

int engine_runner_ask(struct engine_runner *handle, bool kill_it)
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
        engine_runner_end_soon(handle);
    } else if (engine_runner_ask(handle, false) != 0) {
        err_sys(&handle->why, ERR_INTERNAL, errno, "cannot reach the starter");
        engine_runner_end_soon(handle);
    }
    return handle;
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
    if (!engine_runner_find_init(handle, init_pid)) {
        err_set(&handle->why, ERR_BAD_GATEWAY,
                "its container is not there any more, or worker.id_base has changed");
        cgroup_kill(engine->config.cgroup, spec->name); /* or not as it should be */
        engine_runner_end_soon(handle);
        return handle;
    }
    op_groups_adopt(&handle->groups);
    engine_runner_arm(handle, ENGINE_LXC_ADOPT_MS);
    return handle;
}

static void lxc_destroy(struct engine *base, struct engine_runner *handle)
{
    (void)base;
    if (handle->destroyed)
        return;
    handle->destroyed = true;
    engine_runner_kill(handle);
}

static int lxc_open(struct engine *base, struct engine_runner *handle,
                    const struct engine_operation *operation, int take_fd, struct err *err)
{
    (void)base;
    cleanup_close int fd = take_fd;
    int group = -1;
    if (!handle->control || !handle->greeted)
        return err_set(err, ERR_BAD_GATEWAY, "the runner's agent is not connected");
    if (operation->confined) {
        group = op_groups_open(&handle->groups, operation->id, err);
        if (group < 0)
            return -1;
    }
    unsigned char message[FRAME_HEADER_LEN + 16];
    const struct agent_open open = {
        .id = operation->id,
        .output_bytes =
            handle->agent_version >= 3 ? (uint64_t)operation->output_bytes : AGENT_OUTPUT_ALL,
    };
    size_t len = agent_open_encode(&open, message + FRAME_HEADER_LEN, 16);
    frame_put_header(message, FRAME_AGENT_OPEN, 0, (uint32_t)len);
    const int fds[2] = {fd, group};
    if (FAULT(AGENT_OPEN, -1,
              fd_send(chan_fd(handle->control), message, FRAME_HEADER_LEN + len, fds,
                      operation->confined ? 2 : 1)) == 0)
        return 0;
    err_sys(err, ERR_BAD_GATEWAY, errno, "the runner's agent takes no operation");
    op_groups_end(&handle->groups, operation->id);
    return -1;
}

/* One frame at a time, whole or not at all: AGENT_OPEN goes the same way. */
static bool lxc_signal(struct engine *base, struct engine_runner *handle, uint32_t id, int number)
{
    (void)base;
    const struct agent_op_signal signal = {.id = id, .signal = (uint32_t)number, .group = 1};
    unsigned char message[FRAME_HEADER_LEN + 16];
    if (!handle->control || !handle->greeted || handle->agent_version < 2)
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
        engine_runner_tidy(handle);
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

static struct engine_use lxc_use(struct engine *base, struct engine_runner *handle)
{
    return cgroup_use(((struct engine_lxc *)base)->config.cgroup, handle->spec.name);
}

static void lxc_set_pace(struct engine *base, struct engine_runner *handle, enum engine_pace pace)
{
    cgroup_set_pace(((struct engine_lxc *)base)->config.cgroup, handle->spec.name, pace,
                    &handle->spec.limits);
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
            engine_runner_close(engine->by_slot[slot]);
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
    .use = lxc_use,
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
    engine->listener = listener_create(engine->config.loop, path, 0666, (gid_t)-1,
                                       engine_lxc_on_agent, engine, err);
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
