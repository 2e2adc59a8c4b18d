#include "run.h"

#include "run_private.h"

#include "answer.h"
#include "journal.h"
#include "ledger.h"
#include "pantry.h"
#include "watch.h"

#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <string.h>

/* How it works.
 *
 * WAITING: no runner yet; the relay holds the caller back.
 * RUNNING: the agent has the operation, the relay moves its bytes.
 * ENDING:  killed, for its time; what was printed before is still read until the agent's side ends.
 *
 * It ends with exactly one answer, or with none when the caller went away first. What ends it may
 * come in any order: the program's exit, the agent's side closing (its runner died), the timers,
 * the caller closing, the worker's own end.
 */

/* A runner may have died a moment ago. As nothing has run then, another one is taken, a few times.
 */
#define TRIES 3

/* ---- its runner ---- */

static void attach(struct run *run, struct runner *runner)
{
    run->runner = runner;
    str_format(run->name, sizeof(run->name), "%s", runner->name);
    run->alone = runner->active++ == 0;
    for (struct run *other = runner->runs; other; other = other->runner_next)
        other->alone = false;
    run->runner_next = runner->runs;
    run->runner_place = &runner->runs;
    if (run->runner_next)
        run->runner_next->runner_place = &run->runner_next;
    runner->runs = run;
}

static void detach(struct run *run)
{
    run->runner->active--;
    run->runner = NULL;
    *run->runner_place = run->runner_next;
    if (run->runner_next)
        run->runner_next->runner_place = run->runner_place;
}

/* Lets go of the runner, which is destroyed unless it is kept. */
static void give_up_runner(struct run *run)
{
    struct runner *runner = run->runner;
    if (!runner)
        return;
    detach(run);
    if (!runner->kept)
        runner_destroy(runner);
    else if (runner->handle && run->confined)
        run_engine(run)->ops->end_operation(run_engine(run), runner->handle, run->operation);
}

void run_kill_program(struct run *run)
{
    if (!run->runner)
        return;
    if (!run->confined) {
        runner_destroy(run->runner);
        return;
    }
    batch_lift(run->runner);
    if (run->runner->handle)
        run_engine(run)->ops->kill_operation(run_engine(run), run->runner->handle, run->operation);
}

bool run_signal_program(int number, void *data)
{
    const struct run *run = data;
    return run->runner && run->runner->handle &&
           run_engine(run)->ops->signal(run_engine(run), run->runner->handle, run->operation,
                                        number);
}

void run_read_stats(struct run *run)
{
    struct err err;
    if (run->has_after || !run->runner || !run->runner->handle)
        return;
    run->has_after =
        run_engine(run)->ops->stats(run_engine(run), run->runner->handle, &run->after, &err) == 0;
    if (run->has_after)
        run->runner->baseline = run->after; /* where the next program on it begins */
}

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;
    if (--run->open_timers > 0)
        return;
    collected_finish(&run->collected);
    op_run_finish(&run->request);
    free(run);
}

void run_finish(struct run *run)
{
    if (run->ticket)
        oven_cancel(run->ticket);
    run->ticket = NULL;
    relay_destroy(run->relay);
    run->relay = NULL;
    give_up_runner(run);
    *(run->prev ? &run->prev->next : &run->runs->first) = run->next;
    if (run->next)
        run->next->prev = run->prev;
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
    uv_close((uv_handle_t *)&run->cpu_timer, on_timer_closed);
}

void run_fail(struct run *run, const struct err *err, mono_us retry_after_us)
{
    /* A runner whose first program could not even start is no use to who asked for it. */
    if (run->runner && run->request.keep)
        runner_destroy(run->runner);
    watch_flush(run->runs->services->watch);
    answer_error(relay_take_link(run->relay), err, run->committed ? run->name : NULL,
                 retry_after_us / US_PER_MS);
    run_finish(run);
}

double run_queued_ms(const struct run *run)
{
    return (double)(run->taken - run->asked) / US_PER_MS;
}

/* ---- the beginning ---- */

static int withdrawn(struct err *err)
{
    return err_set(err, ERR_NOT_AVAILABLE, "its manager has withdrawn it");
}

/* To be asked before the run has any effect. */
static int may_begin(struct run *run, struct err *err)
{
    uint64_t key = run->request.key;
    if (key == 0 || ledger_start(run->runs->services->ledger, key))
        return 0;
    return withdrawn(err);
}

static int keep_runner(struct run *run, struct err *err)
{
    struct services *services = run->runs->services;
    struct runner *runner = run->runner;
    char earlier[NAME_MAX_LEN + 1];
    strcpy(earlier, runner->name);
    if (runner_keep(runner, run->request.keep_name, run->request.keep_owner, err) != 0)
        return -1;
    if (strcmp(earlier, runner->name) != 0)
        watch_renamed(services->watch, runner, earlier);
    watch_touch(services->watch, runner);
    str_format(run->name, sizeof(run->name), "%s", runner->name);
    return journal_update(services->journal, runner, err);
}

