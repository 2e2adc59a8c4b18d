#include "engine_fake.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "fake_container.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define CLOCK_START_US ((mono_us)US_PER_SEC)
#define PID_BASE 1000

/* How long the agent of an adopted container is awaited. */
#define RETURN_LIMIT_US ((mono_us)10 * US_PER_SEC)

static mono_us fake_now(const struct clock *clock)
{
    return ((const struct engine_fake *)clock)->now;
}

static struct engine_fake *fake_of(const struct engine *engine)
{
    return ((const struct attached *)engine)->fake;
}

/* The seam's functions. */

static mono_us after(const struct engine_fake *fake, mono_us us)
{
    return us == ENGINE_FAKE_NEVER ? 0 : fake->now + us;
}

static struct engine_runner *fake_create(struct engine *engine, const struct engine_spec *spec,
                                         void *runner)
{
    struct engine_fake *fake = fake_of(engine);
    struct engine_fake_fate fate = fake->fate;
    if (!engine->events)
        fake_misuse("create before the engine's events are set", spec->name);
    if (!spec->rootfs || !id_name_valid(spec->name))
        fake_misuse("create without a root file system or a good name", spec->name);
    if (fake->plan)
        fake->plan(fake->counts.created, spec, &fate, fake->plan_data);
    struct fake_container *container = fake_container_add(fake, spec);
    container->refuse_open = fate.refuse_open;
    container->refuse_network = fate.refuse_network;
    container->network_us = fate.network_us;
    container->ready_at = after(fake, fate.ready_us);
    container->die_at = after(fake, fate.die_us);
    container->gone_us = fate.gone_us;
    container->return_us = fate.return_us;
    fake_container_plan(fake, container);
    fake->counts.created++;
    fake->counts.cooking++;
    return fake_container_give_handle(container, runner);
}

/* Its agent comes back, unless it never does; one that was cooking goes on with that first. */
static void await_return(struct engine_fake *fake, struct fake_container *container)
{
    mono_us back = after(fake, container->return_us);
    bool cooks = container->state == ENGINE_FAKE_COOKING;
    container->told_ready = false;
    if (back == 0 || (cooks && container->ready_at == 0)) {
        container->ready_at = 0;
        mono_us limit = fake->now + RETURN_LIMIT_US;
        if (container->die_at == 0 || container->die_at > limit)
            container->die_at = limit;
    } else if (!cooks || container->ready_at < back) {
        container->ready_at = back;
    }
    fake_container_plan(fake, container);
}

static struct engine_runner *fake_adopt(struct engine *engine, const struct engine_spec *spec,
                                        pid_t init_pid, void *runner)
{
    struct engine_fake *fake = fake_of(engine);
    struct fake_container *container = fake_container_named(fake, spec->name);
    if (!engine->events)
        fake_misuse("adopt before the engine's events are set", spec->name);
    if (container && init_pid != 0 && init_pid != (pid_t)(PID_BASE + container->place))
        fake_misuse("adopted with another init", spec->name);
    if (container && container->handle)
        fake_misuse("adopted, but it has an owner", spec->name);
    if (container && container->slot != spec->slot)
        fake_misuse("adopted with another slot", spec->name);
    if (container && container->networked != spec->networked)
        fake_misuse("adopted with another network", spec->name);
    if (!container) {
        container = fake_container_add(fake, spec);
        container->absent = true;
        fake_timer_set(fake, &container->timer, fake->now);
    } else if (container->state == ENGINE_FAKE_DYING) {
        container->destroyed = false; /* not by this engine */
    } else {
        await_return(fake, container);
    }
    container->adopted = true;
    container->pace = ENGINE_PACE_EQUAL;
    fake->counts.adopted++;
    return fake_container_give_handle(container, runner);
}

static void fake_destroy(struct engine *engine, struct engine_runner *handle)
{
    struct engine_fake *fake = fake_of(engine);
    struct fake_container *container = fake_container_of(handle);
    if (!container->destroyed)
        fake_container_begin_dying(fake, container);
}

