/* How it works. A container is a record in a table. Its handle is a record of its own that stays
 * for a long while after the container is gone, so that using it then is noticed. One heap of
 * timers holds what will happen: at most one timer a container and one an operation.
 */
#include "fake_container.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define DEAD_HANDLES_MOST 65536

_Noreturn void fake_misuse(const char *what, const char *name)
{
    fprintf(stderr, "engine_fake: %s: %s\n", name, what);
    abort();
}

/* Handles and names. */

struct engine_runner *fake_container_give_handle(struct fake_container *container, void *runner)
{
    container->handle = mem_new(struct engine_runner);
    container->handle->container = container;
    container->runner = runner;
    return container->handle;
}

void fake_container_void_handle(struct engine_fake *fake, struct fake_container *container)
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

struct fake_container *fake_container_of(const struct engine_runner *handle)
{
    if (!handle || !handle->container)
        fake_misuse("its handle is used after gone, or was never given", "a runner");
    return handle->container;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct fake_container *)a)->name,
                  ((const struct fake_container *)b)->name);
}

struct fake_container *fake_container_named(const struct engine_fake *fake, const char *name)
{
    struct fake_container key;
    if (!str_format(key.name, sizeof(key.name), "%s", name))
        return NULL;
    void *found = tfind(&key, &fake->names, compare_names);
    return found ? *(struct fake_container **)found : NULL;
}

/* Timers. */

void fake_timer_set(struct engine_fake *fake, struct fake_timer *timer, mono_us due)
{
    if (due == 0)
        heap_remove(&fake->timers, &timer->node);
    else
        heap_push(&fake->timers, &timer->node, due);
}

/* Operations. */

void fake_operation_forget(struct fake_operation *operation)
{
    struct fake_operation **at = &operation->container->operations;
    while (*at != operation)
        at = &(*at)->next;
    *at = operation->next;
    free(operation);
}

/* Its agent has said all. A confined one stays known until end_operation. */
static void operation_over(struct engine_fake *fake, struct fake_operation *operation)
{
    fake_timer_set(fake, &operation->timer, 0);
    if (operation->agent) {
        fake_agent_destroy(steal_ptr(operation->agent)); /* epoll forgets what is closed */
        fake->counts.operations--;
    }
    if (!operation->confined)
        fake_operation_forget(operation);
}

void fake_operation_pump(struct engine_fake *fake, struct fake_operation *operation)
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

static void container_dies(struct engine_fake *fake, struct fake_container *container);

static void operation_due(struct engine_fake *fake, struct fake_timer *timer)
{
    struct fake_operation *operation = (struct fake_operation *)timer;
    if (fake_agent_script(operation->agent)->ending == FAKE_DIES) {
        container_dies(fake, operation->container);
        return;
    }
    fake_agent_end(operation->agent);
    fake_operation_pump(fake, operation);
}

static void on_exec(const struct agent_exec *exec, struct fake_script *script, void *data)
{
    struct fake_operation *operation = data;
    struct engine_fake *fake = operation->container->fake;
    *script = fake->script;
    if (fake->on_exec)
        fake->on_exec(operation->container->name, exec, script, fake->on_exec_data);
    if (script->ending != FAKE_SILENT)
        fake_timer_set(fake, &operation->timer, fake->now + script->run_us);
}

static void close_operations(struct engine_fake *fake, struct fake_container *container)
{
    while (container->operations) {
        container->operations->confined = false;
        operation_over(fake, container->operations);
    }
}

struct fake_operation *fake_operation_of(struct fake_container *container, uint32_t id)
{
    struct fake_operation *operation = container->operations;
    while (operation && operation->id != id)
        operation = operation->next;
    return operation;
}

int fake_operation_add(struct fake_container *container, const struct engine_operation *asked,
                       int take_fd, struct err *err)
{
    struct engine_fake *fake = container->fake;
    struct fake_operation *operation = mem_new(struct fake_operation);
    operation->timer.fire = operation_due;
    operation->container = container;
    operation->id = asked->id;
    operation->confined = asked->confined;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = operation};
    if (epoll_ctl(fake->epoll, EPOLL_CTL_ADD, take_fd, &event) < 0) {
        close(take_fd);
        free(operation);
        return err_sys(err, ERR_INTERNAL, errno, "epoll_ctl");
    }
    operation->agent = fake_agent_create(take_fd, on_exec, operation);
    operation->next = container->operations;
    container->operations = operation;
    fake->counts.operations++;
    return 0;
}

/* The lives of containers. */

void fake_container_free(struct engine_fake *fake, struct fake_container *container)
{
    close_operations(fake, container);
    fake_timer_set(fake, &container->timer, 0);
    fake_timer_set(fake, &container->network_timer, 0);
    fake_container_void_handle(fake, container);
    tdelete(container, &fake->names, compare_names);
    slots_free(&fake->slots, container->slot);
    fake->table[container->place] = NULL;
    fake->free_places[fake->free_count++] = container->place;
    fake->counts.live--;
    free(container);
}