static int set_limits(struct run *run, struct err *err)
{
    const struct op_run *request = &run->request;
    struct engine_spec *spec = &run->runner->spec;
    struct engine_limits limits = spec->limits;
    if (request->memory_bytes > 0)
        limits.memory_bytes = request->memory_bytes;
    if (request->processes > 0)
        limits.processes = request->processes;
    if ((limits.memory_bytes != spec->limits.memory_bytes ||
         limits.processes != spec->limits.processes) &&
        run_engine(run)->ops->set_limits(run_engine(run), run->runner->handle, &limits, err) != 0)
        return -1;
    spec->limits = limits;
    if (request->disk_bytes == 0 || request->disk_bytes == spec->disk_bytes)
        return 0;
    spec->disk_bytes = request->disk_bytes;
    return run_engine(run)->ops->set_disk(run_engine(run), run->runner->handle, request->disk_bytes,
                                          err);
}

#define RETURN_RETRY_US ((mono_us)500 * US_PER_MS) /* of a runner, or of its name */

static void take_fresh(struct run *run);

/* Its agent does not answer, so it has run nothing and never will. */
static void take_another(struct run *run, const struct err *why)
{
    struct runner *runner = run->runner;
    log_warn("a warm runner takes no program", LOG_S("runner", runner->name), LOG_ERR(why));
    detach(run);
    runner_destroy(runner);
    run->name[0] = '\0';
    take_fresh(run);
}

/* On a fresh runner, whose limits are set. It gets its name only now: one that has to be replaced
 * would hold it until it is gone.
 */
static void start_on_fresh(struct run *run)
{
    struct err err;
    run->confined = run->request.keep;
    int fd = run_open_first(run, &err);
    if (fd < 0 && err.code == ERR_BAD_GATEWAY && ++run->tries < TRIES) {
        take_another(run, &err);
        return;
    }
    if (fd >= 0 &&
        (may_begin(run, &err) != 0 || (run->request.keep && keep_runner(run, &err) != 0)))
        fd_close(&fd);
    if (fd < 0)
        run_fail(run, &err, 0);
    else
        run_begin_first(run, fd);
}

static void answer_kept(struct run *run)
{
    struct err err;
    if (may_begin(run, &err) != 0 || keep_runner(run, &err) != 0) {
        run_fail(run, &err, 0);
        return;
    }
    watch_flush(run->runs->services->watch);
    answer_result(relay_take_link(run->relay),
                  json_pack("{s:s, s:f}", "runner", run->name, "queued", run_queued_ms(run)));
    run_finish(run);
}

static void start_prepared(struct run *run)
{
    struct err err;
    if (set_limits(run, &err) != 0 ||
        op_run_set_env(&run->request, &run->runner->spec.limits, &err) != 0)
        run_fail(run, &err, 0);
    else if (run->request.exec.argc > 0)
        start_on_fresh(run);
    else
        answer_kept(run);
}

/* ---- its network ---- */

/* The runner is this run's alone, if that has not ended meanwhile. */
static void on_network(const struct err *why, void *data)
{
    struct runner *runner = data;
    struct run *run = runner->runs;
    if (!run)
        return;
    if (why) {
        run_fail(run, why, US_PER_SEC);
        return;
    }
    runner->spec.networked = true;
    run->taken = clock_now(run->runs->services->clock);
    start_prepared(run);
}

/* The runner is destroyed if this fails, and nothing has run: another worker may be tried. */
static void attach_network(struct run *run)
{
    run_engine(run)->ops->attach_network(run_engine(run), run->runner->handle, on_network,
                                         run->runner);
}

static void on_taken(struct runner *runner, const struct err *why, mono_us retry_after_us,
                     void *data)
{
    struct run *run = data;
    run->ticket = NULL;
    run->taken = clock_now(run->runs->services->clock);
    if (!runner) {
        run_fail(run, why, retry_after_us);
        return;
    }
    attach(run, runner);
    runner_give(runner, run->manager);
    watch_given(run->runs->services->watch, runner);
    if (run->request.nat)
        attach_network(run);
    else
        start_prepared(run);
}

static void take_fresh(struct run *run)
{
    struct services *services = run->runs->services;
    const struct op_run *request = &run->request;
    struct err err;
    if (request->nat && !services->config->network_nat) {
        err_set(&err, ERR_FORBIDDEN, "network: nat is switched off on this worker (network.nat)");
        run_fail(run, &err, 0);
        return;
    }
    struct oven *oven = pantry_find(services->pantry, request->template_name, &err);
    const struct runner *holder =
        request->keep_name ? roster_find(services->roster, run->manager, request->keep_name) : NULL;
    if (!oven) {
        run_fail(run, &err, 0);
    } else if (holder && holder->state == RUNNER_FREEING) {
        err_set(&err, ERR_NOT_AVAILABLE, "name: the last runner %s is just being removed",
                request->keep_name);
        run_fail(run, &err, RETURN_RETRY_US);
    } else if (holder) {
        err_set(&err, ERR_NAME_TAKEN, "name: there is a runner %s already", request->keep_name);
        run_fail(run, &err, 0);
    } else {
        mono_us deadline = request->queue_ms ? run->asked + request->queue_ms * US_PER_MS : 0;
        run->ticket = oven_take(oven, deadline, on_taken, run);
    }
}

