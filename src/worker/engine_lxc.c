#include "engine_lxc.h"

#include "engine_lxc_start.h"

#include "../common/agent_wire.h"
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
#include <sys/stat.h>
#include <sys/un.h>

/* How it works. Four things happen to a runner, each reported by somebody else:
 *
 *   the starter says STARTED, FAILED, ENDED        (starter_socket)
 *   its agent connects and says hello              (listener, then a channel per agent)
 *   an adopted one, whose monitor is not the starter's child, ends    (pidfd of its init)
 *   a timer: adopted ones whose agent stays away, and failures that must not call back at once
 *
 * A runner is found by its slot: the starter's ids carry it, and so do the credentials of the
 * agent's socket, since no two runners share an id range. What the agent says of itself counts for
 * nothing. It is over when the monitor has ended (LXC then has removed the cgroups); whatever is
 * left of a container that died badly is removed then.
 */
struct engine_lxc {
    struct engine engine;
    struct engine_lxc_config config;
    char socket_path[START_PATH_MAX];
    int listener;
    int starter_pidfd;
    uv_poll_t listener_poll, starter_poll, starter_exit_poll;
    uint64_t next_id;
    bool starts_go_well; /* the last one did */
    struct engine_runner **by_slot;
    int open_handles; /* of this struct; freed with the last */
};

struct engine_runner {
    struct engine_lxc *engine;
    void *runner; /* the owner's */
    struct engine_spec spec;
    uint64_t id; /* sequence << 16 | slot */
    bool adopted, ready, destroyed, exited;
    pid_t init_pid;
    int init_pidfd;
    struct chan *control; /* NULL while the agent is away */
    struct err why;       /* code ERR_NONE until something failed */
    uv_timer_t timer;
    uv_poll_t exit_poll; /* of init_pidfd, adopted runners only */
    unsigned tidy_rounds;
    int open_handles;
};

#define SLOT_BITS 16

static void arm_timer(struct engine_runner *handle, uint64_t delay_ms);

/* ---- the end of a runner ---- */

static void on_runner_handle_closed(uv_handle_t *closed)
{
    struct engine_runner *handle = closed->data;
    if (--handle->open_handles > 0)
        return;
    fd_close(&handle->init_pidfd);
    free(handle);
}

static void note_failure(struct engine_runner *handle, const struct err *why)
{
    if (handle->why.code == ERR_NONE)
        handle->why = *why;
}

/* The last event of a runner. */
static void finish(struct engine_runner *handle)
{
    struct engine_lxc *engine = handle->engine;
    struct err err;
    cgroup_operations_remove(engine->config.cgroup, handle->spec.name);
    if (cgroup_exists(engine->config.cgroup, handle->spec.name) &&
        cgroup_remove(engine->config.cgroup, handle->spec.name, &err) != 0)
        log_warn("cannot tidy up", LOG_S("runner", handle->spec.name), LOG_ERR(&err));
    engine->by_slot[handle->spec.slot] = NULL;
    chan_destroy(handle->control, false);
    handle->control = NULL;
    if (!handle->ready)
        engine->starts_go_well = false;
    if (!handle->destroyed && handle->why.code == ERR_NONE)
        err_set(&handle->why, ERR_BAD_GATEWAY, "the container ended by itself");
    engine->engine.events->gone(handle->runner, handle->destroyed ? NULL : &handle->why);
    uv_close((uv_handle_t *)&handle->timer, on_runner_handle_closed);
    if (handle->adopted && handle->init_pidfd >= 0)
        uv_close((uv_handle_t *)&handle->exit_poll, on_runner_handle_closed);
}

/* ---- the agent's connection ---- */

static void on_control_closed(struct chan *chan, const struct err *why, void *data)
{
    struct engine_runner *handle = data;
    (void)why; /* it connects again, or the monitor's end is reported */
    chan_destroy(chan, false);
    handle->control = NULL;
}

static bool hold_init(struct engine_runner *handle, pid_t pid)
{
    if (handle->init_pidfd >= 0)
        return handle->init_pid == pid;
    handle->init_pidfd = pidfd_open(pid, 0);
    handle->init_pid = pid;
    return handle->init_pidfd >= 0;
}

