/* How it works. The oven's runners stand on one of three shelves: those it cooks, those that were
 * adopted and whose agents are awaited, and the warm ones. The roster's events, which come through
 * ovens.c, move them.
 *
 * oven_take only queues a ticket. ovens_step, which the owner calls at once because wake() told it
 * to, answers (oven_tickets.c): so nobody is overtaken, and a runner is taken in the same moment in
 * which its new owner hears of it. What replaces it is cooked right after the answers, because
 * whoever got a runner is in more of a hurry; at any other event, and for callers who must wait,
 * cooking begins at once.
 *
 * Warm runners go out oldest first. The youngest would have somewhat warmer caches, but then the
 * ones at the bottom would stand for days: none here grows older than the pool takes to turn over,
 * one that has gone bad is found soon, and a runner that has just said hello gets time to settle.
 * Warm runners above the target are not destroyed unless the oven lingers (struct oven_settings) or
 * another template's callers need their room; those who come use them up.
 */
#include "oven.h"

#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "oven_private.h"

#include <inttypes.h>
#include <string.h>

#define FAILURES_MANY 3 /* in a row */

/* A runner that stood warm for so long was well; its death says nothing about the template. */
#define PROVEN_US ((mono_us)5 * US_PER_SEC)

static const char *const status_names[] = {
    [OVEN_IDLE] = "idle",         [OVEN_COOKING] = "cooking", [OVEN_FULL] = "full",
    [OVEN_MEMORY] = "memory",     [OVEN_PAUSED] = "paused",   [OVEN_BACKING_OFF] = "backingOff",
    [OVEN_DRAINING] = "draining", [OVEN_DRAINED] = "drained", [OVEN_STOPPED] = "stopped",
};

const char *oven_status_name(enum oven_status status)
{
    return (unsigned)status < ARRAY_LEN(status_names) ? status_names[status] : "unknown";
}

const char *oven_template_name(const struct oven *oven)
{
    return oven->recipe.name;
}

/* What is wanted, and what is in its way. */

mono_us oven_pause_end(const struct oven *oven)
{
    mono_us a = oven->starts.until, b = oven->deaths.until;
    return a > b ? a : b;
}

static bool is_lingering(const struct oven *oven, mono_us now)
{
    return oven->demand.rate > 0 && now - oven->demand.at < oven->settings.linger_us;
}

unsigned oven_target(const struct oven *oven, mono_us now)
{
    uint64_t runners = (uint64_t)oven->settings.min_available + demand_runners(&oven->demand, now);
    if (runners == 0 && is_lingering(oven, now))
        runners = 1;
    return runners < oven->settings.max_runners ? (unsigned)runners : oven->settings.max_runners;
}

static unsigned have(const struct oven *oven)
{
    return oven->cooking.count + oven->returning.count + oven->warm.count;
}

enum oven_want oven_wants(const struct oven *oven, mono_us now)
{
    if (oven->waiting.count > have(oven))
        return OVEN_WANTS_URGENTLY;
    if (have(oven) < oven_target(oven, now) + oven->waiting.count)
        return OVEN_WANTS_TARGET;
    if (oven->set->memory_percent < oven->settings.mem_target_percent)
        return OVEN_WANTS_SPARE;
    return OVEN_WANTS_NONE;
}

unsigned oven_lacks(const struct oven *oven, enum oven_want want, mono_us now)
{
    unsigned wanted = oven->waiting.count;
    if (want == OVEN_WANTS_TARGET)
        wanted += oven_target(oven, now);
    unsigned lack = wanted > have(oven) ? wanted - have(oven) : 0;
    unsigned room =
        oven->settings.max_runners > oven->total ? oven->settings.max_runners - oven->total : 0;
    return lack < room ? lack : room;
}

unsigned oven_surplus(const struct oven *oven, enum oven_want want, mono_us now)
{
    unsigned needed =
        oven->waiting.count +
        (want == OVEN_WANTS_TARGET ? oven_target(oven, now) : demand_runners(&oven->demand, now));
    return oven->warm.count > needed ? oven->warm.count - needed : 0;
}

