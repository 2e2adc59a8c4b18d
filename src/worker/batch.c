#include "batch.h"

#include "../common/log.h"
#include "../common/mem.h"

/* How it works. A runner that an operation has been started on is watched from then on until it is
 * gone, by a timer of its own that looks at how much processor time it has used since the last
 * look. Short runs have ended before the first one. At its end it has no limit (the engine sees to
 * that), but gives way as it did for a while more.
 */
#define LOOK_SOON_MS 30 /* after an operation's begin, and when it has the processor again */
#define LOOKS_SOON 4    /* at a begin: a fork bomb shall be known soon */
#define LOOK_MS 100
#define LOOK_SELDOM_MS 1000 /* at one that does nothing */

#define END_MS 1000 /* has one that gives way and is destroyed before it competes for its end */

#define LIFT_PAUSE_US ((mono_us)US_PER_SEC) /* or kills would be a way around the limit */

#define COMPUTES_US (20 * (mono_us)US_PER_MS) /* used without a rest */
#define RESTS_PERCENT 2                       /* of a processor: less is a rest, or starving */

/* A fork bomb is refused processes again and again, or is many and mostly at work in the kernel:
 * little of that is said of a short time, as the kernel counts by ticks of its clock.
 */
#define REFUSALS_MANY 16 /* between two looks */
#define CROWD_PROCESSES 48
#define CROWD_LEAST_US (20 * (mono_us)US_PER_MS)
#define CROWD_KERNEL_PERCENT 60
#define CURB_US ((mono_us)US_PER_SEC) /* without its ways, and it is let go */

static const char *const names[] = {
    [ENGINE_PACE_EQUAL] = "equal",     [ENGINE_PACE_BATCH] = "batch",
    [ENGINE_PACE_CURBED] = "curbed",   [ENGINE_PACE_ENDING] = "ending",
    [ENGINE_PACE_OVERDUE] = "overdue",
};

struct batch {
    uv_loop_t *loop;
    struct roster *roster;
    const struct clock *clock;
};

struct watched {
    uv_timer_t timer;
    struct batch *batch;
    struct runner *runner;
    mono_us looked;
    struct engine_use use;   /* then */
    int64_t used_us;         /* since its last rest */
    struct engine_use crowd; /* when it was looked at for a fork bomb's ways last */
    mono_us curbed;          /* when it had a fork bomb's ways last; 0: never */
    uint64_t pause_ms;
    unsigned soon;  /* so many of the next looks come soon */
    mono_us lifted; /* when it was ENDING last; 0: never */
    enum engine_pace pace;
};

static void set_pace(struct watched *watched, enum engine_pace pace)
{
    struct engine *engine = roster_engine(watched->batch->roster);
    if (watched->pace == pace)
        return;
    watched->pace = pace;
    if (pace != ENGINE_PACE_BATCH)
        watched->used_us = 0;
    engine->ops->set_pace(engine, watched->runner->handle, pace);
    log_debug("a runner's pace", LOG_S("runner", watched->runner->name),
              LOG_S("pace", names[pace]));
}

static void plan(struct watched *watched, int64_t percent)
{
    if (watched->soon > 0) {
        watched->soon--;
        watched->pause_ms = LOOK_SOON_MS;
    } else if (percent >= RESTS_PERCENT || watched->pause_ms < LOOK_MS) {
        watched->pause_ms = LOOK_MS;
    } else if (watched->pause_ms < LOOK_SELDOM_MS) {
        watched->pause_ms *= 2;
    }
}

static bool is_crowd(struct watched *watched, const struct engine_use *use)
{
    int64_t cpu_us = use->cpu_us - watched->crowd.cpu_us;
    int64_t kernel_us = cpu_us - (use->user_us - watched->crowd.user_us);
    if (cpu_us < CROWD_LEAST_US)
        return false;
    watched->crowd = *use;
    return use->processes >= CROWD_PROCESSES && kernel_us * 100 >= cpu_us * CROWD_KERNEL_PERCENT;
}

static bool is_bomb(struct watched *watched, const struct engine_use *use, mono_us now)
{
    int64_t refused = use->pids_refused - watched->use.pids_refused;
    if (is_crowd(watched, use) || refused >= REFUSALS_MANY ||
        (refused > 0 && watched->pace == ENGINE_PACE_CURBED))
        watched->curbed = now;
    return watched->curbed != 0 && now - watched->curbed < CURB_US;
}

