/* How it works. The oven's runners stand on one of three shelves: those it cooks, those that were
 * adopted and whose agents are awaited, and the warm ones. The roster's events move them.
 *
 * oven_take only queues a ticket. oven_step, which the owner calls at once because wake() told it
 * to, answers: first those who were refused on arrival, then the queue from its head for as long as
 * there are warm runners, then those whose time is over or who wait in vain. So nobody is
 * overtaken, and a runner is taken in the same moment in which its new owner hears of it. What
 * replaces it is cooked right after the answers, because whoever got a runner is in more of a
 * hurry; at any other event, and for callers who must wait, the oven cooks at once.
 *
 * Warm runners go out oldest first. The youngest would have somewhat warmer caches, but then the
 * ones at the bottom would stand for days: none here grows older than the pool takes to turn over,
 * one that has gone bad is found soon, and a runner that has just said hello gets time to settle.
 * Warm runners above the target are not destroyed; those who come use them up.
 */
#include "oven.h"

#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "backoff.h"
#include "demand.h"
#include "oven_queue.h"
#include "oven_shelf.h"

#include <inttypes.h>
#include <string.h>

#define FAILURES_MANY 3 /* in a row */

/* A runner that stood warm for so long was well; its death says nothing about the template. */
#define PROVEN_US ((mono_us)5 * US_PER_SEC)

/* Bounds of what callers are told about when to come again. */
#define RETRY_LEAST_US ((mono_us)100 * US_PER_MS)
#define RETRY_MOST_US ((mono_us)60 * US_PER_SEC)
#define RETRY_UNKNOWN_US ((mono_us)US_PER_SEC) /* when it depends on runners that are in use */

struct oven {
    struct roster *roster;
    const struct clock *clock;
    struct oven_config config;
    struct oven_shelf cooking, returning, warm;
    struct oven_queue waiting, refused; /* both are answered in oven_step */
    uint64_t ticket_count;              /* ever given */
    struct demand demand;
    struct backoff starts;
    struct backoff deaths; /* of warm runners, soon after they were cooked */
    char message[240];
    uint64_t cooked, failed, taken, refusals;
    unsigned memory_percent;
    bool memory_known, stopped;
    bool stepping, cooking_now; /* refill is entered by nobody else meanwhile */
    mono_us announced;          /* what the owner believes that oven_next_step() is */
    void (*wake)(void *data);
    void *wake_data;
};

static const char *const status_names[] = {
    [OVEN_IDLE] = "idle",     [OVEN_COOKING] = "cooking",        [OVEN_FULL] = "full",
    [OVEN_MEMORY] = "memory", [OVEN_BACKING_OFF] = "backingOff", [OVEN_STOPPED] = "stopped",
};

const char *oven_status_name(enum oven_status status)
{
    return (unsigned)status < ARRAY_LEN(status_names) ? status_names[status] : "unknown";
}

/* What is wanted, and what is in its way. */

static mono_us pause_end(const struct oven *oven)
{
    mono_us a = oven->starts.until, b = oven->deaths.until;
    return a > b ? a : b;
}

static unsigned target(const struct oven *oven, mono_us now)
{
    uint64_t runners = (uint64_t)oven->config.min_available + demand_runners(&oven->demand, now);
    return runners < oven->config.max_runners ? (unsigned)runners : oven->config.max_runners;
}

static bool wants_more(const struct oven *oven, mono_us now)
{
    unsigned have = oven->cooking.count + oven->returning.count + oven->warm.count;
    return have < target(oven, now) + oven->waiting.count ||
           oven->memory_percent < oven->config.mem_target_percent;
}

static bool at_most(const struct oven *oven)
{
    unsigned total = roster_total(oven->roster);
    return total >= oven->config.max_runners || total >= roster_max(oven->roster);
}

