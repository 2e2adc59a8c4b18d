#include "run.h"

#include "answer.h"
#include "journal.h"
#include "op_parse.h"
#include "pantry.h"
#include "relay.h"
#include "verdict.h"
#include "watch.h"

#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* How it works.
 *
 * WAITING: no runner yet; the relay holds the caller back.
 * RUNNING: the agent has the operation, the relay moves its bytes.
 * ENDING:  killed, for its time; what was printed before is still read until the agent's side ends.
 *
 * It ends with exactly one answer, or with none when the caller went away first. What ends it may
 * come in any order: the program's exit, the agent's side closing (its runner died), the timer, the
 * caller closing, the worker's own end.
 */

/* How long a killed operation's agent has to say so, and a slow caller to take some output. */
#define GUARD_MS 2000

enum run_phase { RUN_WAITING, RUN_RUNNING, RUN_ENDING };

struct run {
    struct runs *runs;
    struct run *prev, *next; /* of all runs */
    struct op_run request;
    struct relay *relay;
    enum run_phase phase;
    struct oven_ticket *ticket;              /* while WAITING for a fresh runner */
    struct runner *runner;                   /* from RUNNING on; NULL once it is gone or given up */
    struct run *runner_next, **runner_place; /* in the runner's list of runs */
    char name[NAME_MAX_LEN + 1];             /* of the runner; "" before there is one */
    uint32_t operation;
    bool confined;  /* the operation has a cgroup of its own: its runner outlives it */
    bool alone;     /* no other operation has gone on beside it on its runner */
    bool committed; /* the caller has been told STARTED */
    bool timed_out, deleted, has_after;
    mono_us asked, taken, killed; /* 0: not yet */
    struct engine_stats before, after;
    uv_timer_t timer;
};

struct runs {
    struct services *services;
    struct run *first;
};

static struct engine *engine_of(const struct run *run)
{
    return roster_engine(run->runs->services->roster);
}

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
        engine_of(run)->ops->end_operation(engine_of(run), runner->handle, run->operation);
}

static void kill_program(struct run *run)
{
    if (!run->runner)
        return;
    if (!run->confined)
        runner_destroy(run->runner);
    else if (run->runner->handle)
        engine_of(run)->ops->kill_operation(engine_of(run), run->runner->handle, run->operation);
}

/* Reads the runner's accounting while its cgroup is still there. */
static void read_stats(struct run *run)
{
    struct err err;
    if (run->has_after || !run->runner || !run->runner->handle)
        return;
    run->has_after =
        engine_of(run)->ops->stats(engine_of(run), run->runner->handle, &run->after, &err) == 0;
    if (run->has_after)
        run->runner->baseline = run->after; /* where the next program on it begins */
}

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;
    op_run_finish(&run->request);
    free(run);
}

static void finish(struct run *run)
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
}

static void fail(struct run *run, const struct err *err, mono_us retry_after_us)
{
    /* A runner whose first program could not even start is no use to who asked for it. */
    if (run->runner && run->request.keep)
        runner_destroy(run->runner);
    watch_flush(run->runs->services->watch);
    answer_error(relay_take_link(run->relay), err, run->committed ? run->name : NULL,
                 retry_after_us / US_PER_MS);
    finish(run);
}

static double queued_ms(const struct run *run)
{
    return (double)(run->taken - run->asked) / US_PER_MS;
}

/* From the fork to the exit, if the agent's word is possible; else as seen from here, without what
 * it took to read the rest of the output.
 */
static mono_us wall_of(const struct run *run, const struct agent_exit *exit)
{
    mono_us end = run->killed ? run->killed : clock_now(run->runs->services->clock);
    mono_us seen = end - run->taken;
    return exit && exit->wall_us <= (uint64_t)seen ? (mono_us)exit->wall_us : seen;
}

static json_t *describe(const struct run *run, const struct verdict *verdict)
{
    return json_pack("{s:s, s:s, s:o, s:s?, s:f, s:f, s:f, s:I, s:f, s:{s:b, s:b}}", "runner",
                     run->name, "status", verdict->status, "exit",
                     verdict->exit < 0 ? json_null() : json_integer(verdict->exit), "signal",
                     verdict->signal, "wall", verdict->wall_ms, "cpuUser", verdict->user_ms,
                     "cpuSys", verdict->system_ms, "memoryPeak",
                     (json_int_t)verdict->memory_peak_bytes, "queued", queued_ms(run), "truncated",
                     "stdout", relay_truncated(run->relay, FRAME_STDOUT), "stderr",
                     relay_truncated(run->relay, FRAME_STDERR));
}

/* A caller who stopped reading has what is left of the run's time to go on, and then a while in
 * which to see that it is over.
 */
static uint64_t linger_ms(const struct run *run)
{
    mono_us gone = clock_now(run->runs->services->clock) - run->taken;
    mono_us left = run->request.time_ms * US_PER_MS - gone;
    return CHAN_LINGER_MS + (left > 0 ? (uint64_t)(left / US_PER_MS) : 0);
}

