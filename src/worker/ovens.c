/* How it works. Whenever something changed, refill() lets ovens cook for as long as there are
 * starts and room: those first whose callers wait, then those below their target, then those that
 * only use what memory there is to spare; among equals they take turns. When there is no room, idle
 * runners give way: for callers who wait, those that are not needed for their own template's
 * demand, and for a target, those above their own target. So no eviction leads to another.
 *
 * A start that hangs holds its own template up until oven.cook_timeout, the others only for
 * HANGING_US.
 */
#include "ovens.h"

#include "../common/mem.h"
#include "oven_private.h"

#include <string.h>

/* Starts take milliseconds; one that is older does not count in what the ovens share. */
#define HANGING_US ((mono_us)2 * US_PER_SEC)

/* Between two times that idle runners are destroyed for want of memory: a figure of memory comes
 * every second, and says only then what the last time has brought.
 */
#define YIELD_US ((mono_us)US_PER_SEC)

/* The starts. */

/* Of all ovens, as far as they count. */
static unsigned busy(const struct ovens *ovens, mono_us now)
{
    unsigned starts = 0;
    for (const struct oven *oven = ovens->first; oven; oven = oven->next)
        for (const struct runner *runner = oven->cooking.last;
             runner && now - runner->shelved < HANGING_US; runner = runner->shelf_prev)
            starts++;
    return starts;
}

static struct oven *after(const struct ovens *ovens, const struct oven *oven)
{
    return oven->next ? oven->next : ovens->first;
}

static struct oven *next_to_cook(struct ovens *ovens, mono_us now)
{
    if (!ovens->memory_known || ovens->memory_percent > ovens->config.mem_ceiling_percent ||
        busy(ovens, now) >= ovens->config.cook_parallel)
        return NULL;
    struct oven *best = NULL, *oven = ovens->turn ? ovens->turn : ovens->first;
    enum oven_want want = OVEN_WANTS_NONE;
    for (unsigned left = ovens->count; left > 0; left--, oven = after(ovens, oven)) {
        if (!oven_is_able(oven, now) || oven_is_full(oven) || oven_wants(oven, now) <= want)
            continue;
        best = oven;
        want = oven_wants(oven, now);
    }
    if (best)
        ovens->turn = after(ovens, best);
    return best;
}

/* The room. */

static unsigned lacking(const struct ovens *ovens, enum oven_want want, mono_us now)
{
    unsigned lack = 0;
    for (const struct oven *oven = ovens->first; oven; oven = oven->next)
        if (oven_is_able(oven, now))
            lack += oven_lacks(oven, want, now);
    /* No more than can be cooked soon. */
    return lack < ovens->config.cook_parallel ? lack : ovens->config.cook_parallel;
}

static bool evict_one(struct ovens *ovens, enum oven_want want, mono_us now)
{
    struct oven *richest = NULL;
    unsigned most = 0;
    for (struct oven *oven = ovens->first; oven; oven = oven->next) {
        unsigned surplus = oven_surplus(oven, want, now);
        if (surplus <= most)
            continue;
        most = surplus;
        richest = oven;
    }
    if (!richest)
        return false;
    struct runner *runner = richest->warm.first;
    oven_shelf_remove(runner);
    runner_destroy(runner);
    return true;
}

/* Places that are free, or will be when those who are going have gone. */
static unsigned places(const struct ovens *ovens)
{
    unsigned alive = roster_total(ovens->roster) - roster_count(ovens->roster, RUNNER_FREEING);
    return ovens->config.max_runners > alive ? ovens->config.max_runners - alive : 0;
}

static void make_room(struct ovens *ovens, mono_us now)
{
    static const enum oven_want wants[] = {OVEN_WANTS_URGENTLY, OVEN_WANTS_TARGET};
    if (ovens->count == 1 || !ovens->memory_known)
        return;
    bool poor = ovens->memory_percent > ovens->config.mem_ceiling_percent;
    for (size_t i = 0; !poor && i < ARRAY_LEN(wants); i++)
        while (lacking(ovens, wants[i], now) > places(ovens) && evict_one(ovens, wants[i], now))
            ;
    if (!poor || (ovens->yielded != 0 && now - ovens->yielded < YIELD_US))
        return;
    for (unsigned lack = lacking(ovens, OVEN_WANTS_URGENTLY, now);
         lack > 0 && evict_one(ovens, OVEN_WANTS_URGENTLY, now); lack--)
        ovens->yielded = now;
}