bool oven_is_full(const struct oven *oven)
{
    const struct ovens *set = oven->set;
    unsigned total = roster_total(set->roster);
    return total >= set->config.max_runners || total >= roster_max(set->roster) ||
           oven->total >= oven->settings.max_runners;
}

bool oven_is_able(const struct oven *oven, mono_us now)
{
    /* After a failure one start at a time shows whether things are well again. */
    unsigned parallel = oven->starts.failures > 0 ? 1 : oven->set->config.cook_parallel;
    return !oven->set->stopped && oven->settings.mode == OVEN_COOKS &&
           now >= oven_pause_end(oven) && oven->cooking.count < parallel;
}

/* So many failures, of which at least one came after a pause, are not chance: several starts that
 * fail at the same moment may well be.
 */
static bool is_broken(const struct backoff *backoff)
{
    return backoff->failures >= FAILURES_MANY && backoff->pauses >= 2;
}

bool oven_is_hopeless(const struct oven *oven, mono_us now)
{
    if (have(oven) > 0)
        return false;
    if (oven->set->stopped || oven->settings.mode != OVEN_COOKS)
        return true;
    return now < oven_pause_end(oven) && (is_broken(&oven->starts) || is_broken(&oven->deaths));
}

static enum oven_status status(const struct oven *oven, mono_us now)
{
    if (oven->set->stopped)
        return OVEN_STOPPED;
    if (oven->settings.mode == OVEN_IS_DRAINED)
        return oven->total > 0 ? OVEN_DRAINING : OVEN_DRAINED;
    if (oven->settings.mode == OVEN_IS_PAUSED)
        return OVEN_PAUSED;
    if (now < oven_pause_end(oven))
        return OVEN_BACKING_OFF;
    if (oven->cooking.count + oven->returning.count > 0)
        return OVEN_COOKING;
    if (!oven->set->memory_known || oven_wants(oven, now) == OVEN_WANTS_NONE)
        return OVEN_IDLE;
    return oven_is_full(oven) ? OVEN_FULL : OVEN_MEMORY;
}

/* Failures. */

static void pause_after(struct oven *oven, struct backoff *backoff, mono_us now)
{
    mono_us before = backoff->until;
    backoff_pause(backoff, now, oven->set->config.backoff_max_us);
    if (backoff->until != before)
        log_warn("the oven pauses", LOG_S("template", oven->recipe.name),
                 LOG_D("pauseMs", (backoff->until - now) / US_PER_MS),
                 LOG_D("failures", backoff->failures), LOG_S("error", oven->message));
}

static void start_failed(struct oven *oven, const char *why)
{
    oven->failed++;
    oven->starts.failures++;
    str_format(oven->message, sizeof(oven->message), "%s", why);
    pause_after(oven, &oven->starts, clock_now(oven->set->clock));
}

static void start_succeeded(struct oven *oven, const struct runner *runner)
{
    oven->cooked++;
    oven->starts = (struct backoff){0};
    demand_cooked(&oven->demand, runner->cook_us);
    if (oven->deaths.failures < FAILURES_MANY)
        oven->message[0] = '\0';
}

/* Deaths that come soon after the hello count as failures of the template. */
static void warm_died(struct oven *oven, const struct runner *runner, const char *why)
{
    mono_us now = clock_now(oven->set->clock);
    const struct runner *oldest = oven->warm.first;
    str_format(oven->message, sizeof(oven->message), "a warm runner died: %s", why);
    if (now - runner->shelved >= PROVEN_US || (oldest && now - oldest->shelved >= PROVEN_US)) {
        oven->deaths = (struct backoff){0};
    } else if (now >= oven->deaths.until) {
        if (++oven->deaths.failures >= FAILURES_MANY)
            pause_after(oven, &oven->deaths, now);
    }
}

void oven_warm_taken(struct oven *oven)
{
    if (oven->deaths.failures > 0)
        oven->deaths.failures--;
    if (oven->deaths.pauses > 0)
        oven->deaths.pauses--;
}

/* Its runners. */

void oven_attach(struct oven *oven, struct runner *runner)
{
    if (runner->oven)
        return;
    runner->oven = oven;
    oven->total++;
}