static void become_ready(struct engine_runner *handle)
{
    if (handle->ready || handle->destroyed)
        return;
    handle->ready = true;
    handle->engine->starts_go_well = true;
    if (!handle->adopted)
        cgroup_reset_peak(handle->engine->config.cgroup, handle->spec.name);
    uv_timer_stop(&handle->timer);
    handle->engine->engine.events->ready(handle->runner);
}

static void on_control_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct engine_runner *handle = data;
    struct agent_hello hello;
    if (frame->type != FRAME_AGENT_HELLO ||
        !agent_hello_decode(frame->payload, frame->len, &hello) ||
        hello.version != PROTOCOL_VERSION) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "the agent does not speak version %d of the protocol",
                PROTOCOL_VERSION);
        note_failure(handle, &why);
        on_control_closed(chan, &why, data);
        return;
    }
    become_ready(handle);
}

static const struct chan_ops control_ops = {
    .on_frame = on_control_frame,
    .on_closed = on_control_closed,
};

/* Whether pid is the init of a pid namespace directly below ours: NSpid is "host 1", proc(5). With
 * its user id that makes it the one process that LXC started in that slot.
 */
static bool is_container_init(pid_t pid)
{
    char path[64], status[4096];
    str_format(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (fd_read_file(AT_FDCWD, path, status, sizeof(status)) <= 0)
        return false;
    const char *line = strstr(status, "\nNSpid:");
    int host, inside, deeper;
    return line && sscanf(line, "\nNSpid: %d %d%d", &host, &inside, &deeper) == 2 && inside == 1;
}

static void accept_agent(struct engine_lxc *engine, int take_fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    cleanup_close int fd = take_fd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return;
    int slot = idmap_slot(engine->config.idmap, peer.uid);
    struct engine_runner *handle =
        slot >= 0 && (unsigned)slot < engine->config.max_slots ? engine->by_slot[slot] : NULL;
    if (!handle || !is_container_init(peer.pid) || !hold_init(handle, peer.pid)) {
        log_warn("refused a connection to the agents' socket", LOG_D("uid", peer.uid),
                 LOG_D("pid", peer.pid));
        return;
    }
    struct err err;
    chan_destroy(handle->control, false);
    handle->control = chan_create(engine->config.loop, steal_fd(&fd), &control_ops, handle, &err);
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct engine_lxc *engine = poll->data;
    for (;;) {
        int fd = accept4(engine->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        accept_agent(engine, fd);
    }
}

/* ---- the starter's reports ---- */

static void on_report(struct engine_lxc *engine, const struct start_report *report)
{
    struct engine_runner *handle = engine->by_slot[report->id & ((1 << SLOT_BITS) - 1)];
    if (!handle || handle->id != report->id)
        return;
    if (report->event == START_FAILED)
        note_failure(handle, &report->err);
    else if (report->event == START_ENDED)
        finish(handle);
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
    return fd_send(handle->engine->config.starter_socket, &request, sizeof(request), NULL, 0);
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *timer)
{
    struct engine_runner *handle = timer->data;
    struct engine_lxc *engine = handle->engine;
    if (handle->adopted && handle->init_pidfd >= 0 && !handle->exited) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "its agent has not come back within %d s",
                ENGINE_LXC_ADOPT_MS / 1000);
        note_failure(handle, &why);
        pidfd_send_signal(handle->init_pidfd, SIGKILL, NULL, 0);
        return; /* exit_poll sees the end */
    }
    /* Its monitor belongs to an earlier starter: give it half a second to remove the cgroups. */
    if (handle->adopted && cgroup_exists(engine->config.cgroup, handle->spec.name) &&
        handle->tidy_rounds++ < 50) {
        arm_timer(handle, 10);
        return;
    }
    finish(handle);
}

static void arm_timer(struct engine_runner *handle, uint64_t delay_ms)
{
    uv_timer_start(&handle->timer, on_timer, delay_ms, 0);
}

static void on_adopted_exit(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct engine_runner *handle = poll->data;
    uv_poll_stop(poll);
    handle->exited = true;
    arm_timer(handle, 0);
}

/* ---- the engine's functions ---- */