static void start_on_named(struct run *run)
{
    struct err err;
    run->confined = true;
    int fd = op_run_set_env(&run->request, &run->runner->spec.limits, &err) != 0
                 ? -1
                 : run_open_first(run, &err);
    if (fd >= 0 && may_begin(run, &err) != 0)
        fd_close(&fd);
    if (fd < 0)
        run_fail(run, &err, 0);
    else
        run_begin_first(run, fd);
}

static void take_named(struct run *run)
{
    struct runner *runner =
        roster_find(run->runs->services->roster, run->manager, run->request.runner);
    struct err err;
    run->taken = run->asked;
    if (runner && runner->kept && runner->state == RUNNER_IN_USE) {
        attach(run, runner);
        start_on_named(run);
    } else if (runner && runner->kept && runner->state == RUNNER_COOKING) {
        err_set(&err, ERR_NOT_AVAILABLE, "runner %s is coming back: its worker was restarted",
                run->request.runner);
        run_fail(run, &err, RETURN_RETRY_US);
    } else {
        err_set(&err, ERR_RUNNER_NOT_FOUND, "there is no runner %s", run->request.runner);
        run_fail(run, &err, 0);
    }
}

void run_begin(struct runs *runs, const char *manager, struct chan *take_link,
               const struct frame *frame)
{
    struct services *services = runs->services;
    struct err err;
    struct run *run = mem_new(struct run);
    if (op_run_parse(frame->payload, frame->len, frame->type == FRAME_EXEC, &run->request, &err) !=
        0) {
        answer_error(take_link, &err, NULL, 0);
        free(run);
        return;
    }
    run->runs = runs;
    str_format(run->manager, sizeof(run->manager), "%s", manager);
    run->next = runs->first;
    if (run->next)
        run->next->prev = run;
    runs->first = run;
    run->asked = clock_now(services->clock);
    uv_timer_init(services->loop, &run->timer);
    uv_timer_init(services->loop, &run->cpu_timer);
    run->timer.data = run->cpu_timer.data = run;
    run->open_timers = 2;
    run->relay = relay_create(services->loop, take_link, &run->request, run_relay_over, run);
    if (frame->type == FRAME_EXEC)
        take_named(run);
    else
        take_fresh(run);
}

/* ---- all of them ---- */

/* What a run must know of its runner before the runner's record is freed. */
static void on_runner_change(struct runner *runner, enum runner_state from, void *data)
{
    (void)from, (void)data;
    if (runner->state != RUNNER_FREEING && runner->state != RUNNER_GONE)
        return;
    bool died = roster_death(runner->roster) != NULL;
    for (struct run *run = runner->runs, *next; run; run = next) {
        next = run->runner_next;
        run_read_stats(run);
        if (runner->state == RUNNER_GONE) {
            run->deleted = !died;
            detach(run); /* its agent's side still has output to be read, then ends */
        }
    }
}

struct runs *runs_create(struct services *services)
{
    struct runs *runs = mem_new(struct runs);
    runs->services = services;
    runs->batch = batch_create(services->loop, services->roster, services->clock);
    roster_observe(services->roster, on_runner_change, runs);
    return runs;
}

void runs_withdraw(struct runs *runs, uint64_t key)
{
    for (struct run *run = runs->first; run; run = run->next) {
        struct err err;
        if (run->request.key != key || run->committed)
            continue;
        withdrawn(&err);
        run_fail(run, &err, 0);
        return;
    }
}

void runs_signal(struct runs *runs, const char *manager, uint64_t key, int number)
{
    for (struct run *run = runs->first; run; run = run->next)
        if (run->request.key == key && strcmp(run->manager, manager) == 0 &&
            run->phase == RUN_RUNNING && run->stage != RUN_COLLECTS)
            relay_signal(run->relay, number);
}

void runs_end(struct runs *runs)
{
    while (runs->first) {
        struct run *run = runs->first;
        struct err err;
        if (run->committed)
            err_set(&err, ERR_BAD_GATEWAY, "the worker was stopped during the run");
        else
            err_set(&err, ERR_NOT_AVAILABLE, "the worker is ending");
        run_kill_program(run);
        run_fail(run, &err, run->committed ? 0 : US_PER_SEC);
    }
}

void runs_destroy(struct runs *runs)
{
    if (!runs)
        return;
    if (runs->first)
        abort();
    roster_unobserve(runs->services->roster, on_runner_change, runs);
    batch_destroy(runs->batch);
    free(runs);
}
