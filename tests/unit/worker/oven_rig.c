#include "oven_rig.h"

#include <stdlib.h>

void rig_defaults(struct rig *rig)
{
    *rig = (struct rig){
        .config =
            {
                .template = {.name = "base", .rootfs = "/templates/base/rootfs"},
                .spec = {.rootfs = "/templates/base/rootfs"},
                .min_available = 2,
                .max_runners = 8,
                .cook_parallel = 2,
                .queue_length = 4,
                .mem_target_percent = 40,
                .mem_ceiling_percent = 90,
                .cook_timeout_us = US_PER_SEC,
                .backoff_max_us = 3200 * US_PER_MS,
            },
        .memory = 50,
    };
}

static void on_wake(void *data)
{
    struct rig *rig = data;
    rig->timer = ovens_next_step(rig->ovens);
    rig->wakes++;
}

void rig_start(struct rig *rig)
{
    if (!rig->fake)
        rig->fake = engine_fake_create();
    rig->clock = engine_fake_clock(rig->fake);
    rig->roster = roster_create(engine_fake_attach(rig->fake), rig->clock, rig->config.max_runners);
    if (rig->prepare)
        rig->prepare(rig);
    rig->ovens = ovens_create(rig->roster, &rig->config, rig->clock);
    rig->oven = ovens_find(rig->ovens, "");
    ovens_on_wake(rig->ovens, on_wake, rig);
    rig->timer = ovens_next_step(rig->ovens);
}

void rig_stop(struct rig *rig)
{
    ovens_destroy(rig->ovens);
    rig->ovens = NULL;
    roster_destroy(rig->roster);
    rig->oven = NULL;
    rig->roster = NULL;
}

void rig_finish(struct rig *rig)
{
    rig_stop(rig);
    engine_fake_destroy(rig->fake);
    rig->fake = NULL;
}

mono_us rig_now(const struct rig *rig)
{
    return clock_now(rig->clock);
}

static void step(struct rig *rig)
{
    /* An oven that is due again and again without doing anything would keep its owner busy. */
    if (++rig->steps > 100 * 1000 * 1000)
        abort();
    ovens_step(rig->ovens, rig->memory);
    rig->timer = ovens_next_step(rig->ovens);
    if (rig->after)
        rig->after(rig);
}

void rig_pass(struct rig *rig, mono_us us)
{
    mono_us end = rig_now(rig) + us;
    for (;;) {
        mono_us engine = engine_fake_next(rig->fake);
        mono_us next = engine;
        if (rig->timer != 0 && (next == 0 || rig->timer < next))
            next = rig->timer;
        if (next == 0 || next > end)
            break;
        mono_us wait = next - rig_now(rig);
        engine_fake_advance(rig->fake, wait > 0 ? wait : 0);
        if (rig->after)
            rig->after(rig);
        if (rig->timer != 0 && rig->timer <= rig_now(rig))
            step(rig);
    }
    engine_fake_advance(rig->fake, end - rig_now(rig));
}

void rig_pass_ms(struct rig *rig, int64_t ms)
{
    rig_pass(rig, ms * US_PER_MS);
}

void rig_memory(struct rig *rig, unsigned percent)
{
    rig->memory = percent;
    step(rig);
}

struct oven_figures rig_figures(const struct rig *rig)
{
    struct oven_figures figures;
    oven_get_figures(rig->oven, &figures);
    return figures;
}