static int fake_open(struct engine *engine, struct engine_runner *handle,
                     const struct engine_operation *operation, int take_fd, struct err *err)
{
    (void)engine;
    struct fake_container *container = fake_container_of(handle);
    cleanup_close int fd = take_fd;
    if (fake_operation_of(container, operation->id))
        fake_misuse("an operation's id is given twice", container->name);
    if (container->state != ENGINE_FAKE_READY || !container->told_ready || container->refuse_open)
        return err_set(err, ERR_BAD_GATEWAY, "the agent of %s is not connected", container->name);
    return fake_operation_add(container, operation, steal_fd(&fd), err);
}

static bool fake_signal(struct engine *engine, struct engine_runner *handle, uint32_t id,
                        int number)
{
    struct engine_fake *fake = fake_of(engine);
    struct fake_container *container = fake_container_of(handle);
    struct fake_operation *operation = fake_operation_of(container, id);
    if (container->state != ENGINE_FAKE_READY || !container->told_ready || !operation ||
        !operation->agent)
        return false;
    fake_agent_signal(operation->agent, (uint32_t)number);
    fake_operation_pump(fake, operation);
    return true;
}

static void fake_kill_operation(struct engine *engine, struct engine_runner *handle, uint32_t id)
{
    struct engine_fake *fake = fake_of(engine);
    struct fake_container *container = fake_container_of(handle);
    struct fake_operation *operation = fake_operation_of(container, id);
    if (!operation || !operation->agent || !operation->confined)
        return;
    fake_agent_kill(operation->agent);
    fake_operation_pump(fake, operation);
}

static void fake_end_operation(struct engine *engine, struct engine_runner *handle, uint32_t id)
{
    (void)engine;
    struct fake_operation *operation = fake_operation_of(fake_container_of(handle), id);
    if (!operation)
        return;
    operation->confined = false;
    if (!operation->agent)
        fake_operation_forget(operation);
}

static void fake_attach_network(struct engine *engine, struct engine_runner *handle,
                                engine_attached done, void *data)
{
    struct engine_fake *fake = fake_of(engine);
    struct fake_container *container = fake_container_of(handle);
    if (!container->told_ready || container->attached || container->networked)
        fake_misuse("its network is attached twice, or too early", container->name);
    container->attached = done;
    container->attached_data = data;
    fake_timer_set(fake, &container->network_timer, fake->now + container->network_us);
}

static int fake_set_limits(struct engine *engine, struct engine_runner *handle,
                           const struct engine_limits *limits, struct err *err)
{
    (void)engine;
    struct fake_container *container = fake_container_of(handle);
    if (container->state == ENGINE_FAKE_DYING)
        return err_set(err, ERR_BAD_GATEWAY, "%s is being destroyed", container->name);
    container->limits = *limits;
    return 0;
}

static int fake_stats(struct engine *engine, struct engine_runner *handle,
                      struct engine_stats *stats, struct err *err)
{
    (void)engine, (void)err;
    *stats = fake_container_of(handle)->stats;
    return 0;
}

static struct engine_use fake_use(struct engine *engine, struct engine_runner *handle)
{
    const struct engine_stats *stats = &fake_container_of(handle)->stats;
    (void)engine;
    return (struct engine_use){.cpu_us = stats->cpu_us,
                               .user_us = stats->user_us,
                               .pids_refused = stats->pids_refused,
                               .processes = stats->processes};
}

static void fake_set_pace(struct engine *engine, struct engine_runner *handle,
                          enum engine_pace pace)
{
    (void)engine;
    fake_container_of(handle)->pace = pace;
}

static int fake_set_disk(struct engine *engine, struct engine_runner *handle, int64_t bytes,
                         struct err *err)
{
    (void)engine;
    struct fake_container *container = fake_container_of(handle);
    if (container->state == ENGINE_FAKE_DYING)
        return err_set(err, ERR_BAD_GATEWAY, "%s is being destroyed", container->name);
    container->disk_bytes = bytes;
    return 0;
}