static bool may_cook(const struct oven *oven, mono_us now)
{
    /* After a failure one start at a time shows whether things are well again. */
    unsigned parallel = oven->starts.failures > 0 ? 1 : oven->config.cook_parallel;
    return oven->memory_known && !oven->stopped && now >= pause_end(oven) &&
           oven->cooking.count < parallel && !at_most(oven) &&
           oven->memory_percent <= oven->config.mem_ceiling_percent;
}

/* So many failures, of which at least one came after a pause, are not chance: several starts that
 * fail at the same moment may well be.
 */
static bool is_broken(const struct backoff *backoff)
{
    return backoff->failures >= FAILURES_MANY && backoff->pauses >= 2;
}

/* Nobody who waits now will get a runner soon. */
static bool hopeless(const struct oven *oven, mono_us now)
{
    if (oven->warm.count + oven->cooking.count + oven->returning.count > 0)
        return false;
    if (oven->stopped)
        return true;
    return now < pause_end(oven) && (is_broken(&oven->starts) || is_broken(&oven->deaths));
}

static enum oven_status status(const struct oven *oven, mono_us now)
{
    if (oven->stopped)
        return OVEN_STOPPED;
    if (now < pause_end(oven))
        return OVEN_BACKING_OFF;
    if (oven->cooking.count + oven->returning.count > 0)
        return OVEN_COOKING;
    if (!oven->memory_known || !wants_more(oven, now))
        return OVEN_IDLE;
    return at_most(oven) ? OVEN_FULL : OVEN_MEMORY;
}

/* Failures. */

static void pause_after(struct oven *oven, struct backoff *backoff, mono_us now)
{
    mono_us before = backoff->until;
    backoff_pause(backoff, now, oven->config.backoff_max_us);
    if (backoff->until != before)
        log_warn("the oven pauses", LOG_S("template", oven->config.template_name),
                 LOG_D("pauseMs", (backoff->until - now) / US_PER_MS),
                 LOG_D("failures", backoff->failures), LOG_S("error", oven->message));
}

static void start_failed(struct oven *oven, const char *why)
{
    oven->failed++;
    oven->starts.failures++;
    str_format(oven->message, sizeof(oven->message), "%s", why);
    pause_after(oven, &oven->starts, clock_now(oven->clock));
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
    mono_us now = clock_now(oven->clock);
    const struct runner *oldest = oven->warm.first;
    str_format(oven->message, sizeof(oven->message), "a warm runner died: %s", why);
    if (now - runner->shelved >= PROVEN_US || (oldest && now - oldest->shelved >= PROVEN_US)) {
        oven->deaths = (struct backoff){0};
    } else if (now >= oven->deaths.until) {
        if (++oven->deaths.failures >= FAILURES_MANY)
            pause_after(oven, &oven->deaths, now);
    }
}

/* A runner that is taken makes up for one that died. */
static void warm_taken(struct oven *oven)
{
    if (oven->deaths.failures > 0)
        oven->deaths.failures--;
    if (oven->deaths.pauses > 0)
        oven->deaths.pauses--;
}

/* Cooking. */

static void refill(struct oven *oven)
{
    if (oven->stepping || oven->cooking_now)
        return;
    oven->cooking_now = true;
    mono_us now = clock_now(oven->clock);
    while (may_cook(oven, now) && wants_more(oven, now)) {
        struct err err;
        struct runner *runner =
            roster_cook(oven->roster, oven->config.template_name, &oven->config.spec, &err);
        if (!runner) {
            start_failed(oven, err.msg);
            break;
        }
        /* Unless another observer has destroyed it already. */
        if (runner->state == RUNNER_COOKING)
            oven_shelf_put(&oven->cooking, runner, now);
    }
    oven->cooking_now = false;
}