void oven_cook(struct oven *oven, mono_us now)
{
    struct err err;
    struct runner *runner = roster_cook(oven->set->roster, oven->recipe.name, &oven->spec, &err);
    if (!runner) {
        start_failed(oven, err.msg);
        return;
    }
    oven_attach(oven, runner); /* the event may come later */
    /* Unless another observer has destroyed it already. */
    if (runner->state == RUNNER_COOKING)
        oven_shelf_put(&oven->cooking, runner, now);
}

/* It may not be handed out: of another build, or of an oven that is drained. */
static bool is_unwanted(const struct oven *oven, const struct runner *runner)
{
    return !runner->kept &&
           (runner->state == RUNNER_COOKING || runner->state == RUNNER_AVAILABLE) &&
           (runner->spec.rootfs_stamp != oven->recipe.stamp ||
            oven->settings.mode == OVEN_IS_DRAINED);
}

static void left_shelf(struct oven *oven, const struct oven_shelf *was, const struct runner *runner)
{
    const struct err *death = roster_death(oven->set->roster);
    if (was == &oven->cooking && runner->state == RUNNER_AVAILABLE)
        start_succeeded(oven, runner);
    else if (was == &oven->cooking && death)
        start_failed(oven, death->msg);
    else if (was == &oven->warm && death)
        warm_died(oven, runner, death->msg);
}

void oven_changed(struct oven *oven, struct runner *runner)
{
    mono_us now = clock_now(oven->set->clock);
    /* The shelf says where it was, also when it has moved on meanwhile. */
    const struct oven_shelf *was = runner->shelf;
    if (is_unwanted(oven, runner)) {
        if (was)
            oven_shelf_remove(runner);
        runner_destroy(runner);
    } else if (runner->state == RUNNER_COOKING) {
        if (runner->adopted && !runner->kept && !was)
            oven_shelf_put(&oven->returning, runner, now);
    } else if (was && !(was == &oven->warm && runner->state == RUNNER_AVAILABLE)) {
        oven_shelf_remove(runner);
        left_shelf(oven, was, runner);
    }
    if (runner->state == RUNNER_AVAILABLE && !runner->shelf)
        oven_shelf_put(&oven->warm, runner, now);
}

void oven_enlist(struct oven *oven, struct runner *runner)
{
    if (runner->oven || strcmp(runner->template_name, oven->recipe.name) != 0)
        return;
    oven_attach(oven, runner);
    if (runner->state == RUNNER_COOKING && !runner->kept)
        oven_shelf_put(&oven->returning, runner, clock_now(oven->set->clock));
    oven_changed(oven, runner);
}

static void clear_shelf(struct oven_shelf *shelf)
{
    struct runner *runner;
    while ((runner = shelf->first)) {
        oven_shelf_remove(runner);
        runner_destroy(runner);
    }
}

void oven_clear(struct oven *oven)
{
    clear_shelf(&oven->cooking);
    clear_shelf(&oven->returning);
    clear_shelf(&oven->warm);
}

void oven_renew(struct oven *oven, const struct oven_template *recipe)
{
    free((char *)oven->recipe.rootfs);
    oven->recipe.rootfs = mem_strdup(recipe->rootfs);
    oven->recipe.stamp = recipe->stamp;
    oven->spec.rootfs = oven->recipe.rootfs;
    oven->spec.rootfs_stamp = recipe->stamp;
    oven->starts = (struct backoff){0};
    oven->deaths = (struct backoff){0};
    oven->message[0] = '\0';
    oven_clear(oven);
}

/* Starts that take too long. The engine says gone later, but they fail now. */
static void expire_starts(struct oven *oven, mono_us now)
{
    mono_us timeout_us = oven->set->config.cook_timeout_us;
    struct runner *runner;
    while ((runner = oven->cooking.first) && now - runner->shelved >= timeout_us) {
        char why[120];
        str_format(why, sizeof(why),
                   "the runner's agent did not answer within %" PRId64 " ms (oven.cook_timeout)",
                   timeout_us / US_PER_MS);
        oven_shelf_remove(runner);
        log_warn("a runner did not start", LOG_S("runner", runner->name), LOG_S("error", why));
        start_failed(oven, why);
        runner_destroy(runner);
    }
    while ((runner = oven->returning.first) && now - runner->shelved >= timeout_us) {
        oven_shelf_remove(runner);
        log_warn("an adopted runner did not come back", LOG_S("runner", runner->name));
        runner_destroy(runner);
    }
}