static int fake_disk_left(struct engine *engine, struct engine_runner *handle,
                          struct engine_disk *left, struct err *err)
{
    (void)engine, (void)err;
    *left = fake_container_of(handle)->disk_left;
    return 0;
}

static void fake_reset_peak(struct engine *engine, struct engine_runner *handle)
{
    (void)engine;
    fake_container_of(handle)->stats.memory_peak_bytes =
        fake_container_of(handle)->stats.memory_bytes;
}

static pid_t pid_of(const struct fake_container *container)
{
    return container->told_ready ? (pid_t)(PID_BASE + container->place) : 0;
}

static pid_t fake_init_pid(const struct engine_runner *handle)
{
    return pid_of(fake_container_of(handle));
}

static void fake_zombies(struct engine *engine, void (*found)(const char *name, void *data),
                         void *data)
{
    const struct engine_fake *fake = fake_of(engine);
    for (unsigned i = 0; i < fake->table_room; i++)
        if (fake->table[i] && !fake->table[i]->handle)
            found(fake->table[i]->name, data);
}

static int fake_remove_zombie(struct engine *engine, const char *name, struct err *err)
{
    struct engine_fake *fake = fake_of(engine);
    struct fake_container *container = fake_container_named(fake, name);
    if (!container)
        return err_set(err, ERR_RUNNER_NOT_FOUND, "there is no container %s", name);
    if (container->handle)
        return err_set(err, ERR_RUNNER_BUSY, "container %s has an owner", name);
    fake_container_gone(fake, container, NULL);
    return 0;
}

static void fake_finish(struct engine *engine)
{
    struct engine_fake *fake = fake_of(engine);
    for (unsigned i = 0; i < fake->table_room; i++) {
        struct fake_container *container = fake->table[i];
        if (!container)
            continue;
        fake_container_void_handle(fake, container);
        fake_timer_set(fake, &container->network_timer, 0);
        container->attached = NULL;
        container->adopted = false;
        if (container->absent)
            fake_container_gone(fake, container, NULL);
    }
    fake->counts.cooking = 0;
    fake->attached = NULL;
    free(engine);
}

static const struct engine_ops ops = {
    .create = fake_create,
    .adopt = fake_adopt,
    .destroy = fake_destroy,
    .open = fake_open,
    .signal = fake_signal,
    .kill_operation = fake_kill_operation,
    .end_operation = fake_end_operation,
    .attach_network = fake_attach_network,
    .set_limits = fake_set_limits,
    .stats = fake_stats,
    .use = fake_use,
    .set_pace = fake_set_pace,
    .set_disk = fake_set_disk,
    .disk_left = fake_disk_left,
    .reset_peak = fake_reset_peak,
    .init_pid = fake_init_pid,
    .zombies = fake_zombies,
    .remove_zombie = fake_remove_zombie,
    .finish = fake_finish,
};

/* The machine. */

struct engine_fake *engine_fake_create(void)
{
    struct engine_fake *fake = mem_new(struct engine_fake);
    fake->clock.now = fake_now;
    fake->now = CLOCK_START_US;
    fake->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (fake->epoll < 0)
        fake_misuse("no epoll", strerror(errno));
    fake->fate = (struct engine_fake_fate){
        .ready_us = 7 * US_PER_MS,
        .die_us = ENGINE_FAKE_NEVER,
        .gone_us = 4 * US_PER_MS,
        .return_us = 5 * US_PER_MS,
    };
    return fake;
}

void engine_fake_destroy(struct engine_fake *fake)
{
    if (!fake)
        return;
    if (fake->attached)
        fake_misuse("destroyed before its engine was finished", "the machine");
    for (unsigned i = 0; i < fake->table_room; i++)
        if (fake->table[i])
            fake_container_free(fake, fake->table[i]);
    while (fake->first_dead) {
        struct engine_runner *handle = fake->first_dead;
        fake->first_dead = handle->next;
        free(handle);
    }
    close(fake->epoll);
    heap_finish(&fake->timers);
    slots_finish(&fake->slots);
    free(fake->table);
    free(fake->free_places);
    free(fake);
}

