/* How it works. An entry is a runner with what the roster needs to know besides. It lives from
 * roster_cook or roster_adopt until every observer has heard that it is GONE.
 *
 * Every change of state is queued and reported by one loop, report(). A change that an observer
 * causes finds that loop running and is reported by it afterwards, so that no observer is entered
 * twice and all hear the same changes in the same order. The engine says `gone` only from its own
 * loop, never inside a call, so GONE is always the last change of a runner.
 *
 * The index holds the container's name of every runner and, beside it, the name that callers see
 * when that is another one: a new name must differ from all containers' names, and from those that
 * its manager's callers see.
 */
#include "runner.h"

#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "slots.h"

#include <string.h>

#define OBSERVERS_MOST 8

struct name {
    const char *text;
    struct entry *entry;
    struct name *next; /* in its bucket */
};

struct entry {
    struct runner runner; /* first: a runner is its entry */
    struct name container, visible;
    struct entry *prev, *next; /* in the order in which they were made */
    struct err *death;         /* NULL: on request */
};

struct change {
    struct entry *entry;
    enum runner_state from, to;
};

struct observer {
    runner_observer call; /* NULL: taken away while changes are reported */
    void *data;
};

struct roster {
    struct engine *engine;
    const struct clock *clock;
    unsigned max;
    unsigned total, counts[RUNNER_STATES];
    struct entry *first, *last;
    struct slots slots;

    struct name **buckets;
    unsigned bucket_count; /* a power of two */

    struct observer observers[OBSERVERS_MOST];
    unsigned observer_count;
    struct change *changes; /* those from `reported` on are still to be reported */
    unsigned change_count, change_room, reported;
    bool reporting;
    const struct err *death; /* of the runner that is being reported */
};

static const char *const state_names[RUNNER_STATES] = {
    [RUNNER_COOKING] = "cooking", [RUNNER_AVAILABLE] = "available", [RUNNER_IN_USE] = "inUse",
    [RUNNER_FREEING] = "freeing", [RUNNER_GONE] = "gone",
};

static const bool moves[RUNNER_STATES][RUNNER_STATES] = {
    [RUNNER_COOKING] = {[RUNNER_AVAILABLE] = true, [RUNNER_FREEING] = true, [RUNNER_GONE] = true},
    [RUNNER_AVAILABLE] = {[RUNNER_IN_USE] = true, [RUNNER_FREEING] = true, [RUNNER_GONE] = true},
    [RUNNER_IN_USE] = {[RUNNER_FREEING] = true, [RUNNER_GONE] = true},
    [RUNNER_FREEING] = {[RUNNER_GONE] = true},
};

const char *runner_state_name(enum runner_state state)
{
    return (unsigned)state < RUNNER_STATES ? state_names[state] : "unknown";
}

static struct entry *entry_of(struct runner *runner)
{
    return (struct entry *)runner;
}

/* Names. */

static struct name **bucket_of(const struct roster *roster, const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return &roster->buckets[hash & (roster->bucket_count - 1)];
}

static void index_add(struct roster *roster, struct name *name, struct entry *entry,
                      const char *text)
{
    struct name **bucket = bucket_of(roster, text);
    *name = (struct name){.text = text, .entry = entry, .next = *bucket};
    *bucket = name;
}

static void index_remove(struct roster *roster, struct name *name)
{
    if (!name->text)
        return;
    struct name **at = bucket_of(roster, name->text);
    while (*at != name)
        at = &(*at)->next;
    *at = name->next;
    *name = (struct name){0};
}

/* Whether any is called so, by whomever. */
static bool has_name(const struct roster *roster, const char *text)
{
    for (struct name *name = *bucket_of(roster, text); name; name = name->next)
        if (strcmp(name->text, text) == 0)
            return true;
    return false;
}

/* Whether a runner of the manager cannot be called so, because another one is. */
static bool is_taken(const struct roster *roster, const char *manager, const char *text,
                     const struct entry *self)
{
    for (struct name *name = *bucket_of(roster, text); name; name = name->next)
        if (name->entry != self && strcmp(name->text, text) == 0 &&
            (name == &name->entry->container || strcmp(name->entry->runner.manager, manager) == 0))
            return true;
    return false;
}

