/* How it works. A container is a record in a table. Its handle is a record of its own that stays
 * for a long while after the container is gone, so that using it then is noticed. One heap of
 * timers holds what will happen: at most one timer a container and one an operation.
 */
#include "engine_fake.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "heap.h"
#include "slots.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define CLOCK_START_US ((mono_us)US_PER_SEC)
#define RETURN_LIMIT_US                                                                            \
    ((mono_us)10 * US_PER_SEC) /* how long an adopted one's agent is awaited                       \
                                */
#define PID_BASE 1000
#define DEAD_HANDLES_MOST 65536

struct timer {
    struct heap_node node;
    void (*fire)(struct engine_fake *fake, struct timer *timer);
};

struct operation {
    struct timer timer; /* until the program's time is over */
    struct container *container;
    struct operation *next;
    struct fake_agent *agent; /* NULL: over, but still confined */
    bool confined;
    uint32_t id;
};

struct engine_runner {
    struct container *container; /* NULL: void, it waits to be freed */
    struct engine_runner *next;
};

struct container {
    struct timer timer;
    struct engine_fake *fake;
    struct engine_runner *handle; /* NULL: of no engine */
    unsigned place;
    unsigned slot;
    char name[NAME_MAX_LEN + 1];
    enum engine_fake_state state;
    bool adopted;    /* by the engine whose handle it has */
    bool destroyed;  /* by request; else it dies by itself */
    bool told_ready; /* to that engine */
    bool absent;     /* adopted, but there is no such container */
    bool refuse_open;
    void *runner;
    mono_us ready_at, die_at; /* 0: never */
    mono_us gone_us, return_us;
    struct operation *operations;
    struct engine_stats stats;
    struct engine_limits limits;
};

struct attached {
    struct engine engine; /* first */
    struct engine_fake *fake;
};

struct engine_fake {
    struct clock clock; /* first */
    mono_us now;
    struct heap timers;
    struct container **table; /* NULL: free */
    unsigned table_room;
    unsigned *free_places, free_count;
    void *names;        /* a tree of containers, see tsearch(3) */
    struct slots slots; /* of all containers */
    struct engine_runner *first_dead, *last_dead;
    unsigned dead_count;
    struct attached *attached; /* NULL: none */
    struct engine_fake_fate fate;
    engine_fake_plan plan;
    void *plan_data;
    struct fake_script script;
    engine_fake_exec on_exec;
    void *on_exec_data;
    struct engine_fake_counts counts;
    int epoll;
    bool advancing;
};

static _Noreturn void misuse(const char *what, const char *name)
{
    fprintf(stderr, "engine_fake: %s: %s\n", name, what);
    abort();
}

static mono_us fake_now(const struct clock *clock)
{
    return ((const struct engine_fake *)clock)->now;
}

static struct engine_fake *fake_of(const struct engine *engine)
{
    return ((const struct attached *)engine)->fake;
}

/* Handles and names. */

static struct engine_runner *handle_give(struct container *container, void *runner)
{
    container->handle = mem_new(struct engine_runner);
    container->handle->container = container;
    container->runner = runner;
    return container->handle;
}

static void handle_void(struct engine_fake *fake, struct container *container)
{
    struct engine_runner *handle = steal_ptr(container->handle);
    if (!handle)
        return;
    handle->container = NULL;
    *(fake->last_dead ? &fake->last_dead->next : &fake->first_dead) = handle;
    fake->last_dead = handle;
    if (++fake->dead_count <= DEAD_HANDLES_MOST)
        return;
    handle = fake->first_dead;
    fake->first_dead = handle->next;
    fake->dead_count--;
    free(handle);
}

static struct container *container_of_handle(const struct engine_runner *handle)
{
    if (!handle || !handle->container)
        misuse("its handle is used after gone, or was never given", "a runner");
    return handle->container;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct container *)a)->name, ((const struct container *)b)->name);
}

/* The container called name; NULL when there is none. */
static struct container *container_named(const struct engine_fake *fake, const char *name)
{
    struct container key;
    if (!str_format(key.name, sizeof(key.name), "%s", name))
        return NULL;
    void *found = tfind(&key, &fake->names, compare_names);
    return found ? *(struct container **)found : NULL;
}

/* Timers. */

static mono_us after(const struct engine_fake *fake, mono_us us)
{
    return us == ENGINE_FAKE_NEVER ? 0 : fake->now + us;
}

static void timer_set(struct engine_fake *fake, struct timer *timer, mono_us due)
{
    if (due == 0)
        heap_remove(&fake->timers, &timer->node);
    else
        heap_push(&fake->timers, &timer->node, due);
}

