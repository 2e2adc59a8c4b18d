/* How callers are answered. ovens_step lets every oven answer: first those who were refused on
 * arrival, then the queue from its head for as long as there are warm runners, then those whose
 * time is over or who wait in vain.
 */
#include "oven_private.h"

#include "../common/mem.h"
#include "../common/str.h"

#include <inttypes.h>

/* Bounds of what callers are told about when to come again. */
#define RETRY_LEAST_US ((mono_us)100 * US_PER_MS)
#define RETRY_MOST_US ((mono_us)60 * US_PER_SEC)
#define RETRY_UNKNOWN_US ((mono_us)US_PER_SEC) /* when it depends on runners that are in use */

/* The ticket is no more when its caller hears of it. */
static void answer(struct oven_ticket *ticket, struct runner *runner, const struct err *err,
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
    if (now < oven_pause_end(oven))
        guess = oven_pause_end(oven) - now;
    else if (oven->cooking.count + oven->returning.count == 0)
        guess = RETRY_UNKNOWN_US;
    else
        guess = oven->demand.cook_us * (oven->waiting.count / oven->set->config.cook_parallel + 1);
    if (guess < RETRY_LEAST_US)
        return RETRY_LEAST_US;
    return guess < RETRY_MOST_US ? guess : RETRY_MOST_US;
}

/* Why no runner came, as the end of a sentence. */
static void describe_lack(const struct oven *oven, mono_us now, char *text, size_t room)
{
    const struct ovens *set = oven->set;
    if (set->stopped)
        str_format(text, room, "the oven is stopped");
    else if (oven->settings.mode == OVEN_IS_DRAINED)
        str_format(text, room, "the oven of template %s is drained", oven->recipe.name);
    else if (oven->settings.mode == OVEN_IS_PAUSED)
        str_format(text, room, "the oven of template %s is paused", oven->recipe.name);
    else if (now < oven_pause_end(oven))
        str_format(text, room, "runners fail: %s", oven->message);
    else if (oven->cooking.count + oven->returning.count > 0)
        str_format(text, room, "%u are being made", oven->cooking.count + oven->returning.count);
    else if (oven->total >= oven->settings.max_runners &&
             oven->settings.max_runners < set->config.max_runners)
        str_format(text, room, "all %u that maxRunners of template %s allows are in use",
                   oven->settings.max_runners, oven->recipe.name);
    else if (oven_is_full(oven))
        str_format(text, room, "all %u that oven.max_runners allows are in use",
                   set->config.max_runners);
    else if (set->memory_percent > set->config.mem_ceiling_percent)
        str_format(text, room, "%u %% of the host's memory is in use, oven.mem_ceiling is %u %%",
                   set->memory_percent, set->config.mem_ceiling_percent);
    else
        str_format(text, room, "the next is about to be made");
}

static void refuse(struct oven_ticket *ticket, const char *what)
{
    struct oven *oven = ticket->oven;
    mono_us now = clock_now(oven->set->clock);
    char lack[240];
    struct err err;
    describe_lack(oven, now, lack, sizeof(lack));
    err_set(&err, ERR_NOT_AVAILABLE, "%s; %s", what, lack);
    oven->refusals++;
    answer(ticket, NULL, &err, retry_after(oven, now));
}

static void expire(struct oven_ticket *ticket, mono_us now)
{
    char what[80];
    if (ticket->deadline.due == 0)
        str_format(what, sizeof(what), "no runner is warm");
    else
        str_format(what, sizeof(what), "no runner became free within %" PRId64 " ms",
                   (now - ticket->since) / US_PER_MS);
    refuse(ticket, what);
}

static void answer_refused(struct oven *oven, uint64_t before)
{
    struct oven_ticket *ticket;
    while ((ticket = oven_queue_first(&oven->refused, before))) {
        char what[80];
        if (oven->settings.mode == OVEN_IS_DRAINED)
            str_format(what, sizeof(what), "no runner can be had");
        else if (ticket->deadline.due == 0)
            str_format(what, sizeof(what), "no runner is warm");
        else
            str_format(what, sizeof(what), "%u runs wait for a runner already (oven.queue_length)",
                       ovens_queued(oven->set));
        refuse(ticket, what);
    }
}