/* The name that callers see; text may be the present one. */
static void set_visible_name(struct roster *roster, struct entry *entry, const char *text)
{
    struct runner *runner = &entry->runner;
    index_remove(roster, &entry->visible);
    if (text != runner->name)
        memcpy(runner->name, text, strlen(text) + 1);
    if (strcmp(runner->name, runner->spec.name) != 0)
        index_add(roster, &entry->visible, entry, runner->name);
}

bool runner_seen_by(const struct runner *runner, const char *manager)
{
    if (strcmp(runner->manager, manager) == 0)
        return true;
    return !runner->manager[0] && !runner->kept;
}

struct runner *roster_find(const struct roster *roster, const char *manager, const char *text)
{
    for (struct name *name = *bucket_of(roster, text); name; name = name->next) {
        struct runner *runner = &name->entry->runner;
        if (strcmp(runner->name, text) == 0 && runner_seen_by(runner, manager))
            return runner;
    }
    return NULL;
}

/* States and those who want to know. */

static void entry_free(struct entry *entry)
{
    free(entry->death);
    free((char *)entry->runner.spec.rootfs);
    free(entry);
}

static void report_one(struct roster *roster, const struct change *change)
{
    unsigned observers = roster->observer_count;
    roster->death = change->to == RUNNER_GONE ? change->entry->death : NULL;
    for (unsigned i = 0; i < observers; i++)
        if (roster->observers[i].call)
            roster->observers[i].call(&change->entry->runner, change->from,
                                      roster->observers[i].data);
    roster->death = NULL;
    if (change->to == RUNNER_GONE)
        entry_free(change->entry);
}

static void forget_unobserved(struct roster *roster)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < roster->observer_count; i++)
        if (roster->observers[i].call)
            roster->observers[kept++] = roster->observers[i];
    roster->observer_count = kept;
}

static void report(struct roster *roster, struct entry *entry, enum runner_state from)
{
    if (roster->change_count == roster->change_room) {
        roster->change_room = roster->change_room ? 2 * roster->change_room : 16;
        roster->changes = mem_realloc(roster->changes, roster->change_room * sizeof(struct change));
    }
    roster->changes[roster->change_count++] =
        (struct change){.entry = entry, .from = from, .to = entry->runner.state};
    if (roster->reporting)
        return;
    roster->reporting = true;
    while (roster->reported < roster->change_count) {
        struct change change = roster->changes[roster->reported++];
        report_one(roster, &change);
    }
    roster->change_count = roster->reported = 0;
    roster->reporting = false;
    forget_unobserved(roster);
}

/* Sets the state and all that goes with it, but tells nobody. */
static void enter_state(struct runner *runner, enum runner_state state)
{
    int64_t wall_ms = clock_wall_ms();
    runner->state = state;
    runner->since = clock_now(runner->roster->clock);
    runner->since_wall_ms = wall_ms;
    if (runner->history_len == RUNNER_HISTORY)
        memmove(&runner->history[0], &runner->history[1],
                --runner->history_len * sizeof(runner->history[0]));
    runner->history[runner->history_len].state = state;
    runner->history[runner->history_len++].wall_ms = wall_ms;
    runner->roster->counts[state]++;
}

static bool may_move(const struct runner *runner, enum runner_state state)
{
    /* Only a kept one that was adopted is in use without having been taken. */
    if (runner->state == RUNNER_COOKING && state == RUNNER_IN_USE)
        return runner->adopted && runner->kept;
    return moves[runner->state][state];
}

static void runner_set_state(struct runner *runner, enum runner_state state)
{
    enum runner_state from = runner->state;
    if (!may_move(runner, state)) {
        log_error("a runner cannot change its state so", LOG_S("runner", runner->name),
                  LOG_S("from", runner_state_name(from)), LOG_S("to", runner_state_name(state)));
        abort();
    }
    runner->roster->counts[from]--;
    enter_state(runner, state);
    report(runner->roster, entry_of(runner), from);
}

void roster_observe(struct roster *roster, runner_observer observer, void *data)
{
    if (roster->observer_count == OBSERVERS_MOST)
        abort();
    roster->observers[roster->observer_count++] = (struct observer){observer, data};
}

void roster_unobserve(struct roster *roster, runner_observer observer, void *data)
{
    for (unsigned i = 0; i < roster->observer_count; i++)
        if (roster->observers[i].call == observer && roster->observers[i].data == data)
            roster->observers[i].call = NULL;
    if (!roster->reporting)
        forget_unobserved(roster);
}