/* Operations. */

static void operation_forget(struct operation *operation)
{
    struct operation **at = &operation->container->operations;
    while (*at != operation)
        at = &(*at)->next;
    *at = operation->next;
    free(operation);
}

/* Its agent has said all. A confined one stays known until end_operation. */
static void operation_over(struct engine_fake *fake, struct operation *operation)
{
    timer_set(fake, &operation->timer, 0);
    if (operation->agent) {
        fake_agent_destroy(steal_ptr(operation->agent)); /* epoll forgets what is closed */
        fake->counts.operations--;
    }
    if (!operation->confined)
        operation_forget(operation);
}

static void operation_pump(struct engine_fake *fake, struct operation *operation)
{
    enum fake_agent_status status = fake_agent_pump(operation->agent);
    if (status == FAKE_AGENT_OVER) {
        operation_over(fake, operation);
        return;
    }
    struct epoll_event event = {
        .events = status == FAKE_AGENT_WRITES ? EPOLLIN | EPOLLOUT : EPOLLIN,
        .data.ptr = operation,
    };
    epoll_ctl(fake->epoll, EPOLL_CTL_MOD, fake_agent_fd(operation->agent), &event);
}

static void container_dies(struct engine_fake *fake, struct container *container);

static void operation_due(struct engine_fake *fake, struct timer *timer)
{
    struct operation *operation = (struct operation *)timer;
    if (fake_agent_script(operation->agent)->ending == FAKE_DIES) {
        container_dies(fake, operation->container);
        return;
    }
    fake_agent_end(operation->agent);
    operation_pump(fake, operation);
}

static void on_exec(const struct agent_exec *exec, struct fake_script *script, void *data)
{
    struct operation *operation = data;
    struct engine_fake *fake = operation->container->fake;
    *script = fake->script;
    if (fake->on_exec)
        fake->on_exec(operation->container->name, exec, script, fake->on_exec_data);
    if (script->ending != FAKE_SILENT)
        timer_set(fake, &operation->timer, fake->now + script->run_us);
}

static void close_operations(struct engine_fake *fake, struct container *container)
{
    while (container->operations) {
        container->operations->confined = false;
        operation_over(fake, container->operations);
    }
}

static struct operation *operation_of(struct container *container, uint32_t id)
{
    struct operation *operation = container->operations;
    while (operation && operation->id != id)
        operation = operation->next;
    return operation;
}

/* The lives of containers. */

static void container_free(struct engine_fake *fake, struct container *container)
{
    close_operations(fake, container);
    timer_set(fake, &container->timer, 0);
    handle_void(fake, container);
    tdelete(container, &fake->names, compare_names);
    slots_free(&fake->slots, container->slot);
    fake->table[container->place] = NULL;
    fake->free_places[fake->free_count++] = container->place;
    fake->counts.live--;
    free(container);
}

/* Was made by the attached engine and is not ready yet. */
static bool cooks_for_engine(const struct container *container)
{
    return container->handle && !container->adopted && container->state == ENGINE_FAKE_COOKING;
}

static void container_gone(struct engine_fake *fake, struct container *container,
                           const struct err *why)
{
    bool owned = container->handle != NULL;
    void *runner = container->runner;
    fake->counts.cooking -= cooks_for_engine(container);
    container_free(fake, container);
    fake->counts.gone++;
    if (owned)
        fake->attached->engine.events->gone(runner, why);
}

static void container_dies(struct engine_fake *fake, struct container *container)
{
    struct err why;
    if (container->state == ENGINE_FAKE_COOKING)
        err_set(&why, ERR_BAD_GATEWAY, "the container did not start: scripted");
    else
        err_set(&why, ERR_BAD_GATEWAY, "the container's init was killed by signal 9");
    container_gone(fake, container, &why);
}

/* What comes next by itself. */
static void container_plan(struct engine_fake *fake, struct container *container)
{
    mono_us due = container->die_at;
    if (container->ready_at != 0 && !container->told_ready &&
        (due == 0 || container->ready_at <= due))
        due = container->ready_at;
    timer_set(fake, &container->timer, due);
}

static void container_ready(struct engine_fake *fake, struct container *container)
{
    fake->counts.cooking -= cooks_for_engine(container);
    container->state = ENGINE_FAKE_READY;
    container->told_ready = true;
    container_plan(fake, container);
    if (container->handle)
        fake->attached->engine.events->ready(container->runner);
}