void ovens_refill(struct ovens *ovens)
{
    if (ovens->stepping || ovens->cooking_now)
        return;
    ovens->cooking_now = true;
    mono_us now = clock_now(ovens->clock);
    struct oven *oven;
    while ((oven = next_to_cook(ovens, now)))
        oven_cook(oven, now);
    make_room(ovens, now);
    ovens->cooking_now = false;
}

void ovens_tell_owner(struct ovens *ovens)
{
    if (ovens->stepping || !ovens->wake)
        return; /* the owner asks after ovens_step anyway */
    mono_us next = ovens_next_step(ovens);
    if (next == 0 || (ovens->announced != 0 && next >= ovens->announced))
        return;
    ovens->announced = next;
    ovens->wake(ovens->wake_data);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    struct ovens *ovens = data;
    (void)from; /* oven_changed looks at the shelf */
    if (!runner->oven && runner->state != RUNNER_GONE) {
        struct oven *oven = ovens_find(ovens, runner->template_name);
        if (oven)
            oven_attach(oven, runner);
    }
    if (runner->oven) {
        oven_changed(runner->oven, runner);
        if (runner->state == RUNNER_GONE)
            runner->oven->total--;
    }
    ovens_refill(ovens);
    ovens_tell_owner(ovens);
}

/* Driven by their owner. */

void ovens_step(struct ovens *ovens, unsigned memory_used_percent)
{
    ovens->memory_percent = memory_used_percent;
    ovens->memory_known = true;
    if (ovens->stepping)
        return;
    mono_us now = clock_now(ovens->clock);
    /* Tickets that are taken in the answers wait for the next step, so that a caller who tries
     * again at once cannot keep this one going.
     */
    uint64_t before = ovens->ticket_count;
    ovens->stepping = true;
    for (struct oven *oven = ovens->first; oven; oven = oven->next) {
        oven_expire(oven, now);
        oven_tickets_answer(oven, now, before);
    }
    ovens->stepping = false;
    ovens_refill(ovens);
    ovens->announced = ovens_next_step(ovens);
}

static void sooner(mono_us *next, mono_us time)
{
    if (time != 0 && (*next == 0 || time < *next))
        *next = time;
}

/* When the oldest start that counts will count no more. */
static mono_us hanging_due(const struct oven *oven, mono_us now)
{
    const struct runner *runner = oven->cooking.first;
    while (runner && now - runner->shelved >= HANGING_US)
        runner = runner->shelf_next;
    return runner ? runner->shelved + HANGING_US : 0;
}

mono_us ovens_next_step(const struct ovens *ovens)
{
    mono_us now = clock_now(ovens->clock), next = 0;
    if (!ovens->memory_known)
        return now;
    for (const struct oven *oven = ovens->first; oven; oven = oven->next) {
        sooner(&next, oven_due(oven, now));
        if (ovens->count > 1)
            sooner(&next, hanging_due(oven, now));
    }
    return next;
}

void ovens_on_wake(struct ovens *ovens, void (*wake)(void *data), void *data)
{
    ovens->wake = wake;
    ovens->wake_data = data;
}

void ovens_stop(struct ovens *ovens)
{
    ovens->stopped = true;
    ovens_tell_owner(ovens);
}

/* The set. */

struct oven *ovens_find(const struct ovens *ovens, const char *template_name)
{
    if (!template_name[0])
        return ovens->first;
    struct oven *oven = ovens->first;
    while (oven && strcmp(oven->recipe.name, template_name) != 0)
        oven = oven->next;
    return oven;
}

void ovens_each(struct ovens *ovens, void (*each)(struct oven *oven, void *data), void *data)
{
    for (struct oven *oven = ovens->first, *next; oven; oven = next) {
        next = oven->next;
        each(oven, data);
    }
}

