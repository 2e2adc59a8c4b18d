#include "fleet.h"

#include "../common/mem.h"
#include "../loop/timer.h"
#include "probe.h"

#include <string.h>

/* How it works. A member hears of each change of its worker and passes it on to whoever waits for a
 * worker. A member that is leaving waits for the end of its worker's operations, or for its timer;
 * what has no runner then is withdrawn to go elsewhere, the rest is cut a moment later. The worker
 * itself goes in a turn of the loop of its own, because the operation that was its last may be on
 * the stack.
 */
struct member {
    struct fleet *fleet;
    struct worker *worker;
    struct probe *probe;
    struct listener listener;
    uv_timer_t *timer;
    bool leaving;
    fleet_removed_cb removed;
    void *data;
};

struct fleet {
    uv_loop_t *loop;
    struct names *names;
    struct member **members;
    size_t count, room;
    struct placement_worker *known; /* room for one a member, for fleet_place */
    struct listeners listeners;
    uint64_t turn;
};

struct fleet *fleet_create(uv_loop_t *loop)
{
    struct fleet *fleet = mem_new(struct fleet);
    fleet->loop = loop;
    fleet->names = names_create();
    return fleet;
}

static void member_free(struct member *member)
{
    worker_unlisten(member->worker, &member->listener);
    probe_destroy(member->probe);
    worker_destroy(member->worker);
    loop_timer_destroy(member->timer);
    free(member);
}

void fleet_destroy(struct fleet *fleet)
{
    if (!fleet)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        member_free(fleet->members[i]);
    names_destroy(fleet->names);
    free(fleet->members);
    free(fleet->known);
    free(fleet);
}

static void on_gone(uv_timer_t *timer)
{
    struct member *member = timer->data;
    struct fleet *fleet = member->fleet;
    fleet_removed_cb removed = member->removed;
    void *data = member->data;
    size_t at = 0;
    worker_remove(member->worker); /* nothing is left to cut unless the time was over */
    while (fleet->members[at] != member)
        at++;
    memmove(fleet->members + at, fleet->members + at + 1,
            (--fleet->count - at) * sizeof(struct member *));
    member_free(member);
    if (removed)
        removed(data);
}

/* The wait is over. Those that may be tried elsewhere first make sure that they do not begin here.
 */
static void on_wait_over(uv_timer_t *timer)
{
    struct member *member = timer->data;
    uv_timer_start(timer, on_gone, FLEET_EVICT_MS, 0);
    worker_evict(member->worker);
}

static void on_changed(struct listener *listener)
{
    struct member *member = (struct member *)((char *)listener - offsetof(struct member, listener));
    if (member->leaving && worker_get_load(member->worker)->operations == 0)
        uv_timer_start(member->timer, on_gone, 0, 0);
    listeners_tell(&member->fleet->listeners);
}

void fleet_add(struct fleet *fleet, struct worker *take_worker)
{
    struct member *member = mem_new(struct member);
    if (fleet->count == fleet->room) {
        fleet->room = fleet->room ? 2 * fleet->room : 4;
        fleet->members = mem_realloc(fleet->members, fleet->room * sizeof(*fleet->members));
        fleet->known = mem_realloc(fleet->known, fleet->room * sizeof(*fleet->known));
    }
    fleet->members[fleet->count++] = member;
    member->fleet = fleet;
    member->worker = take_worker;
    member->probe = probe_create(fleet->loop, take_worker);
    member->timer = loop_timer_create(fleet->loop, member);
    member->listener.changed = on_changed;
    worker_listen(take_worker, &member->listener);
    worker_join(take_worker, fleet->names);
    listeners_tell(&fleet->listeners);
}

static struct member *find_member(const struct fleet *fleet, const struct worker *worker)
{
    for (size_t i = 0; i < fleet->count; i++)
        if (fleet->members[i]->worker == worker)
            return fleet->members[i];
    return NULL;
}

int fleet_remove(struct fleet *fleet, struct worker *worker, int64_t wait_ms, fleet_removed_cb done,
                 void *data, struct err *err)
{
    struct member *member = find_member(fleet, worker);
    if (member->leaving)
        return err_set(err, ERR_NOT_FOUND, "the worker \"%s\" is being removed already",
                       worker_name(worker));
    member->leaving = true;
    member->removed = done;
    member->data = data;
    probe_destroy(steal_ptr(member->probe));
    bool idle = worker_get_load(worker)->operations == 0;
    uv_timer_start(member->timer, idle ? on_gone : on_wait_over, idle ? 0 : (uint64_t)wait_ms, 0);
    worker_set_draining(worker, true);
    return 0;
}

