#include "batch.h"

#include "../common/log.h"
#include "../common/mem.h"

/* How it works. A runner that an operation has been started on is watched from then on until it is
 * freed, by a timer of its own that looks at how much processor time it has used since the last
 * look. Short runs have ended before the first one.
 */
#define LOOK_SOON_MS 30 /* after an operation's begin, and when it has the processor again */
#define LOOK_MS 100
#define LOOK_SELDOM_MS 1000 /* at one that does nothing */

#define LIFT_PAUSE_US ((mono_us)US_PER_SEC) /* or kills would be a way around the limit */

#define COMPUTES_US (20 * (mono_us)US_PER_MS) /* used without a rest */
#define RESTS_PERCENT 2                       /* of a processor: less is a rest, or starving */

static const char *const names[] = {
    [ENGINE_PACE_EQUAL] = "equal", [ENGINE_PACE_BATCH] = "batch", [ENGINE_PACE_ENDING] = "ending"};

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
    int64_t cpu_us;  /* then */
    int64_t used_us; /* since its last rest */
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

static void on_look(uv_timer_t *timer)
{
    struct watched *watched = timer->data;
    struct batch *batch = watched->batch;
    struct engine *engine = roster_engine(batch->roster);
    mono_us now = clock_now(batch->clock), passed = now - watched->looked;
    int64_t cpu_us = engine->ops->cpu_us(engine, watched->runner->handle);
    int64_t percent = passed > 0 ? (cpu_us - watched->cpu_us) * 100 / passed : 0;
    watched->used_us = percent < RESTS_PERCENT ? 0 : watched->used_us + cpu_us - watched->cpu_us;
    watched->looked = now;
    watched->cpu_us = cpu_us;
    if (watched->pace == ENGINE_PACE_ENDING ||
        (watched->pace == ENGINE_PACE_BATCH && watched->used_us == 0)) {
        set_pace(watched, ENGINE_PACE_EQUAL);
        watched->soon = 1;
    } else if (watched->used_us >= COMPUTES_US) {
        set_pace(watched, ENGINE_PACE_BATCH);
    }
    plan(watched, percent);
    uv_timer_start(&watched->timer, on_look, watched->pause_ms, 0);
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
    watched->cpu_us = runner->baseline.cpu_us;
    runner->watched = watched;
}

void batch_begin(struct batch *batch, struct runner *runner)
{
    if (!runner->watched)
        watch_runner(batch, runner);
    runner->watched->soon = 1; /* the first one may look back on a long rest */
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
    set_pace(watched, ENGINE_PACE_ENDING);
    uv_timer_start(&watched->timer, on_look, LOOK_MS, 0);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    (void)from;
    if (runner->state == RUNNER_IN_USE && runner->adopted)
        batch_begin(data, runner); /* what it was doing goes on */
    if (runner->watched && (runner->state == RUNNER_FREEING || runner->state == RUNNER_GONE))
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