static void tell_owner(struct oven *oven)
{
    if (oven->stepping || !oven->wake)
        return; /* the owner asks after oven_step anyway */
    mono_us next = oven_next_step(oven);
    if (next == 0 || (oven->announced != 0 && next >= oven->announced))
        return;
    oven->announced = next;
    oven->wake(oven->wake_data);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    struct oven *oven = data;
    (void)from; /* the shelf says where it was, also when it has moved on meanwhile */
    if (strcmp(runner->template_name, oven->config.template_name) == 0) {
        mono_us now = clock_now(oven->clock);
        const struct oven_shelf *was = runner->shelf;
        const struct err *death = roster_death(oven->roster);
        if (runner->state == RUNNER_COOKING) {
            if (runner->adopted && !runner->kept && !was)
                oven_shelf_put(&oven->returning, runner, now);
        } else if (was && !(was == &oven->warm && runner->state == RUNNER_AVAILABLE)) {
            oven_shelf_remove(runner);
            if (was == &oven->cooking && runner->state == RUNNER_AVAILABLE)
                start_succeeded(oven, runner);
            else if (was == &oven->cooking && death)
                start_failed(oven, death->msg);
            else if (was == &oven->warm && death)
                warm_died(oven, runner, death->msg);
        }
        if (runner->state == RUNNER_AVAILABLE && !runner->shelf)
            oven_shelf_put(&oven->warm, runner, now);
    }
    refill(oven);
    tell_owner(oven);
}

/* Starts that take too long. The engine says gone later, but they fail now. */
static void expire_starts(struct oven *oven, mono_us now)
{
    struct runner *runner;
    while ((runner = oven->cooking.first) &&
           now - runner->shelved >= oven->config.cook_timeout_us) {
        char why[120];
        str_format(why, sizeof(why),
                   "the runner's agent did not answer within %" PRId64 " ms (oven.cook_timeout)",
                   oven->config.cook_timeout_us / US_PER_MS);
        oven_shelf_remove(runner);
        log_warn("a runner did not start", LOG_S("runner", runner->name), LOG_S("error", why));
        start_failed(oven, why);
        runner_destroy(runner);
    }
    while ((runner = oven->returning.first) &&
           now - runner->shelved >= oven->config.cook_timeout_us) {
        oven_shelf_remove(runner);
        log_warn("an adopted runner did not come back", LOG_S("runner", runner->name));
        runner_destroy(runner);
    }
}

/* Tickets. */

/* The ticket is no more when its caller hears of it. */
static void ticket_answer(struct oven_ticket *ticket, struct runner *runner, const struct err *err,
                          mono_us retry_after_us)
{
    oven_take_cb done = ticket->done;
    void *data = ticket->data;
    oven_queue_remove(ticket);
    free(ticket);
    done(runner, err, retry_after_us, data);
}

static mono_us retry_after(const struct oven *oven, mono_us now)
{
    mono_us guess;
    if (now < pause_end(oven))
        guess = pause_end(oven) - now;
    else if (oven->cooking.count + oven->returning.count == 0)
        guess = RETRY_UNKNOWN_US;
    else
        guess = oven->demand.cook_us * (oven->waiting.count / oven->config.cook_parallel + 1);
    if (guess < RETRY_LEAST_US)
        return RETRY_LEAST_US;
    return guess < RETRY_MOST_US ? guess : RETRY_MOST_US;
}

/* Why no runner came, as the end of a sentence. */
static void describe_lack(const struct oven *oven, mono_us now, char *text, size_t room)
{
    if (oven->stopped)
        str_format(text, room, "the oven is stopped");
    else if (now < pause_end(oven))
        str_format(text, room, "runners fail: %s", oven->message);
    else if (oven->cooking.count + oven->returning.count > 0)
        str_format(text, room, "%u are being made", oven->cooking.count + oven->returning.count);
    else if (at_most(oven))
        str_format(text, room, "all %u that oven.max_runners allows are in use",
                   oven->config.max_runners);
    else if (oven->memory_percent > oven->config.mem_ceiling_percent)
        str_format(text, room, "%u %% of the host's memory is in use, oven.mem_ceiling is %u %%",
                   oven->memory_percent, oven->config.mem_ceiling_percent);
    else
        str_format(text, room, "the next is about to be made");
}