const struct err *roster_death(const struct roster *roster)
{
    return roster->death;
}

/* What the engine tells. */

static void on_ready(void *data)
{
    struct runner *runner = data;
    if (runner->state == RUNNER_FREEING)
        return; /* destroyed while the agent said hello */
    runner->cook_us = clock_now(runner->roster->clock) - runner->since;
    runner_set_state(runner, runner->kept ? RUNNER_IN_USE : RUNNER_AVAILABLE);
}

static void on_gone(void *data, const struct err *why)
{
    struct runner *runner = data;
    struct roster *roster = runner->roster;
    struct entry *entry = entry_of(runner);
    if (runner->state != RUNNER_FREEING) {
        entry->death = mem_new(struct err);
        if (why)
            *entry->death = *why;
        else
            err_set(entry->death, ERR_BAD_GATEWAY, "the container ended");
    }
    runner->handle = NULL;
    index_remove(roster, &entry->visible);
    index_remove(roster, &entry->container);
    slots_free(&roster->slots, runner->spec.slot);
    *(entry->prev ? &entry->prev->next : &roster->first) = entry->next;
    *(entry->next ? &entry->next->prev : &roster->last) = entry->prev;
    roster->total--;
    runner_set_state(runner, RUNNER_GONE);
}

static const struct engine_events events = {.ready = on_ready, .gone = on_gone};

/* Making runners. */

/* name and slot of spec are set, and free. */
static struct runner *entry_add(struct roster *roster, const char *template_name,
                                const struct engine_spec *spec)
{
    struct entry *entry = mem_new(struct entry);
    struct runner *runner = &entry->runner;
    runner->spec = *spec;
    runner->spec.rootfs = mem_strdup(spec->rootfs);
    memcpy(runner->template_name, template_name, strlen(template_name) + 1);
    memcpy(runner->name, spec->name, sizeof(runner->name));
    runner->roster = roster;
    index_add(roster, &entry->container, entry, runner->spec.name);
    entry->prev = roster->last;
    *(roster->last ? &roster->last->next : &roster->first) = entry;
    roster->last = entry;
    roster->total++;
    enter_state(runner, RUNNER_COOKING);
    runner->started_wall_ms = runner->since_wall_ms;
    return runner;
}

struct runner *roster_cook(struct roster *roster, const char *template_name,
                           const struct engine_spec *spec, struct err *err)
{
    if (roster->total >= roster->max) {
        err_set(err, ERR_NOT_AVAILABLE, "all %u runners that oven.max_runners allows exist",
                roster->max);
        return NULL;
    }
    if (!id_name_valid(template_name)) {
        err_set(err, ERR_BAD_REQUEST, "template: not a name of at most %d characters",
                NAME_MAX_LEN);
        return NULL;
    }
    struct engine_spec own = *spec;
    do
        id_runner_name(own.name);
    while (has_name(roster, own.name));
    own.slot = slots_take(&roster->slots);
    struct runner *runner = entry_add(roster, template_name, &own);
    runner->handle = roster->engine->ops->create(roster->engine, &runner->spec, runner);
    report(roster, entry_of(runner), RUNNER_COOKING);
    return runner;
}

static int check_adopted(const struct roster *roster, const struct engine_spec *spec,
                         const struct runner_record *record, struct err *err)
{
    if (!id_name_valid(spec->name) || !id_name_valid(record->name) ||
        !id_name_valid(record->template_name))
        return err_set(err, ERR_BAD_REQUEST,
                       "runner: its names are not all names of at most %d characters",
                       NAME_MAX_LEN);
    if (strlen(record->owner) > RUNNER_OWNER_MAX)
        return err_set(err, ERR_BAD_REQUEST, "owner: longer than %d bytes", RUNNER_OWNER_MAX);
    if (record->manager[0] && !id_manager_valid(record->manager))
        return err_set(err, ERR_BAD_REQUEST, "manager: not %d hex digits", MANAGER_ID_LEN);
    if (spec->slot >= SLOTS_MOST)
        return err_set(err, ERR_BAD_REQUEST, "slot: %u is not below %d", spec->slot, SLOTS_MOST);
    if (has_name(roster, spec->name) || is_taken(roster, record->manager, record->name, NULL))
        return err_set(err, ERR_NAME_TAKEN, "there is a runner named %s or %s already", spec->name,
                       record->name);
    return 0;
}