static bool has_idle(const struct oven *oven, unsigned wanted)
{
    return oven->settings.linger_us > 0 && oven->warm.count > wanted + oven->waiting.count &&
           oven->set->memory_percent >= oven->settings.mem_target_percent;
}

void oven_expire(struct oven *oven, mono_us now)
{
    expire_starts(oven, now);
    while (has_idle(oven, oven_target(oven, now)) &&
           now - oven->warm.first->shelved >= oven->settings.linger_us) {
        struct runner *runner = oven->warm.first;
        oven_shelf_remove(runner);
        runner_destroy(runner);
    }
}

static void sooner(mono_us *next, mono_us time)
{
    if (*next == 0 || time < *next)
        *next = time;
}

/* When idle ones go: the target falls by and by, so it is looked at again every second. */
static mono_us idle_due(const struct oven *oven, mono_us now)
{
    mono_us due = oven->warm.first->shelved + oven->settings.linger_us;
    mono_us quiet = oven->demand.at + oven->settings.linger_us;
    if (due < quiet)
        due = quiet;
    return due > now ? due : now + US_PER_SEC;
}

mono_us oven_due(const struct oven *oven, mono_us now)
{
    if (oven->refused.count > 0 ||
        (oven->waiting.count > 0 && (oven->warm.count > 0 || oven_is_hopeless(oven, now))))
        return now;
    mono_us next = 0;
    const struct oven_ticket *ticket = oven_queue_next_due(&oven->waiting);
    if (ticket)
        sooner(&next, ticket->deadline.due ? ticket->deadline.due : now);
    if (oven->cooking.first)
        sooner(&next, oven->cooking.first->shelved + oven->set->config.cook_timeout_us);
    if (oven->returning.first)
        sooner(&next, oven->returning.first->shelved + oven->set->config.cook_timeout_us);
    if (!oven->set->stopped && oven->settings.mode == OVEN_COOKS && now < oven_pause_end(oven) &&
        oven_wants(oven, now) != OVEN_WANTS_NONE)
        sooner(&next, oven_pause_end(oven));
    if (has_idle(oven, oven->settings.min_available))
        sooner(&next, idle_due(oven, now));
    return next;
}

/* What its owner sees and sets. */

const struct oven_settings *oven_get_settings(const struct oven *oven)
{
    return &oven->settings;
}

void oven_set_settings(struct oven *oven, const struct oven_settings *settings)
{
    oven->settings = *settings;
    if (settings->mode == OVEN_IS_DRAINED)
        oven_clear(oven);
    unsigned past = oven->total > settings->max_runners ? oven->total - settings->max_runners : 0;
    for (; past > 0 && oven->warm.count > oven->waiting.count; past--) {
        struct runner *runner = oven->warm.first;
        oven_shelf_remove(runner);
        runner_destroy(runner);
    }
    ovens_refill(oven->set);
    ovens_tell_owner(oven->set);
}

struct count {
    const struct oven *oven;
    struct oven_figures *figures;
};

static void count_runner(struct runner *runner, void *data)
{
    const struct count *count = data;
    if (runner->oven != count->oven)
        return;
    count->figures->in_use += runner->state == RUNNER_IN_USE;
    count->figures->freeing += runner->state == RUNNER_FREEING;
}

void oven_get_figures(const struct oven *oven, struct oven_figures *figures)
{
    mono_us now = clock_now(oven->set->clock);
    *figures = (struct oven_figures){
        .status = status(oven, now),
        .cooking = oven->cooking.count + oven->returning.count,
        .available = oven->warm.count,
        .total = oven->total,
        .waiting = oven->waiting.count,
        .target = oven_target(oven, now),
        .failures = oven->starts.failures,
        .cook_us = oven->demand.cook_us,
        .cooked = oven->cooked,
        .failed = oven->failed,
        .taken = oven->taken,
        .refused = oven->refusals,
    };
    memcpy(figures->message, oven->message, sizeof(figures->message));
    struct count count = {oven, figures};
    roster_each(oven->set->roster, count_runner, &count);
}