static void hand_out(struct oven *oven, uint64_t before)
{
    struct oven_ticket *ticket;
    while (oven->warm.first && oven_queue_first(&oven->waiting, before)) {
        struct runner *runner = oven->warm.first;
        oven_shelf_remove(runner); /* here, because its event may come later */
        if (runner->state == RUNNER_AVAILABLE)
            runner_take(runner);
        if (runner->state != RUNNER_IN_USE)
            continue; /* another observer had its reasons */
        oven_warm_taken(oven);
        ticket = oven_queue_first(&oven->waiting, before);
        if (!ticket) {
            runner_destroy(runner); /* its only taker was cancelled by an observer */
            break;
        }
        oven->taken++;
        answer(ticket, runner, NULL, 0);
    }
}

static void refuse_overdue(struct oven *oven, mono_us now, uint64_t before)
{
    struct oven_ticket *ticket;
    while (oven_is_hopeless(oven, now) && (ticket = oven_queue_first(&oven->waiting, before)))
        refuse(ticket, "no runner can be had");
    while ((ticket = oven_queue_next_due(&oven->waiting)) && ticket->deadline.due <= now &&
           ticket->number < before)
        expire(ticket, now);
}

void oven_tickets_answer(struct oven *oven, mono_us now, uint64_t before)
{
    answer_refused(oven, before);
    hand_out(oven, before);
    refuse_overdue(oven, now, before);
}

void oven_tickets_refuse_all(struct oven *oven, const char *what)
{
    struct oven_ticket *ticket;
    while ((ticket = oven->refused.first) || (ticket = oven->waiting.first))
        refuse(ticket, what);
    oven_queue_finish(&oven->waiting);
    oven_queue_finish(&oven->refused);
}

unsigned oven_queued(const struct oven *oven)
{
    return oven->waiting.count > oven->warm.count ? oven->waiting.count - oven->warm.count : 0;
}

unsigned ovens_queued(const struct ovens *ovens)
{
    unsigned queued = 0;
    for (const struct oven *oven = ovens->first; oven; oven = oven->next)
        queued += oven_queued(oven);
    return queued;
}

/* A quarter of the queue is kept in equal parts for those templates for which nobody waits yet, so
 * that a flood of one leaves the others theirs.
 */
static unsigned places_left(const struct oven *oven)
{
    const struct ovens *set = oven->set;
    unsigned used = ovens_queued(set), share = set->config.queue_length / (4 * set->count);
    for (const struct oven *other = set->first; other; other = other->next)
        if (other != oven && oven_queued(other) < share)
            used += share - oven_queued(other);
    return used < set->config.queue_length ? set->config.queue_length - used : 0;
}

static bool may_wait(const struct oven *oven, mono_us deadline)
{
    if (oven->settings.mode == OVEN_IS_DRAINED)
        return false;
    /* Those who find a warm runner in the next step do not count as waiting. */
    return oven->waiting.count < oven->warm.count || (deadline != 0 && places_left(oven) > 0);
}

struct oven_ticket *oven_take(struct oven *oven, mono_us deadline, oven_take_cb done, void *data)
{
    mono_us now = clock_now(oven->set->clock);
    demand_arrived(&oven->demand, now);
    struct oven_ticket *ticket = mem_new(struct oven_ticket);
    *ticket = (struct oven_ticket){
        .oven = oven,
        .deadline = {.due = deadline},
        .since = now,
        .number = oven->set->ticket_count++,
        .done = done,
        .data = data,
    };
    oven_queue_put(may_wait(oven, deadline) ? &oven->waiting : &oven->refused, ticket);
    if (oven->waiting.count > oven->warm.count)
        ovens_refill(oven->set);
    ovens_tell_owner(oven->set);
    return ticket;
}

void oven_cancel(struct oven_ticket *ticket)
{
    oven_queue_remove(ticket);
    free(ticket);
}