static void container_due(struct engine_fake *fake, struct timer *timer)
{
    struct container *container = (struct container *)timer;
    if (container->absent || container->state == ENGINE_FAKE_DYING) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "the container did not come back");
        container_gone(fake, container, container->destroyed ? NULL : &why);
    } else if (!container->told_ready && container->ready_at == timer->node.due) {
        container_ready(fake, container);
    } else {
        container_dies(fake, container);
    }
}

static void container_begin_dying(struct engine_fake *fake, struct container *container)
{
    fake->counts.cooking -= cooks_for_engine(container);
    container->destroyed = true;
    container->state = ENGINE_FAKE_DYING;
    close_operations(fake, container);
    timer_set(fake, &container->timer, fake->now + container->gone_us);
}

static struct container *container_add(struct engine_fake *fake, const struct engine_spec *spec)
{
    if (spec->slot >= SLOTS_MOST || !slots_claim(&fake->slots, spec->slot))
        misuse("its id slot is in use or out of bounds", spec->name);
    if (container_named(fake, spec->name))
        misuse("there is such a container already", spec->name);
    if (fake->free_count == 0) {
        unsigned room = fake->table_room ? 2 * fake->table_room : 64;
        fake->table = mem_realloc(fake->table, room * sizeof(struct container *));
        fake->free_places = mem_realloc(fake->free_places, room * sizeof(unsigned));
        for (unsigned i = fake->table_room; i < room; i++) {
            fake->table[i] = NULL;
            fake->free_places[fake->free_count++] = room - 1 - (i - fake->table_room);
        }
        fake->table_room = room;
    }
    struct container *container = mem_new(struct container);
    container->timer.fire = container_due;
    container->fake = fake;
    container->place = fake->free_places[--fake->free_count];
    container->slot = spec->slot;
    container->limits = spec->limits;
    memcpy(container->name, spec->name, sizeof(container->name));
    fake->table[container->place] = container;
    tsearch(container, &fake->names, compare_names);
    fake->counts.live++;
    return container;
}

/* The seam's functions. */

static struct engine_runner *fake_create(struct engine *engine, const struct engine_spec *spec,
                                         void *runner)
{
    struct engine_fake *fake = fake_of(engine);
    struct engine_fake_fate fate = fake->fate;
    if (!engine->events)
        misuse("create before the engine's events are set", spec->name);
    if (!spec->rootfs || !id_name_valid(spec->name))
        misuse("create without a root file system or a good name", spec->name);
    if (fake->plan)
        fake->plan(fake->counts.created, spec, &fate, fake->plan_data);
    struct container *container = container_add(fake, spec);
    container->refuse_open = fate.refuse_open;
    container->ready_at = after(fake, fate.ready_us);
    container->die_at = after(fake, fate.die_us);
    container->gone_us = fate.gone_us;
    container->return_us = fate.return_us;
    container_plan(fake, container);
    fake->counts.created++;
    fake->counts.cooking++;
    return handle_give(container, runner);
}

/* Its agent comes back, unless it never does; one that was cooking goes on with that first. */
static void await_return(struct engine_fake *fake, struct container *container)
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
    container_plan(fake, container);
}

static struct engine_runner *fake_adopt(struct engine *engine, const struct engine_spec *spec,
                                        pid_t init_pid, void *runner)
{
    struct engine_fake *fake = fake_of(engine);
    struct container *container = container_named(fake, spec->name);
    if (!engine->events)
        misuse("adopt before the engine's events are set", spec->name);
    if (container && init_pid != 0 && init_pid != (pid_t)(PID_BASE + container->place))
        misuse("adopted with another init", spec->name);
    if (container && container->handle)
        misuse("adopted, but it has an owner", spec->name);
    if (container && container->slot != spec->slot)
        misuse("adopted with another slot", spec->name);
    if (!container) {
        container = container_add(fake, spec);
        container->absent = true;
        timer_set(fake, &container->timer, fake->now);
    } else if (container->state == ENGINE_FAKE_DYING) {
        container->destroyed = false; /* not by this engine */
    } else {
        await_return(fake, container);
    }
    container->adopted = true;
    fake->counts.adopted++;
    return handle_give(container, runner);
}

static void fake_destroy(struct engine *engine, struct engine_runner *handle)
{
    struct engine_fake *fake = fake_of(engine);
    struct container *container = container_of_handle(handle);
    if (!container->destroyed)
        container_begin_dying(fake, container);
}