static struct engine_runner *allocate(struct engine_lxc *engine, const struct engine_spec *spec,
                                      void *runner)
{
    struct engine_runner *handle = mem_new(struct engine_runner);
    handle->engine = engine;
    handle->runner = runner;
    handle->spec = *spec;
    handle->id = engine->next_id++ << SLOT_BITS | spec->slot;
    handle->init_pidfd = -1;
    uv_timer_init(engine->config.loop, &handle->timer);
    handle->timer.data = handle;
    handle->open_handles = 1;
    engine->by_slot[spec->slot] = handle;
    return handle;
}

static struct engine_runner *lxc_create(struct engine *base, const struct engine_spec *spec,
                                        void *runner)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    struct engine_runner *handle = allocate(engine, spec, runner);
    if (!engine->starts_go_well && engine->config.check &&
        engine->config.check(engine->config.data, &handle->why) != 0) {
        arm_timer(handle, 0);
    } else if (ask_starter(handle, false) != 0) {
        err_sys(&handle->why, ERR_INTERNAL, errno, "cannot reach the starter");
        arm_timer(handle, 0);
    }
    return handle;
}

/* Whether pid is the init that the slot's container had: not another that got its number. */
static bool still_there(const struct engine_lxc *engine, const struct engine_spec *spec, pid_t pid)
{
    char path[64], status[4096];
    unsigned uid;
    str_format(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (fd_read_file(AT_FDCWD, path, status, sizeof(status)) <= 0)
        return false;
    const char *line = strstr(status, "\nUid:");
    return line && sscanf(line, "\nUid: %u", &uid) == 1 &&
           uid == idmap_first(engine->config.idmap, spec->slot) && is_container_init(pid);
}

static struct engine_runner *lxc_adopt(struct engine *base, const struct engine_spec *spec,
                                       pid_t init_pid, void *runner)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    struct engine_runner *handle = allocate(engine, spec, runner);
    handle->adopted = true;
    if (!hold_init(handle, init_pid) || !still_there(engine, spec, init_pid)) {
        fd_close(&handle->init_pidfd);
        err_set(&handle->why, ERR_BAD_GATEWAY, "its container is not there any more");
        arm_timer(handle, 0);
        return handle;
    }
    uv_poll_init(engine->config.loop, &handle->exit_poll, handle->init_pidfd);
    handle->exit_poll.data = handle;
    handle->open_handles++;
    uv_poll_start(&handle->exit_poll, UV_READABLE, on_adopted_exit);
    arm_timer(handle, ENGINE_LXC_ADOPT_MS);
    return handle;
}

static void lxc_destroy(struct engine *base, struct engine_runner *handle)
{
    (void)base;
    if (handle->destroyed)
        return;
    handle->destroyed = true;
    /* Killing init kills every process of its pid namespace at once (pid_namespaces(7)). */
    if (handle->init_pidfd >= 0)
        pidfd_send_signal(handle->init_pidfd, SIGKILL, NULL, 0);
    else if (!handle->adopted && ask_starter(handle, true) != 0)
        log_error("cannot reach the starter", LOG_S("runner", handle->spec.name));
}

static int lxc_open(struct engine *base, struct engine_runner *handle, uint32_t id, bool confined,
                    int take_fd, struct err *err)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    cleanup_close int fd = take_fd;
    cleanup_close int group = -1;
    if (!handle->control)
        return err_set(err, ERR_BAD_GATEWAY, "the runner's agent is not connected");
    if (confined) {
        group = cgroup_operation_create(engine->config.cgroup, handle->spec.name, id, err);
        if (group < 0)
            return -1;
    }
    unsigned char message[FRAME_HEADER_LEN + 16];
    const struct agent_open open = {.id = id};
    size_t len = agent_open_encode(&open, message + FRAME_HEADER_LEN, 16);
    frame_put_header(message, FRAME_AGENT_OPEN, 0, (uint32_t)len);
    const int fds[2] = {fd, group};
    if (fd_send(chan_fd(handle->control), message, FRAME_HEADER_LEN + len, fds, confined ? 2 : 1) !=
        0)
        return err_sys(err, ERR_BAD_GATEWAY, errno, "the runner's agent takes no operation");
    return 0;
}

