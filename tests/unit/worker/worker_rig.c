#include "worker_rig.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../../src/worker/journal.h"
#include "../../../src/worker/ledger.h"
#include "../../../src/worker/pantry.h"
#include "../../../src/worker/run.h"
#include "../../../src/worker/watch.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <poll.h>

#define MEMORY_USED_PERCENT 50

void worker_rig_init(struct worker_rig *rig)
{
    *rig = (struct worker_rig){
        .oven_config =
            {
                .template = {.name = "base", .rootfs = "/templates/base/rootfs"},
                .spec = {.rootfs = "/templates/base/rootfs",
                         .limits = {.memory_bytes = 268435456, .processes = 64, .cpu_percent = 100},
                         .disk_bytes = 1048576,
                         .disk_inodes = 1000},
                .min_available = 1,
                .max_runners = 8,
                .cook_parallel = 4,
                .queue_length = 4,
                .mem_ceiling_percent = 90,
                .cook_timeout_us = 10 * US_PER_SEC,
                .backoff_max_us = 100 * US_PER_MS,
            },
    };
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    scratch_make(rig->folder);
    config_defaults(&rig->config);
    rig->fake = engine_fake_create();
    engine_fake_set_fate(rig->fake, &(struct engine_fake_fate){.ready_us = US_PER_MS,
                                                               .die_us = ENGINE_FAKE_NEVER,
                                                               .gone_us = US_PER_MS,
                                                               .return_us = US_PER_MS});
}

static void on_fake_readable(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events; /* it only wakes the loop */
}

/* As the kitchen does. */
static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    struct engine *engine = roster_engine(runner->roster);
    struct err err;
    (void)from, (void)data;
    if (runner->state == RUNNER_AVAILABLE)
        assert_ok(engine->ops->stats(engine, runner->handle, &runner->baseline, &err), err);
}

static void remove_zombie(const char *name, void *data)
{
    struct engine *engine = data;
    struct err err;
    assert_ok(engine->ops->remove_zombie(engine, name, &err), err);
}

void worker_rig_open(struct worker_rig *rig)
{
    struct services *services = &rig->services;
    struct err err;
    str_format(rig->config.oven_template, sizeof(rig->config.oven_template), "%s",
               rig->oven_config.template.name);
    *services = (struct services){
        .loop = &rig->loop,
        .config = &rig->config,
        .clock = engine_fake_clock(rig->fake),
    };
    services->roster =
        roster_create(engine_fake_attach(rig->fake), services->clock, rig->oven_config.max_runners);
    roster_observe(services->roster, on_change, rig);
    services->journal = journal_create(rig->folder, services->roster, &err);
    if (!services->journal)
        fail_msg("%s", err.msg);
    services->ledger = ledger_open(rig->folder, services->clock, &err);
    if (!services->ledger)
        fail_msg("%s", err.msg);
    services->ovens = ovens_create(services->roster, &rig->oven_config, services->clock);
    str_format(rig->config.paths_state_dir, sizeof(rig->config.paths_state_dir), "%s", rig->folder);
    services->pantry = pantry_create(services);
    services->watch = watch_create(services, json_pack("{s:s}", "name", "rig"));
    services->runs = runs_create(services);
    struct engine *engine = roster_engine(services->roster);
    assert_true(journal_adopt(services->journal, &rig->oven_config.spec, true, &err) >= 0);
    if (!rig->keep_zombies)
        engine->ops->zombies(engine, remove_zombie, engine);
    uv_poll_init(&rig->loop, &rig->fake_poll, engine_fake_fd(rig->fake));
    uv_poll_start(&rig->fake_poll, UV_READABLE, on_fake_readable);
    rig->last = clock_now(&clock_system);
}

void worker_rig_close(struct worker_rig *rig)
{
    struct services *services = &rig->services;
    if (!services->roster)
        return;
    runs_end(services->runs);
    runs_destroy(services->runs);
    pantry_destroy(services->pantry);
    ovens_destroy(services->ovens);
    watch_destroy(services->watch);
    journal_destroy(services->journal);
    ledger_close(services->ledger);
    roster_destroy(services->roster);
    services->roster = NULL;
    uv_close((uv_handle_t *)&rig->fake_poll, NULL);
    loop_wait(&rig->loop, !uv_loop_alive(&rig->loop));
}

void worker_rig_finish(struct worker_rig *rig)
{
    worker_rig_close(rig);
    loop_finish(&rig->loop);
    engine_fake_destroy(rig->fake);
    scratch_remove(rig->folder);
}

void worker_rig_turn(void *data)
{
    struct worker_rig *rig = data;
    struct pollfd ready = {.fd = uv_backend_fd(&rig->loop), .events = POLLIN};
    int timeout = uv_backend_timeout(&rig->loop);
    poll(&ready, 1, timeout == 0 ? 0 : 1);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    mono_us now = clock_now(&clock_system);
    engine_fake_advance(rig->fake, now - rig->last);
    rig->last = now;
    mono_us due = ovens_next_step(rig->services.ovens);
    if (!rig->oven_frozen && due != 0 && due <= clock_now(rig->services.clock))
        ovens_step(rig->services.ovens, MEMORY_USED_PERCENT);
}

unsigned worker_rig_count(const struct worker_rig *rig, enum runner_state state)
{
    return roster_count(rig->services.roster, state);
}

void worker_rig_warm(struct worker_rig *rig, unsigned count)
{
    worker_rig_wait(rig, worker_rig_count(rig, RUNNER_AVAILABLE) >= count);
}

void worker_rig_script(struct worker_rig *rig, const struct fake_script *script)
{
    engine_fake_set_script(rig->fake, script, NULL, NULL);
}

/* What the server does once it has seen the operation's frame. */
static void ignore_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan, (void)frame, (void)data;
}

static void ignore_end(struct chan *chan, const struct err *why, void *data)
{
    (void)chan, (void)why, (void)data;
}

static const struct chan_ops before_ops = {.on_frame = ignore_frame, .on_closed = ignore_end};

void worker_rig_run(struct worker_rig *rig, struct peer *peer, enum frame_type type,
                    const char *message)
{
    struct err err;
    int fd = peer_pair(peer, worker_rig_turn, rig);
    struct chan *chan = chan_create(&rig->loop, fd, &before_ops, NULL, &err);
    assert_non_null(chan);
    const char *text = worker_rig_json(message);
    const struct frame frame = {
        .type = (uint8_t)type, .len = (uint32_t)strlen(text), .payload = text};
    run_begin(rig->services.runs, RIG_MANAGER, chan, &frame);
}

const char *worker_rig_json(const char *text)
{
    static char texts[4][8192];
    static unsigned next;
    char *json = texts[next++ % 4];
    assert_true(str_format(json, sizeof(texts[0]), "%s", text));
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    return json;
}