static void ticket_refuse(struct oven_ticket *ticket, const char *what)
{
    struct oven *oven = ticket->oven;
    mono_us now = clock_now(oven->clock);
    char lack[240];
    struct err err;
    describe_lack(oven, now, lack, sizeof(lack));
    err_set(&err, ERR_NOT_AVAILABLE, "%s; %s", what, lack);
    oven->refusals++;
    ticket_answer(ticket, NULL, &err, retry_after(oven, now));
}

static void ticket_expire(struct oven_ticket *ticket, mono_us now)
{
    char what[80];
    if (ticket->deadline.due == 0)
        str_format(what, sizeof(what), "no runner is warm");
    else
        str_format(what, sizeof(what), "no runner became free within %" PRId64 " ms",
                   (now - ticket->since) / US_PER_MS);
    ticket_refuse(ticket, what);
}

static void answer_refused(struct oven *oven, uint64_t before)
{
    struct oven_ticket *ticket;
    while ((ticket = oven_queue_first(&oven->refused, before))) {
        char what[80];
        if (ticket->deadline.due == 0)
            str_format(what, sizeof(what), "no runner is warm");
        else
            str_format(what, sizeof(what), "%u runs wait for a runner already (oven.queue_length)",
                       oven->waiting.count);
        ticket_refuse(ticket, what);
    }
}

static void hand_out(struct oven *oven, uint64_t before)
{
    struct oven_ticket *ticket;
    while (oven->warm.first && oven_queue_first(&oven->waiting, before)) {
        struct runner *runner = oven->warm.first;
        oven_shelf_remove(runner); /* here, because on_change may hear of it later */
        if (runner->state == RUNNER_AVAILABLE)
            runner_take(runner);
        if (runner->state != RUNNER_IN_USE)
            continue; /* another observer had its reasons */
        warm_taken(oven);
        ticket = oven_queue_first(&oven->waiting, before);
        if (!ticket) {
            runner_destroy(runner); /* its only taker was cancelled by an observer */
            break;
        }
        oven->taken++;
        ticket_answer(ticket, runner, NULL, 0);
    }
}

static void refuse_overdue(struct oven *oven, mono_us now, uint64_t before)
{
    struct oven_ticket *ticket;
    while (hopeless(oven, now) && (ticket = oven_queue_first(&oven->waiting, before)))
        ticket_refuse(ticket, "no runner can be had");
    while ((ticket = oven_queue_next_due(&oven->waiting)) && ticket->deadline.due <= now &&
           ticket->number < before)
        ticket_expire(ticket, now);
}

struct oven_ticket *oven_take(struct oven *oven, mono_us deadline, oven_take_cb done, void *data)
{
    mono_us now = clock_now(oven->clock);
    demand_arrived(&oven->demand, now);
    struct oven_ticket *ticket = mem_new(struct oven_ticket);
    *ticket = (struct oven_ticket){
        .oven = oven,
        .deadline = {.due = deadline},
        .since = now,
        .number = oven->ticket_count++,
        .done = done,
        .data = data,
    };
    /* Those who find a warm runner in the next step do not count as waiting. */
    unsigned places = oven->warm.count + (deadline != 0 ? oven->config.queue_length : 0);
    oven_queue_put(oven->waiting.count < places ? &oven->waiting : &oven->refused, ticket);
    if (oven->waiting.count > oven->warm.count)
        refill(oven);
    tell_owner(oven);
    return ticket;
}

void oven_cancel(struct oven_ticket *ticket)
{
    oven_queue_remove(ticket);
    free(ticket);
}

/* Driven by its owner. */