const struct clock *engine_fake_clock(const struct engine_fake *fake)
{
    return &fake->clock;
}

struct engine *engine_fake_attach(struct engine_fake *fake)
{
    if (fake->attached)
        fake_misuse("attached twice", "the machine");
    fake->attached = mem_new(struct attached);
    fake->attached->engine.ops = &ops;
    fake->attached->fake = fake;
    return &fake->attached->engine;
}

void engine_fake_set_fate(struct engine_fake *fake, const struct engine_fake_fate *fate)
{
    fake->fate = *fate;
}

void engine_fake_on_create(struct engine_fake *fake, engine_fake_plan plan, void *data)
{
    fake->plan = plan;
    fake->plan_data = data;
}

/* Serves the sockets that are ready. No event of the engine fires in here, so none of them can be
 * closed by another's.
 */
static void pump_sockets(struct engine_fake *fake)
{
    struct epoll_event events[64];
    if (fake->counts.operations == 0)
        return;
    int count = epoll_wait(fake->epoll, events, ARRAY_LEN(events), 0);
    for (int i = 0; i < count; i++)
        fake_operation_pump(fake, events[i].data.ptr);
}

void engine_fake_advance(struct engine_fake *fake, mono_us us)
{
    if (fake->advancing)
        fake_misuse("advanced inside an event", "the machine");
    fake->advancing = true;
    mono_us end = fake->now + us;
    for (;;) {
        pump_sockets(fake);
        struct heap_node *node = heap_first(&fake->timers);
        if (!node || node->due > end)
            break;
        if (node->due > fake->now)
            fake->now = node->due;
        heap_remove(&fake->timers, node);
        struct fake_timer *timer = HEAP_ENTRY(node, struct fake_timer, node);
        timer->fire(fake, timer);
    }
    fake->now = end;
    fake->advancing = false;
}

mono_us engine_fake_next(const struct engine_fake *fake)
{
    const struct heap_node *node = heap_first(&fake->timers);
    return node ? node->due : 0;
}

bool engine_fake_kill(struct engine_fake *fake, const char *name)
{
    struct fake_container *container = fake_container_named(fake, name);
    if (!container || container->absent)
        return false;
    if (container->state == ENGINE_FAKE_DYING)
        return true;
    container->die_at = fake->now;
    fake_container_plan(fake, container);
    return true;
}

bool engine_fake_set_stats(struct engine_fake *fake, const char *name,
                           const struct engine_stats *stats)
{
    struct fake_container *container = fake_container_named(fake, name);
    if (!container)
        return false;
    container->stats = *stats;
    return true;
}

bool engine_fake_set_disk_left(struct engine_fake *fake, const char *name,
                               const struct engine_disk *left)
{
    struct fake_container *container = fake_container_named(fake, name);
    if (!container)
        return false;
    container->disk_left = *left;
    return true;
}

void engine_fake_set_script(struct engine_fake *fake, const struct fake_script *script,
                            engine_fake_exec exec, void *data)
{
    fake->script = *script;
    fake->on_exec = exec;
    fake->on_exec_data = data;
}

int engine_fake_fd(const struct engine_fake *fake)
{
    return fake->epoll;
}

void engine_fake_each(const struct engine_fake *fake,
                      void (*each)(const struct engine_fake_view *view, void *data), void *data)
{
    for (unsigned i = 0; i < fake->table_room; i++) {
        const struct fake_container *container = fake->table[i];
        if (!container)
            continue;
        struct engine_fake_view view = {
            .name = container->name,
            .slot = container->slot,
            .state = container->state,
            .owned = container->handle != NULL,
            .adopted = container->adopted,
            .init_pid = pid_of(container),
            .limits = container->limits,
            .networked = container->networked,
            .disk_bytes = container->disk_bytes,
            .pace = container->pace,
        };
        each(&view, data);
    }
}

struct engine_fake_counts engine_fake_count(const struct engine_fake *fake)
{
    return fake->counts;
}