struct runner *roster_adopt(struct roster *roster, const struct engine_spec *spec,
                            const struct runner_record *record, struct err *err)
{
    if (check_adopted(roster, spec, record, err) < 0)
        return NULL;
    if (!slots_claim(&roster->slots, spec->slot)) {
        err_set(err, ERR_NAME_TAKEN, "another runner has the id slot %u of %s", spec->slot,
                spec->name);
        return NULL;
    }
    struct runner *runner = entry_add(roster, record->template_name, spec);
    set_visible_name(roster, entry_of(runner), record->name);
    runner->adopted = true;
    runner->kept = record->kept;
    strcpy(runner->manager, record->manager);
    strcpy(runner->owner, record->owner);
    runner->operations = record->operations;
    runner->handle =
        roster->engine->ops->adopt(roster->engine, &runner->spec, record->init_pid, runner);
    report(roster, entry_of(runner), RUNNER_COOKING);
    if (record->operations > 0 && !record->kept)
        runner_destroy(runner); /* somebody's code ran in it */
    return runner;
}

/* What is done to them. */

void runner_take(struct runner *runner)
{
    runner_set_state(runner, RUNNER_IN_USE);
}

void runner_give(struct runner *runner, const char *manager)
{
    if (is_taken(runner->roster, manager, runner->name, entry_of(runner)))
        abort();
    strcpy(runner->manager, manager);
}

int runner_keep(struct runner *runner, const char *name, const char *owner, struct err *err)
{
    struct roster *roster = runner->roster;
    if (!name)
        name = runner->spec.name;
    if (!id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST,
                       "name: must be a letter a-z and up to %d of a-z, 0-9 and '-'",
                       NAME_MAX_LEN - 1);
    if (strlen(owner) > RUNNER_OWNER_MAX)
        return err_set(err, ERR_BAD_REQUEST, "owner: longer than %d bytes", RUNNER_OWNER_MAX);
    if (runner->state != RUNNER_IN_USE)
        return err_set(err, ERR_RUNNER_NOT_FOUND, "runner %s is %s and cannot be kept",
                       runner->name, runner_state_name(runner->state));
    if (is_taken(roster, runner->manager, name, entry_of(runner)))
        return err_set(err, ERR_NAME_TAKEN, "name: there is a runner %s already", name);
    set_visible_name(roster, entry_of(runner), name);
    runner->kept = true;
    memmove(runner->owner, owner, strlen(owner) + 1);
    return 0;
}

void runner_destroy(struct runner *runner)
{
    if (runner->state == RUNNER_FREEING || runner->state == RUNNER_GONE)
        return;
    struct engine *engine = runner->roster->engine;
    engine->ops->destroy(engine, runner->handle);
    runner_set_state(runner, RUNNER_FREEING);
}

/* The roster as a whole. */

struct roster *roster_create(struct engine *take_engine, const struct clock *clock,
                             unsigned max_runners)
{
    struct roster *roster = mem_new(struct roster);
    roster->engine = take_engine;
    roster->engine->events = &events;
    roster->clock = clock;
    roster->max = max_runners;
    roster->bucket_count = 64;
    while (roster->bucket_count < 2 * max_runners)
        roster->bucket_count *= 2;
    roster->buckets = mem_calloc(roster->bucket_count, sizeof(struct name *));
    return roster;
}

void roster_destroy(struct roster *roster)
{
    if (!roster)
        return;
    if (roster->reporting)
        abort();
    roster->engine->ops->finish(roster->engine);
    while (roster->first) {
        struct entry *entry = roster->first;
        roster->first = entry->next;
        entry_free(entry);
    }
    slots_finish(&roster->slots);
    free(roster->buckets);
    free(roster->changes);
    free(roster);
}

unsigned roster_count(const struct roster *roster, enum runner_state state)
{
    return state == RUNNER_GONE ? 0 : roster->counts[state];
}

unsigned roster_total(const struct roster *roster)
{
    return roster->total;
}

unsigned roster_max(const struct roster *roster)
{
    return roster->max;
}

void roster_each(struct roster *roster, void (*each)(struct runner *runner, void *data), void *data)
{
    /* Nothing that each may do takes an entry out: only the engine does, from its loop. */
    for (struct entry *entry = roster->first; entry; entry = entry->next)
        each(&entry->runner, data);
}

struct engine *roster_engine(const struct roster *roster)
{
    return roster->engine;
}