void oven_step(struct oven *oven, unsigned memory_used_percent)
{
    oven->memory_percent = memory_used_percent;
    oven->memory_known = true;
    if (oven->stepping)
        return;
    mono_us now = clock_now(oven->clock);
    /* Tickets that are taken in the answers wait for the next step, so that a caller who tries
     * again at once cannot keep this one going.
     */
    uint64_t before = oven->ticket_count;
    oven->stepping = true;
    expire_starts(oven, now);
    answer_refused(oven, before);
    hand_out(oven, before);
    refuse_overdue(oven, now, before);
    oven->stepping = false;
    refill(oven);
    oven->announced = oven_next_step(oven);
}

static void sooner(mono_us *next, mono_us time)
{
    if (*next == 0 || time < *next)
        *next = time;
}

mono_us oven_next_step(const struct oven *oven)
{
    mono_us now = clock_now(oven->clock);
    if (!oven->memory_known || oven->refused.count > 0 ||
        (oven->waiting.count > 0 && (oven->warm.count > 0 || hopeless(oven, now))))
        return now;
    mono_us next = 0;
    const struct oven_ticket *ticket = oven_queue_next_due(&oven->waiting);
    if (ticket)
        sooner(&next, ticket->deadline.due ? ticket->deadline.due : now);
    if (oven->cooking.first)
        sooner(&next, oven->cooking.first->shelved + oven->config.cook_timeout_us);
    if (oven->returning.first)
        sooner(&next, oven->returning.first->shelved + oven->config.cook_timeout_us);
    if (!oven->stopped && now < pause_end(oven) && wants_more(oven, now))
        sooner(&next, pause_end(oven));
    return next;
}

void oven_on_wake(struct oven *oven, void (*wake)(void *data), void *data)
{
    oven->wake = wake;
    oven->wake_data = data;
}

void oven_stop(struct oven *oven)
{
    oven->stopped = true;
    tell_owner(oven);
}

static void enlist(struct runner *runner, void *data)
{
    struct oven *oven = data;
    if (strcmp(runner->template_name, oven->config.template_name) != 0 || runner->shelf)
        return;
    if (runner->state == RUNNER_AVAILABLE)
        oven_shelf_put(&oven->warm, runner, clock_now(oven->clock));
    else if (runner->state == RUNNER_COOKING && !runner->kept)
        oven_shelf_put(&oven->returning, runner, clock_now(oven->clock));
}

struct oven *oven_create(struct roster *roster, const struct oven_config *config,
                         const struct clock *clock)
{
    struct oven *oven = mem_new(struct oven);
    oven->roster = roster;
    oven->clock = clock;
    oven->config = *config;
    roster_observe(roster, on_change, oven);
    roster_each(roster, enlist, oven);
    return oven;
}

void oven_destroy(struct oven *oven)
{
    if (!oven)
        return;
    if (oven->stepping)
        abort();
    roster_unobserve(oven->roster, on_change, oven);
    oven->wake = NULL;
    oven->stopped = true;
    oven_shelf_clear(&oven->cooking);
    oven_shelf_clear(&oven->returning);
    oven_shelf_clear(&oven->warm);
    struct oven_ticket *ticket;
    while ((ticket = oven->refused.first) || (ticket = oven->waiting.first))
        ticket_refuse(ticket, "the worker is ending");
    oven_queue_finish(&oven->waiting);
    oven_queue_finish(&oven->refused);
    free(oven);
}

void oven_get_figures(const struct oven *oven, struct oven_figures *figures)
{
    mono_us now = clock_now(oven->clock);
    *figures = (struct oven_figures){
        .status = status(oven, now),
        .cooking = oven->cooking.count + oven->returning.count,
        .available = oven->warm.count,
        .waiting = oven->waiting.count,
        .target = target(oven, now),
        .failures = oven->starts.failures,
        .cook_us = oven->demand.cook_us,
        .cooked = oven->cooked,
        .failed = oven->failed,
        .taken = oven->taken,
        .refused = oven->refusals,
    };
    memcpy(figures->message, oven->message, sizeof(figures->message));
}