static void enlist(struct runner *runner, void *data)
{
    oven_enlist(data, runner);
}

static struct oven *add(struct ovens *ovens, const struct oven_template *template)
{
    const struct ovens_config *config = &ovens->config;
    bool is_default = !ovens->first;
    struct oven *oven = mem_new(struct oven);
    oven->set = ovens;
    oven->recipe = (struct oven_template){.name = mem_strdup(template->name),
                                          .rootfs = mem_strdup(template->rootfs),
                                          .stamp = template->stamp};
    oven->spec = config->spec;
    oven->spec.rootfs = oven->recipe.rootfs;
    oven->spec.rootfs_stamp = template->stamp;
    oven->settings = (struct oven_settings){
        .min_available = is_default ? config->min_available : config->min_available_other,
        .mem_target_percent = is_default ? config->mem_target_percent : 0,
        .linger_us = is_default ? 0 : config->linger_us,
        .max_runners = config->max_runners,
    };
    struct oven **end = &ovens->first;
    while (*end)
        end = &(*end)->next;
    *end = oven;
    ovens->count++;
    roster_each(ovens->roster, enlist, oven);
    return oven;
}

struct oven *ovens_put(struct ovens *ovens, const struct oven_template *template, struct err *err)
{
    if (ovens->stepping)
        abort();
    struct oven *oven = ovens_find(ovens, template->name);
    if (oven && oven->recipe.stamp == template->stamp)
        return oven;
    if (!id_name_valid(template->name)) {
        err_set(err, ERR_BAD_REQUEST, "template: not a name of at most %d characters",
                NAME_MAX_LEN);
        return NULL;
    }
    if (!oven && ovens->count == OVENS_MAX) {
        err_set(err, ERR_NOT_AVAILABLE, "there are %d templates already", OVENS_MAX);
        return NULL;
    }
    if (oven)
        oven_renew(oven, template);
    else
        oven = add(ovens, template);
    ovens_refill(ovens);
    ovens_tell_owner(ovens);
    return oven;
}

static void detach(struct runner *runner, void *data)
{
    if (runner->oven == data)
        runner->oven = NULL;
}

static void oven_free(struct oven *oven)
{
    free((char *)oven->recipe.name);
    free((char *)oven->recipe.rootfs);
    free(oven);
}

void ovens_remove(struct ovens *ovens, struct oven *oven)
{
    if (ovens->stepping)
        abort();
    if (oven == ovens->first)
        return;
    struct oven **at = &ovens->first;
    while (*at != oven)
        at = &(*at)->next;
    *at = oven->next;
    if (ovens->turn == oven)
        ovens->turn = oven->next;
    ovens->count--;
    ovens->cooking_now = true; /* what it still cooks counts no more: no starts in between */
    oven_clear(oven);
    ovens->cooking_now = false;
    oven_tickets_refuse_all(oven, "the template was removed");
    roster_each(ovens->roster, detach, oven);
    oven_free(oven);
    ovens_refill(ovens);
    ovens_tell_owner(ovens);
}

struct ovens *ovens_create(struct roster *roster, const struct ovens_config *config,
                           const struct clock *clock)
{
    struct ovens *ovens = mem_new(struct ovens);
    ovens->roster = roster;
    ovens->clock = clock;
    ovens->config = *config;
    add(ovens, &config->template);
    roster_observe(roster, on_change, ovens);
    return ovens;
}

void ovens_destroy(struct ovens *ovens)
{
    if (!ovens)
        return;
    if (ovens->stepping)
        abort();
    roster_unobserve(ovens->roster, on_change, ovens);
    ovens->wake = NULL;
    ovens->stopped = true;
    for (struct oven *oven = ovens->first, *next; oven; oven = next) {
        next = oven->next;
        oven_shelf_clear(&oven->cooking);
        oven_shelf_clear(&oven->returning);
        oven_shelf_clear(&oven->warm);
        oven_tickets_refuse_all(oven, "the worker is ending");
        roster_each(ovens->roster, detach, oven);
    }
    while (ovens->first) {
        struct oven *oven = ovens->first;
        ovens->first = oven->next;
        oven_free(oven);
    }
    free(ovens);
}