static void lxc_kill_operation(struct engine *base, struct engine_runner *handle, uint32_t id)
{
    cgroup_operation_kill(((struct engine_lxc *)base)->config.cgroup, handle->spec.name, id);
}

static void lxc_end_operation(struct engine *base, struct engine_runner *handle, uint32_t id)
{
    cgroup_operation_remove(((struct engine_lxc *)base)->config.cgroup, handle->spec.name, id);
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
    for (unsigned slot = 0; slot < search->engine->config.max_slots; slot++) {
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
    fd_close(&engine->listener);
    fd_close(&engine->config.starter_socket);
    fd_close(&engine->starter_pidfd);
    free(engine->by_slot);
    free(engine);
}

static void lxc_finish(struct engine *base)
{
    struct engine_lxc *engine = (struct engine_lxc *)base;
    for (unsigned slot = 0; slot < engine->config.max_slots; slot++) {
        struct engine_runner *handle = engine->by_slot[slot];
        if (!handle)
            continue;
        chan_destroy(handle->control, false);
        uv_close((uv_handle_t *)&handle->timer, on_runner_handle_closed);
        if (handle->adopted && handle->init_pidfd >= 0)
            uv_close((uv_handle_t *)&handle->exit_poll, on_runner_handle_closed);
    }
    uv_close((uv_handle_t *)&engine->listener_poll, on_engine_handle_closed);
    uv_close((uv_handle_t *)&engine->starter_poll, on_engine_handle_closed);
    uv_close((uv_handle_t *)&engine->starter_exit_poll, on_engine_handle_closed);
}

static const struct engine_ops ops = {
    .create = lxc_create,
    .adopt = lxc_adopt,
    .destroy = lxc_destroy,
    .open = lxc_open,
    .kill_operation = lxc_kill_operation,
    .end_operation = lxc_end_operation,
    .set_limits = lxc_set_limits,
    .stats = lxc_stats,
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
    char folder[START_PATH_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!str_format(folder, sizeof(folder), "%s/" ENGINE_LXC_AGENT_FOLDER,
                    engine->config.run_dir) ||
        !str_format(address.sun_path, sizeof(address.sun_path), "%s/" AGENT_SOCKET_NAME, folder))
        return err_set(err, ERR_INTERNAL, "%s: path too long", engine->config.run_dir);
    if (fd_mkdirs(folder, 0755, err) != 0)
        return -1;
    engine->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (unlink(address.sun_path) != 0 && errno != ENOENT)
        return err_sys(err, ERR_INTERNAL, errno, "cannot replace %s", address.sun_path);
    if (engine->listener < 0 ||
        bind(engine->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(address.sun_path, 0666) != 0 || listen(engine->listener, 1024) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot listen on %s", address.sun_path);
    return 0;
}

struct engine *engine_lxc_create(const struct engine_lxc_config *config, struct err *err)
{
    struct engine_lxc *engine = mem_new(struct engine_lxc);
    engine->engine.ops = &ops;
    engine->config = *config;
    engine->listener = -1;
    engine->next_id = 1;
    engine->by_slot = mem_calloc(config->max_slots, sizeof(*engine->by_slot));
    engine->starter_pidfd = pidfd_open(config->starter, 0);
    if (engine->starter_pidfd < 0)
        err_sys(err, ERR_INTERNAL, errno, "the starter is gone already");
    if (engine->starter_pidfd < 0 || listen_for_agents(engine, err) != 0) {
        fd_close(&engine->starter_pidfd);
        fd_close(&engine->listener);
        free(engine->by_slot);
        free(engine);
        return NULL;
    }
    uv_poll_init(config->loop, &engine->listener_poll, engine->listener);
    uv_poll_init(config->loop, &engine->starter_poll, config->starter_socket);
    uv_poll_init(config->loop, &engine->starter_exit_poll, engine->starter_pidfd);
    engine->listener_poll.data = engine;
    engine->starter_poll.data = engine;
    engine->starter_exit_poll.data = engine;
    engine->open_handles = 3;
    uv_poll_start(&engine->listener_poll, UV_READABLE, on_listener);
    uv_poll_start(&engine->starter_poll, UV_READABLE, on_starter);
    uv_poll_start(&engine->starter_exit_poll, UV_READABLE, on_starter_exit);
    return &engine->engine;
}