/* exit: NULL when the program was killed with its runner. */
static void succeed(struct run *run, const struct agent_exit *exit)
{
    struct watch *watch = run->runs->services->watch;
    const struct verdict_evidence evidence = {
        .timed_out = run->timed_out,
        .exit = exit,
        .wall_us = wall_of(run, exit),
        .limit_us = run->request.time_ms * US_PER_MS,
        .before = &run->before,
        .after = run->has_after && run->alone ? &run->after : NULL,
        .shared = run->confined,
    };
    struct verdict verdict = verdict_of(&evidence);
    if (run->runner)
        run->runner->last_status = verdict.status;
    if (run->runner && run->runner->kept) {
        watch_touch(watch, run->runner);
        watch_flush(watch);
    }
    answer_run(relay_take_link(run->relay), describe(run, &verdict), linger_ms(run));
    finish(run);
}

/* ---- what ends it ---- */

static void on_caller_gone(struct run *run)
{
    log_info("abandoned by its caller", LOG_S("id", run->request.id), LOG_S("runner", run->name));
    if (run->runner) {
        run->runner->last_status = "killed";
        watch_touch(run->runs->services->watch, run->runner);
    }
    kill_program(run);
    if (run->runner && run->request.keep) /* nobody knows that it exists */
        runner_destroy(run->runner);
    finish(run);
}

static void on_failed(struct run *run, const struct agent_failed *failed)
{
    struct err err;
    enum err_code code = ERR_EXECUTION_FAILED;
    const char *doing = agent_stage_text(failed->stage);
    if (failed->sys_errno == ENOSPC || failed->sys_errno == EDQUOT)
        code = ERR_NO_SPACE;
    else if (failed->stage == AGENT_STAGE_LIMIT)
        code = ERR_RUNNER_BUSY;
    if (failed->sys_errno == 0 || failed->sys_errno > INT32_MAX)
        err_set(&err, code, "cannot %s", doing);
    else
        err_sys(&err, code, (int)failed->sys_errno, "cannot %s", doing);
    fail(run, &err, 0);
}

/* The agent's side ended without an exit: the runner died, or was killed. */
static void on_agent_gone(struct run *run, const struct err *why)
{
    read_stats(run);
    run->deleted = run->deleted || (run->runner && run->runner->state == RUNNER_FREEING);
    bool out_of_memory =
        run->has_after && !run->confined && run->after.oom_kills > run->before.oom_kills;
    if (run->timed_out || run->deleted || out_of_memory) {
        succeed(run, NULL);
        return;
    }
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the runner was lost during the run%s%s",
            why->code != ERR_NONE ? ": " : "", why->code != ERR_NONE ? why->msg : "");
    kill_program(run);
    fail(run, &err, 0);
}

static void on_over(const struct relay_end *end, void *data)
{
    struct run *run = data;
    switch (end->outcome) {
    case RELAY_EXITED:
        read_stats(run);
        succeed(run, &end->exit);
        return;
    case RELAY_FAILED:
        on_failed(run, &end->failed);
        return;
    case RELAY_AGENT_GONE:
        on_agent_gone(run, &end->why);
        return;
    case RELAY_AGENT_WRONG:
        if (run->runner)
            runner_destroy(run->runner); /* who knows what else its agent does */
        fail(run, &end->why, 0);
        return;
    case RELAY_CALLER_GONE:
        on_caller_gone(run);
        return;
    case RELAY_CALLER_WRONG:
        kill_program(run);
        fail(run, &end->why, 0);
        return;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->phase == RUN_RUNNING) {
        run->phase = RUN_ENDING;
        run->timed_out = true;
        run->killed = clock_now(run->runs->services->clock);
        read_stats(run);
        kill_program(run);
        relay_close_input(run->relay);
        relay_stalled(run->relay);
    } else if (!relay_waits(run->relay)) {
        log_warn("a killed program's agent does not report its end", LOG_S("runner", run->name));
        kill_program(run);
        succeed(run, NULL);
        return;
    } else if (relay_stalled(run->relay)) {
        log_warn("a run's caller does not take its output", LOG_S("id", run->request.id));
        succeed(run, NULL);
        return;
    }
    uv_timer_start(timer, on_timer, GUARD_MS, 0);
}

/* ---- the beginning ---- */

static int open_operation(struct run *run, struct err *err)
{
    struct runner *runner = run->runner;
    int pair[2];
    if (!runner->handle || runner->state != RUNNER_IN_USE)
        return err_set(err, ERR_RUNNER_NOT_FOUND, "the runner is going away");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "socketpair");
    if (engine_of(run)->ops->open(engine_of(run), runner->handle, run->operation, run->confined,
                                  pair[1], err) != 0) {
        close(pair[0]);
        return -1;
    }
    return relay_open(run->relay, pair[0], err);
}