/* Was made by the attached engine and is not ready yet. */
static bool cooks_for_engine(const struct fake_container *container)
{
    return container->handle && !container->adopted && container->state == ENGINE_FAKE_COOKING;
}

void fake_container_attached(struct fake_container *container, const struct err *why)
{
    engine_attached attached = steal_ptr(container->attached);
    container->networked = !why;
    attached(why, container->attached_data);
}

static void network_due(struct engine_fake *fake, struct fake_timer *timer)
{
    struct fake_container *container =
        (struct fake_container *)((char *)timer - offsetof(struct fake_container, network_timer));
    struct err refused;
    (void)fake;
    err_set(&refused, ERR_NOT_AVAILABLE, "no network: scripted");
    fake_container_attached(container, container->refuse_network ? &refused : NULL);
}

void fake_container_gone(struct engine_fake *fake, struct fake_container *container,
                         const struct err *why)
{
    bool owned = container->handle != NULL;
    void *runner = container->runner;
    struct err lost;
    err_set(&lost, ERR_NOT_AVAILABLE, "the container ended");
    if (owned && container->attached)
        fake_container_attached(container, &lost);
    fake->counts.cooking -= cooks_for_engine(container);
    fake_container_free(fake, container);
    fake->counts.gone++;
    if (owned)
        fake->attached->engine.events->gone(runner, why);
}

static void container_dies(struct engine_fake *fake, struct fake_container *container)
{
    struct err why;
    if (container->state == ENGINE_FAKE_COOKING)
        err_set(&why, ERR_BAD_GATEWAY, "the container did not start: scripted");
    else
        err_set(&why, ERR_BAD_GATEWAY, "the container's init was killed by signal 9");
    fake_container_gone(fake, container, &why);
}

/* What comes next by itself. */
void fake_container_plan(struct engine_fake *fake, struct fake_container *container)
{
    mono_us due = container->die_at;
    if (container->ready_at != 0 && !container->told_ready &&
        (due == 0 || container->ready_at <= due))
        due = container->ready_at;
    fake_timer_set(fake, &container->timer, due);
}

static void container_ready(struct engine_fake *fake, struct fake_container *container)
{
    fake->counts.cooking -= cooks_for_engine(container);
    container->state = ENGINE_FAKE_READY;
    container->told_ready = true;
    fake_container_plan(fake, container);
    if (container->handle)
        fake->attached->engine.events->ready(container->runner);
}

static void container_due(struct engine_fake *fake, struct fake_timer *timer)
{
    struct fake_container *container = (struct fake_container *)timer;
    if (container->absent || container->state == ENGINE_FAKE_DYING) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "the container did not come back");
        fake_container_gone(fake, container, container->destroyed ? NULL : &why);
    } else if (!container->told_ready && container->ready_at == timer->node.due) {
        container_ready(fake, container);
    } else {
        container_dies(fake, container);
    }
}

void fake_container_begin_dying(struct engine_fake *fake, struct fake_container *container)
{
    fake->counts.cooking -= cooks_for_engine(container);
    container->destroyed = true;
    container->state = ENGINE_FAKE_DYING;
    container->pace = ENGINE_PACE_ENDING;
    close_operations(fake, container);
    fake_timer_set(fake, &container->timer, fake->now + container->gone_us);
}

struct fake_container *fake_container_add(struct engine_fake *fake, const struct engine_spec *spec)
{
    if (spec->slot >= SLOTS_MOST || !slots_claim(&fake->slots, spec->slot))
        fake_misuse("its id slot is in use or out of bounds", spec->name);
    if (fake_container_named(fake, spec->name))
        fake_misuse("there is such a container already", spec->name);
    if (fake->free_count == 0) {
        unsigned room = fake->table_room ? 2 * fake->table_room : 64;
        fake->table = mem_realloc(fake->table, room * sizeof(struct fake_container *));
        fake->free_places = mem_realloc(fake->free_places, room * sizeof(unsigned));
        for (unsigned i = fake->table_room; i < room; i++) {
            fake->table[i] = NULL;
            fake->free_places[fake->free_count++] = room - 1 - (i - fake->table_room);
        }
        fake->table_room = room;
    }
    struct fake_container *container = mem_new(struct fake_container);
    container->timer.fire = container_due;
    container->network_timer.fire = network_due;
    container->fake = fake;
    container->place = fake->free_places[--fake->free_count];
    container->slot = spec->slot;
    container->limits = spec->limits;
    container->disk_bytes = spec->disk_bytes;
    container->disk_left = (struct engine_disk){spec->disk_bytes + 1, spec->disk_inodes + 1};
    memcpy(container->name, spec->name, sizeof(container->name));
    fake->table[container->place] = container;
    tsearch(container, &fake->names, compare_names);
    fake->counts.live++;
    return container;
}