static int fake_open(struct engine *engine, struct engine_runner *handle, uint32_t id,
                     bool confined, int take_fd, struct err *err)
{
    struct engine_fake *fake = fake_of(engine);
    struct container *container = container_of_handle(handle);
    cleanup_close int fd = take_fd;
    if (operation_of(container, id))
        misuse("an operation's id is given twice", container->name);
    if (container->state != ENGINE_FAKE_READY || !container->told_ready || container->refuse_open)
        return err_set(err, ERR_BAD_GATEWAY, "the agent of %s is not connected", container->name);
    struct operation *operation = mem_new(struct operation);
    operation->timer.fire = operation_due;
    operation->container = container;
    operation->id = id;
    operation->confined = confined;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = operation};
    if (epoll_ctl(fake->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(operation);
        return err_sys(err, ERR_INTERNAL, errno, "epoll_ctl");
    }
    operation->agent = fake_agent_create(steal_fd(&fd), on_exec, operation);
    operation->next = container->operations;
    container->operations = operation;
    fake->counts.operations++;
    return 0;
}

static void fake_kill_operation(struct engine *engine, struct engine_runner *handle, uint32_t id)
{
    struct engine_fake *fake = fake_of(engine);
    struct container *container = container_of_handle(handle);
    struct operation *operation = operation_of(container, id);
    if (!operation || !operation->agent || !operation->confined)
        return;
    fake_agent_kill(operation->agent);
    operation_pump(fake, operation);
}

static void fake_end_operation(struct engine *engine, struct engine_runner *handle, uint32_t id)
{
    (void)engine;
    struct operation *operation = operation_of(container_of_handle(handle), id);
    if (!operation)
        return;
    operation->confined = false;
    if (!operation->agent)
        operation_forget(operation);
}

static int fake_set_limits(struct engine *engine, struct engine_runner *handle,
                           const struct engine_limits *limits, struct err *err)
{
    (void)engine;
    struct container *container = container_of_handle(handle);
    if (container->state == ENGINE_FAKE_DYING)
        return err_set(err, ERR_BAD_GATEWAY, "%s is being destroyed", container->name);
    container->limits = *limits;
    return 0;
}

static int fake_stats(struct engine *engine, struct engine_runner *handle,
                      struct engine_stats *stats, struct err *err)
{
    (void)engine, (void)err;
    *stats = container_of_handle(handle)->stats;
    return 0;
}

static pid_t pid_of(const struct container *container)
{
    return container->told_ready ? (pid_t)(PID_BASE + container->place) : 0;
}

static pid_t fake_init_pid(const struct engine_runner *handle)
{
    return pid_of(container_of_handle(handle));
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
    struct container *container = container_named(fake, name);
    if (!container)
        return err_set(err, ERR_RUNNER_NOT_FOUND, "there is no container %s", name);
    if (container->handle)
        return err_set(err, ERR_RUNNER_BUSY, "container %s has an owner", name);
    container_gone(fake, container, NULL);
    return 0;
}

static void fake_finish(struct engine *engine)
{
    struct engine_fake *fake = fake_of(engine);
    for (unsigned i = 0; i < fake->table_room; i++) {
        struct container *container = fake->table[i];
        if (!container)
            continue;
        handle_void(fake, container);
        container->adopted = false;
        if (container->absent)
            container_gone(fake, container, NULL);
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
    .kill_operation = fake_kill_operation,
    .end_operation = fake_end_operation,
    .set_limits = fake_set_limits,
    .stats = fake_stats,
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
        misuse("no epoll", strerror(errno));
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
        misuse("destroyed before its engine was finished", "the machine");
    for (unsigned i = 0; i < fake->table_room; i++)
        if (fake->table[i])
            container_free(fake, fake->table[i]);
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
        misuse("attached twice", "the machine");
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
        operation_pump(fake, events[i].data.ptr);
}

void engine_fake_advance(struct engine_fake *fake, mono_us us)
{
    if (fake->advancing)
        misuse("advanced inside an event", "the machine");
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
        struct timer *timer = HEAP_ENTRY(node, struct timer, node);
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
    struct container *container = container_named(fake, name);
    if (!container || container->absent)
        return false;
    if (container->state == ENGINE_FAKE_DYING)
        return true;
    container->die_at = fake->now;
    container_plan(fake, container);
    return true;
}

bool engine_fake_set_stats(struct engine_fake *fake, const char *name,
                           const struct engine_stats *stats)
{
    struct container *container = container_named(fake, name);
    if (!container)
        return false;
    container->stats = *stats;
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
        const struct container *container = fake->table[i];
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
        };
        each(&view, data);
    }
}

struct engine_fake_counts engine_fake_count(const struct engine_fake *fake)
{
    return fake->counts;
}