static void start_program(struct run *run)
{
    struct err err;
    run->operation = run->runner->operations++;
    run->confined = run->runner->kept;
    if (run->confined)
        run->request.exec.flags |= AGENT_EXEC_CGROUP;
    run->before = run->runner->baseline;
    if (open_operation(run, &err) != 0) {
        fail(run, &err, 0);
        return;
    }
    run->phase = RUN_RUNNING;
    uv_update_time(run->timer.loop); /* or it would begin when this turn of the loop did */
    uv_timer_start(&run->timer, on_timer, (uint64_t)run->request.time_ms, 0);
    run->committed = true;
    answer_send(relay_link(run->relay), FRAME_STARTED,
                json_pack("{s:s, s:f}", "runner", run->name, "queuedMs", queued_ms(run)));
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
        watch_renamed(services->watch, earlier);
    watch_touch(services->watch, runner);
    str_format(run->name, sizeof(run->name), "%s", runner->name);
    return journal_update(services->journal, runner, err);
}

/* Makes the runner what the request wants, its network aside: its limits, its name. */
static int prepare_runner(struct run *run, struct err *err)
{
    struct runner *runner = run->runner;
    struct engine_limits limits = runner->spec.limits;
    limits.memory_bytes = run->request.memory_bytes;
    if (limits.memory_bytes > 0 && limits.memory_bytes != runner->spec.limits.memory_bytes &&
        engine_of(run)->ops->set_limits(engine_of(run), runner->handle, &limits, err) != 0)
        return -1;
    return run->request.keep ? keep_runner(run, err) : 0;
}

static void start_prepared(struct run *run)
{
    struct err err;
    if (prepare_runner(run, &err) != 0) {
        fail(run, &err, 0);
        return;
    }
    if (run->request.exec.argc > 0) {
        start_program(run);
        return;
    }
    watch_flush(run->runs->services->watch);
    answer_result(relay_take_link(run->relay),
                  json_pack("{s:s, s:f}", "runner", run->name, "queued", queued_ms(run)));
    finish(run);
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
        fail(run, why, US_PER_SEC);
        return;
    }
    runner->spec.networked = true;
    run->taken = clock_now(run->runs->services->clock);
    start_prepared(run);
}

/* The runner is destroyed if this fails, and nothing has run: another worker may be tried. */
static void attach_network(struct run *run)
{
    engine_of(run)->ops->attach_network(engine_of(run), run->runner->handle, on_network,
                                        run->runner);
}

static void on_taken(struct runner *runner, const struct err *why, mono_us retry_after_us,
                     void *data)
{
    struct run *run = data;
    run->ticket = NULL;
    run->taken = clock_now(run->runs->services->clock);
    if (!runner) {
        fail(run, why, retry_after_us);
        return;
    }
    attach(run, runner);
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
        fail(run, &err, 0);
        return;
    }
    struct oven *oven = pantry_find(services->pantry, request->template_name, &err);
    if (!oven) {
        fail(run, &err, 0);
    } else if (request->keep_name && roster_find(services->roster, request->keep_name)) {
        err_set(&err, ERR_NAME_TAKEN, "name: there is a runner %s already", request->keep_name);
        fail(run, &err, 0);
    } else {
        mono_us deadline = request->queue_ms ? run->asked + request->queue_ms * US_PER_MS : 0;
        run->ticket = oven_take(oven, deadline, on_taken, run);
    }
}

#define RETURN_RETRY_US ((mono_us)500 * US_PER_MS)

static void take_named(struct run *run)
{
    struct runner *runner = roster_find(run->runs->services->roster, run->request.runner);
    struct err err;
    run->taken = run->asked;
    if (runner && runner->kept && runner->state == RUNNER_IN_USE) {
        attach(run, runner);
        start_program(run);
    } else if (runner && runner->kept && runner->state == RUNNER_COOKING) {
        err_set(&err, ERR_NOT_AVAILABLE, "runner %s is coming back: its worker was restarted",
                run->request.runner);
        fail(run, &err, RETURN_RETRY_US);
    } else {
        err_set(&err, ERR_RUNNER_NOT_FOUND, "there is no runner %s", run->request.runner);
        fail(run, &err, 0);
    }
}

void run_begin(struct runs *runs, struct chan *take_link, const struct frame *frame)
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
    run->next = runs->first;
    if (run->next)
        run->next->prev = run;
    runs->first = run;
    run->asked = clock_now(services->clock);
    uv_timer_init(services->loop, &run->timer);
    run->timer.data = run;
    run->relay = relay_create(services->loop, take_link, &run->request, on_over, run);
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
        read_stats(run);
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
    roster_observe(services->roster, on_runner_change, runs);
    return runs;
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
        kill_program(run);
        fail(run, &err, run->committed ? 0 : US_PER_SEC);
    }
}

void runs_destroy(struct runs *runs)
{
    if (!runs)
        return;
    if (runs->first)
        abort();
    roster_unobserve(runs->services->roster, on_runner_change, runs);
    free(runs);
}