bool fleet_leaving(const struct fleet *fleet, const struct worker *worker)
{
    return find_member(fleet, worker)->leaving;
}

static bool is_wanted(const struct fleet_tried *tried, const struct worker *worker)
{
    return !tried->only[0] || strcmp(tried->only, worker_name(worker)) == 0;
}

/* Or is not to be tried at all. */
static bool was_tried(const struct fleet_tried *tried, const struct worker *worker)
{
    if (!is_wanted(tried, worker))
        return true;
    for (size_t i = 0; i < tried->count; i++)
        if (tried->workers[i] == worker)
            return true;
    return false;
}

struct worker *fleet_place(struct fleet *fleet, const char *template_name,
                           const struct fleet_tried *tried)
{
    for (size_t i = 0; i < fleet->count; i++) {
        struct worker *worker = fleet->members[i]->worker;
        worker_describe(worker, template_name, &fleet->known[i]);
        fleet->known[i].tried = was_tried(tried, worker);
    }
    size_t choice = placement_choose(fleet->known, fleet->count, fleet->turn++);
    return choice == PLACEMENT_NONE ? NULL : fleet->members[choice]->worker;
}

mono_us fleet_hope_until(const struct fleet *fleet, const struct fleet_tried *tried)
{
    mono_us until = 0, now = clock_now(&clock_system);
    for (size_t i = 0; i < fleet->count && tried->count < FLEET_TRIED_MAX; i++) {
        const struct worker *worker = fleet->members[i]->worker;
        const struct health *health = worker_health(worker);
        mono_us since = worker_since_us(worker);
        if (worker_draining(worker) || was_tried(tried, worker) ||
            (worker_up(worker) && !health->failing))
            continue;
        if (worker_up(worker))
            since = now - (clock_wall_ms() - health->since_ms) * US_PER_MS;
        if (since + FLEET_GRACE_MS * US_PER_MS > until)
            until = since + FLEET_GRACE_MS * US_PER_MS;
    }
    return until > now ? until : 0;
}

static void explain(const struct worker *worker, const char *template_name, struct err *err)
{
    const char *why = worker_last_error(worker);
    if (worker_draining(worker))
        err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" is draining", worker_name(worker));
    else if (!worker_up(worker))
        err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" is out of reach: %.120s",
                worker_name(worker), why[0] ? why : "it has not answered yet");
    else if (worker_health(worker)->failing)
        err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" fails again and again: %.120s",
                worker_name(worker), worker_health(worker)->why);
    else if (!worker_has_template(worker, template_name))
        err_set(err, ERR_NOT_AVAILABLE,
                "the worker \"%s\" has no template \"%s\"; build it there: sudo codeland template "
                "build %s",
                worker_name(worker), template_name, template_name);
    else
        err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" has no runner free",
                worker_name(worker));
}

/* One worker's reason stands for all: one that is up is nearer to taking it than one that is not.
 */
void fleet_explain(const struct fleet *fleet, const char *template_name,
                   const struct fleet_tried *tried, struct err *err)
{
    const struct worker *chosen = NULL;
    for (size_t i = 0; i < fleet->count; i++) {
        const struct worker *worker = fleet->members[i]->worker;
        if (!is_wanted(tried, worker))
            continue;
        if (!chosen || (worker_up(worker) && !worker_up(chosen)) ||
            (worker_draining(chosen) && !worker_draining(worker)))
            chosen = worker;
    }
    if (!chosen) {
        err_set(err, ERR_NOT_AVAILABLE, "there is no worker%s%s", tried->only[0] ? " " : "",
                tried->only);
        return;
    }
    explain(chosen, template_name, err);
    if (fleet->count > 1 && !tried->only[0])
        err_context(err, "none of %zu workers can take it", fleet->count);
}

void fleet_listen(struct fleet *fleet, struct listener *listener)
{
    listeners_add(&fleet->listeners, listener);
}

void fleet_unlisten(struct fleet *fleet, struct listener *listener)
{
    listeners_remove(&fleet->listeners, listener);
}

struct worker *fleet_find(const struct fleet *fleet, const char *runner,
                          const struct runner_info **info)
{
    return names_find(fleet->names, runner, info);
}

struct names *fleet_names(const struct fleet *fleet)
{
    return fleet->names;
}

struct worker *fleet_worker(const struct fleet *fleet, const char *name)
{
    for (size_t i = 0; i < fleet->count; i++)
        if (strcmp(worker_name(fleet->members[i]->worker), name) == 0)
            return fleet->members[i]->worker;
    return NULL;
}

size_t fleet_count(const struct fleet *fleet)
{
    return fleet->count;
}

struct worker *fleet_at(const struct fleet *fleet, size_t index)
{
    return fleet->members[index]->worker;
}