static void on_look(uv_timer_t *timer)
{
    struct watched *watched = timer->data;
    struct batch *batch = watched->batch;
    struct engine *engine = roster_engine(batch->roster);
    mono_us now = clock_now(batch->clock), passed = now - watched->looked;
    const struct engine_use use = engine->ops->use(engine, watched->runner->handle);
    int64_t cpu_us = use.cpu_us - watched->use.cpu_us;
    int64_t percent = passed > 0 ? cpu_us * 100 / passed : 0;
    bool bomb = is_bomb(watched, &use, now);
    watched->used_us = percent < RESTS_PERCENT ? 0 : watched->used_us + cpu_us;
    watched->looked = now;
    watched->use = use;
    if (bomb) {
        set_pace(watched, ENGINE_PACE_CURBED);
    } else if (watched->pace == ENGINE_PACE_ENDING || watched->pace == ENGINE_PACE_CURBED ||
               (watched->pace == ENGINE_PACE_BATCH && watched->used_us == 0)) {
        set_pace(watched, ENGINE_PACE_EQUAL);
        watched->soon = 1;
    } else if (watched->used_us >= COMPUTES_US) {
        set_pace(watched, ENGINE_PACE_BATCH);
    }
    plan(watched, percent);
    uv_timer_start(&watched->timer, on_look, watched->pause_ms, 0);
}

/* Hundreds of processes end at a runner's end, each for a while in the kernel. */
static void on_overdue(uv_timer_t *timer)
{
    set_pace(timer->data, ENGINE_PACE_OVERDUE);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void forget(struct watched *watched)
{
    watched->runner->watched = NULL;
    uv_close((uv_handle_t *)&watched->timer, on_closed);
}

static void watch_runner(struct batch *batch, struct runner *runner)
{
    struct watched *watched = mem_new(struct watched);
    uv_timer_init(batch->loop, &watched->timer);
    watched->timer.data = watched;
    watched->batch = batch;
    watched->runner = runner;
    watched->looked = clock_now(batch->clock);
    watched->use = (struct engine_use){.cpu_us = runner->baseline.cpu_us,
                                       .user_us = runner->baseline.user_us,
                                       .pids_refused = runner->baseline.pids_refused};
    watched->crowd = watched->use;
    runner->watched = watched;
}

void batch_begin(struct batch *batch, struct runner *runner)
{
    if (!runner->watched)
        watch_runner(batch, runner);
    runner->watched->soon = LOOKS_SOON;
    uv_timer_start(&runner->watched->timer, on_look, LOOK_SOON_MS, 0);
}

void batch_lift(struct runner *runner)
{
    struct watched *watched = runner->watched;
    if (!watched)
        return;
    mono_us now = clock_now(watched->batch->clock);
    if (watched->pace == ENGINE_PACE_ENDING)
        return;
    if (watched->lifted != 0 && now - watched->lifted < LIFT_PAUSE_US) {
        set_pace(watched, ENGINE_PACE_EQUAL);
        return;
    }
    watched->lifted = now;
    watched->curbed = 0;
    set_pace(watched, ENGINE_PACE_ENDING);
    uv_timer_start(&watched->timer, on_look, LOOK_MS, 0);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    (void)from;
    if (runner->state == RUNNER_IN_USE && runner->adopted)
        batch_begin(data, runner); /* what it was doing goes on */
    if (runner->watched && runner->state == RUNNER_FREEING)
        uv_timer_start(&runner->watched->timer, on_overdue, END_MS, 0);
    if (runner->watched && runner->state == RUNNER_GONE)
        forget(runner->watched);
}

struct batch *batch_create(uv_loop_t *loop, struct roster *roster, const struct clock *clock)
{
    struct batch *batch = mem_new(struct batch);
    batch->loop = loop;
    batch->roster = roster;
    batch->clock = clock;
    roster_observe(roster, on_change, batch);
    return batch;
}

static void forget_watched(struct runner *runner, void *data)
{
    (void)data;
    if (runner->watched)
        forget(runner->watched);
}

void batch_destroy(struct batch *batch)
{
    if (!batch)
        return;
    roster_unobserve(batch->roster, on_change, batch);
    roster_each(batch->roster, forget_watched, NULL);
    free(batch);
}
