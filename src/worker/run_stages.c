#include "run_private.h"

#include "answer.h"
#include "watch.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

/* How it works. A run has up to three stages, each an operation of the agent on the same runner:
 *
 *     compile → program → collect
 *
 * The compiler's failure ends the run; the program's end does, unless something is to be collected,
 * which happens only when the program ended by itself: else there may be no runner any more. Each
 * stage has its own time, and begins where the accounting of the one before it ended.
 */

/* How long a killed operation's agent has to say so, and a slow caller to take some output. */
#define GUARD_MS 2000

#define COLLECT_MS 10000

/* Between two looks at the processor time that a run has used. */
#define CPU_LOOK_LEAST_MS 5

static void begin_stage(struct run *run, enum run_stage stage, int take_fd);
static int open_stage(struct run *run, enum run_stage stage, struct err *err);

static mono_us now_of(const struct run *run)
{
    return clock_now(run->runs->services->clock);
}

static int64_t limit_ms(const struct run *run)
{
    switch (run->stage) {
    case RUN_COMPILES:
        return run->request.compile.time_ms;
    case RUN_PROGRAM:
        return run->request.time_ms;
    default:
        return COLLECT_MS;
    }
}

/* ---- the end of a stage ---- */

/* From the fork to the exit, if the agent's word is possible; else as seen from here, without what
 * it took to read the rest of the output. One that was killed for its time had all of it.
 */
static mono_us wall_of(const struct run *run, const struct agent_exit *exit)
{
    mono_us seen = (run->killed ? run->killed : now_of(run)) - run->began;
    bool killed = run->timed_out && (!exit || exit->signal == SIGKILL);
    return exit && !killed && exit->wall_us <= (uint64_t)seen ? (mono_us)exit->wall_us : seen;
}

/* exit: NULL when the program was killed with its runner. */
static struct verdict judge(const struct run *run, const struct agent_exit *exit)
{
    const struct verdict_evidence evidence = {
        .timed_out = run->timed_out,
        .cpu_timed_out = run->cpu_timed_out,
        .disk_full = run->disk_full,
        .truncated =
            relay_truncated(run->relay, FRAME_STDOUT) || relay_truncated(run->relay, FRAME_STDERR),
        .exit = exit,
        .wall_us = wall_of(run, exit),
        .limit_us = limit_ms(run) * US_PER_MS,
        .before = &run->before,
        .after = run->has_after && run->alone ? &run->after : NULL,
        .shared = run->confined,
    };
    return verdict_of(&evidence);
}

static json_t *describe(const struct verdict *verdict, bool cut_out, bool cut_err)
{
    return json_pack(
        "{s:s, s:o, s:s?, s:f, s:f, s:f, s:I, s:{s:b, s:b}}", "status", verdict->status, "exit",
        verdict->exit < 0 ? json_null() : json_integer(verdict->exit), "signal", verdict->signal,
        "wall", verdict->wall_ms, "cpuUser", verdict->user_ms, "cpuSys", verdict->system_ms,
        "memoryPeak", (json_int_t)verdict->memory_peak_bytes, "truncated", "stdout", cut_out,
        "stderr", cut_err);
}

static json_t *describe_run(const struct run *run)
{
    json_t *result = run->failed_compile
                         ? json_pack("{s:s, s:n, s:n}", "status", "compile_error", "exit", "signal")
                         : describe(&run->verdict, run->cut_out, run->cut_err);
    json_object_set_new(result, "runner", json_string(run->name));
    json_object_set_new(result, "queued", json_real(run_queued_ms(run)));
    if (run->request.collect.globs_len > 0)
        json_object_set_new(result, "filesCut", json_boolean(run->collected.cut));
    return result;
}

/* A caller who stopped reading has what is left of the run's time to go on, and then a while in
 * which to see that it is over.
 */
static uint64_t linger_ms(const struct run *run)
{
    mono_us left = limit_ms(run) * US_PER_MS - (now_of(run) - run->began);
    return CHAN_LINGER_MS + (left > 0 ? (uint64_t)(left / US_PER_MS) : 0);
}

static void succeed(struct run *run)
{
    struct watch *watch = run->runs->services->watch;
    if (run->runner)
        run->runner->last_status = run->failed_compile ? "compile_error" : run->verdict.status;
    if (run->runner && run->runner->kept) {
        watch_touch(watch, run->runner);
        watch_flush(watch);
    }
    answer_run(relay_take_link(run->relay), describe_run(run), linger_ms(run));
    run_finish(run);
}

static void end_operation(struct run *run)
{
    if (run->runner && run->runner->handle && run->confined)
        run_engine(run)->ops->end_operation(run_engine(run), run->runner->handle, run->operation);
}

/* The next stage on the same runner; the run fails when that cannot be. */
static void go_on(struct run *run, enum run_stage stage)
{
    struct err err;
    end_operation(run);
    int fd = open_stage(run, stage, &err);
    if (fd >= 0) {
        begin_stage(run, stage, fd);
        return;
    }
    run_kill_program(run);
    run_fail(run, &err, 0);
}

static void compile_over(struct run *run, const struct agent_exit *exit)
{
    struct verdict verdict = judge(run, exit);
    if (run->phase == RUN_ENDING)
        verdict.status = "timeout"; /* also when it was just ready: the runner is being killed */
    answer_send(relay_link(run->relay), FRAME_COMPILED,
                describe(&verdict, relay_truncated(run->relay, FRAME_STDOUT),
                         relay_truncated(run->relay, FRAME_STDERR)));
    if (exit && exit->signal == 0 && exit->exit == 0 && run->phase == RUN_RUNNING) {
        go_on(run, RUN_PROGRAM);
        return;
    }
    run->failed_compile = verdict.status;
    succeed(run);
}

static void program_over(struct run *run, const struct agent_exit *exit)
{
    run->verdict = judge(run, exit);
    run->cut_out = relay_truncated(run->relay, FRAME_STDOUT);
    run->cut_err = relay_truncated(run->relay, FRAME_STDERR);
    if (exit && run->request.collect.globs_len > 0 && run->phase == RUN_RUNNING && run->runner &&
        run->runner->state == RUNNER_IN_USE)
        go_on(run, RUN_COLLECTS);
    else
        succeed(run);
}

static void stage_over(struct run *run, const struct agent_exit *exit)
{
    if (run->stage == RUN_COMPILES)
        compile_over(run, exit);
    else if (run->stage == RUN_PROGRAM)
        program_over(run, exit);
    else
        succeed(run);
}

static void read_disk(struct run *run)
{
    struct engine_disk left;
    struct err err;
    struct engine *engine = run_engine(run);
    if (run->stage != RUN_COLLECTS && run->runner && run->runner->handle &&
        engine->ops->disk_left(engine, run->runner->handle, &left, &err) == 0)
        run->disk_full = left.free_bytes <= 0 || left.free_inodes <= 0;
}

/* ---- what ends it ---- */

static void on_caller_gone(struct run *run)
{
    log_info("abandoned by its caller", LOG_S("id", run->request.id), LOG_S("runner", run->name));
    if (run->runner) {
        run->runner->last_status = "killed";
        watch_touch(run->runs->services->watch, run->runner);
    }
    run_kill_program(run);
    if (run->runner && run->request.keep) /* nobody knows that it exists */
        runner_destroy(run->runner);
    run_finish(run);
}

static void on_failed(struct run *run, const struct agent_failed *failed)
{
    struct err err;
    enum err_code code = ERR_EXECUTION_FAILED;
    const char *doing = agent_stage_text(failed->stage);
    if (run->stage == RUN_COLLECTS) {
        succeed(run);
        return;
    }
    if (failed->sys_errno == ENOSPC || failed->sys_errno == EDQUOT)
        code = ERR_NO_SPACE;
    else if (failed->stage == AGENT_STAGE_LIMIT)
        code = ERR_RUNNER_BUSY;
    if (failed->sys_errno == 0 || failed->sys_errno > INT32_MAX)
        err_set(&err, code, "cannot %s", doing);
    else
        err_sys(&err, code, (int)failed->sys_errno, "cannot %s", doing);
    if (run->stage == RUN_COMPILES)
        err_context(&err, "compile");
    run_fail(run, &err, 0);
}

/* The agent's side ended without an exit: the runner died, or was killed. */
static void on_agent_gone(struct run *run, const struct err *why)
{
    run_read_stats(run);
    run->deleted = run->deleted || (run->runner && run->runner->state == RUNNER_FREEING);
    bool out_of_memory =
        run->has_after && !run->confined && run->after.oom_kills > run->before.oom_kills;
    if (run->timed_out || run->cpu_timed_out || run->deleted || out_of_memory ||
        run->stage == RUN_COLLECTS) {
        stage_over(run, NULL);
        return;
    }
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the runner was lost during the run%s%s",
            why->code != ERR_NONE ? ": " : "", why->code != ERR_NONE ? why->msg : "");
    run_kill_program(run);
    if (run->runner && why->code != ERR_NONE && why->sys_errno == 0)
        runner_destroy(run->runner); /* it sent garbage: no other run shall meet its agent */
    run_fail(run, &err, 0);
}

void run_relay_over(const struct relay_end *end, void *data)
{
    struct run *run = data;
    switch (end->outcome) {
    case RELAY_EXITED:
        run_read_stats(run);
        read_disk(run);
        stage_over(run, &end->exit);
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
        run_fail(run, &end->why, 0);
        return;
    case RELAY_CALLER_GONE:
        on_caller_gone(run);
        return;
    case RELAY_CALLER_WRONG:
        run_kill_program(run);
        run_fail(run, &end->why, 0);
        return;
    }
}

/* ---- its time ---- */

static void on_timer(uv_timer_t *timer);

static void kill_for_time(struct run *run)
{
    run->phase = RUN_ENDING;
    run->killed = now_of(run);
    run_read_stats(run);
    run_kill_program(run);
    relay_close_input(run->relay);
    relay_stalled(run->relay);
    uv_timer_stop(&run->cpu_timer);
    uv_timer_start(&run->timer, on_timer, GUARD_MS, 0);
}

static void on_time(struct run *run)
{
    /* The timer may be up to a millisecond early. */
    if (uv_hrtime() - run->timed_from_ns < (uint64_t)limit_ms(run) * 1000000) {
        uv_timer_start(&run->timer, on_timer, 1, 0);
        return;
    }
    if (run->stage == RUN_COLLECTS) {
        run_kill_program(run);
        succeed(run);
        return;
    }
    run->timed_out = true;
    kill_for_time(run);
}

static void on_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->phase == RUN_RUNNING) {
        on_time(run);
    } else if (!relay_waits(run->relay)) {
        log_warn("a killed program's agent does not report its end", LOG_S("runner", run->name));
        run_kill_program(run);
        stage_over(run, NULL);
    } else if (relay_stalled(run->relay)) {
        log_warn("a run's caller does not take its output", LOG_S("id", run->request.id));
        stage_over(run, NULL);
    } else {
        uv_timer_start(timer, on_timer, GUARD_MS, 0);
    }
}

/* Looks again when the rest could be used up at the earliest, all processors that the runner may
 * use at work.
 */
static void on_cpu_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;
    struct engine *engine = run_engine(run);
    if (run->phase != RUN_RUNNING || !run->runner || !run->runner->handle)
        return;
    mono_us used_us = engine->ops->use(engine, run->runner->handle).cpu_us - run->before.cpu_us;
    mono_us left_us = run->request.cpu_ms * US_PER_MS - used_us;
    if (left_us <= 0) {
        run->cpu_timed_out = true;
        kill_for_time(run);
        return;
    }
    int64_t pace = run->runner->spec.limits.cpu_percent;
    int64_t wait_ms = left_us * 100 / (pace > 0 ? pace : 100) / US_PER_MS;
    if (wait_ms < CPU_LOOK_LEAST_MS)
        wait_ms = CPU_LOOK_LEAST_MS;
    uv_timer_start(timer, on_cpu_timer, (uint64_t)wait_ms, 0);
}

/* ---- the beginning of a stage ---- */

static void send_collected(enum frame_type type, const void *payload, size_t len, void *data)
{
    const struct run *run = data;
    if (relay_link(run->relay))
        chan_send(relay_link(run->relay), type, payload, len);
}

static void take_collected(enum frame_type stream, const void *bytes, size_t len, void *data)
{
    struct run *run = data;
    if (stream == FRAME_STDOUT)
        collected_feed(&run->collected, bytes, len, send_collected, run);
}

static int64_t output_limit(const struct run *run, enum run_stage stage)
{
    switch (stage) {
    case RUN_COMPILES:
        return run->request.compile.output_bytes;
    case RUN_PROGRAM:
        return run->request.output_bytes;
    default:
        return INT64_MAX; /* collected_feed has its own bounds */
    }
}

static void set_argv(struct agent_exec *exec, const char *const *argv, uint32_t argc)
{
    memcpy(exec->argv, argv, argc * sizeof(*argv));
    exec->argv[argc] = NULL;
    exec->argc = argc;
}

/* What the present stage executes. */
static void set_exec(struct run *run)
{
    static const char word[] = "collect";
    static char bytes[24], files[24]; /* the relay encodes them before this is called again */
    struct op_run *request = &run->request;
    run->exec = request->exec;
    if (run->confined)
        run->exec.flags |= AGENT_EXEC_CGROUP;
    if (run->stage == RUN_COMPILES)
        set_argv(&run->exec, request->compile.argv, request->compile.argc);
    if (run->stage != RUN_COLLECTS)
        return;
    str_format(bytes, sizeof(bytes), "%" PRId64, request->collect.bytes);
    str_format(files, sizeof(files), "%" PRId64, request->collect.files);
    const char *argv[OP_GLOBS_MAX + 4] = {AGENT_PATH, word, bytes, files};
    memcpy(argv + 4, request->collect.globs, request->collect.globs_len * sizeof(*argv));
    set_argv(&run->exec, argv, 4 + request->collect.globs_len);
}

/* The accounting goes on where that of the stage before it ended. */
static void set_baseline(struct run *run, enum run_stage stage)
{
    struct engine *engine = run_engine(run);
    struct err err;
    run->before = run->runner->baseline;
    if (stage == RUN_PROGRAM && run->request.compile.argc > 0) {
        engine->ops->reset_peak(engine, run->runner->handle);
        engine->ops->stats(engine, run->runner->handle, &run->before, &err);
    }
    run->has_after = stage == RUN_COLLECTS;
}

static int open_stage(struct run *run, enum run_stage stage, struct err *err)
{
    struct runner *runner = run->runner;
    struct engine *engine = run_engine(run);
    int pair[2];
    if (!runner || !runner->handle || runner->state != RUNNER_IN_USE)
        return err_set(err, ERR_RUNNER_NOT_FOUND, "the runner is going away");
    if (FAULT(RUN_PAIR, -1,
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "socketpair");
    run->operation = runner->operations++;
    set_baseline(run, stage);
    const struct engine_operation operation = {
        .id = run->operation,
        .confined = run->confined,
        .output_bytes = output_limit(run, stage),
    };
    if (engine->ops->open(engine, runner->handle, &operation, pair[1], err) == 0)
        return pair[0];
    close(pair[0]);
    return -1;
}

/* Answers STARTED as well when it is the first; the run fails when the agent cannot be spoken to.
 */
static void begin_stage(struct run *run, enum run_stage stage, int take_fd)
{
    struct err err;
    const bool compiles = run->request.compile.argc > 0, ends = stage == RUN_COLLECTS;
    run->stage = stage;
    run->phase = RUN_RUNNING;
    run->killed = 0;
    run->disk_full = false;
    set_exec(run);
    const struct relay_stage relay = {
        .exec = &run->exec,
        .files = stage == RUN_COMPILES || (stage == RUN_PROGRAM && !compiles),
        .folder = run->request.scratch && !ends,
        .folder_goes_on = stage == RUN_COMPILES,
        .input = stage == RUN_PROGRAM,
        .output_bytes = output_limit(run, stage),
        .signal = run_signal_program,
        .sink = ends ? take_collected : NULL,
    };
    run->began = now_of(run);
    run->timed_from_ns = uv_hrtime();
    if (relay_open(run->relay, take_fd, &relay, &err) != 0) {
        run_kill_program(run);
        run_fail(run, &err, 0);
        return;
    }
    uv_update_time(run->timer.loop); /* or it would begin when this turn of the loop did */
    uv_timer_start(&run->timer, on_timer, (uint64_t)limit_ms(run), 0);
    batch_begin(run->runs->batch, run->runner);
    if (stage == RUN_PROGRAM && run->request.cpu_ms > 0)
        on_cpu_timer(&run->cpu_timer);
    else
        uv_timer_stop(&run->cpu_timer);
}

static enum run_stage first_stage(const struct run *run)
{
    return run->request.compile.argc > 0 ? RUN_COMPILES : RUN_PROGRAM;
}

int run_open_first(struct run *run, struct err *err)
{
    return open_stage(run, first_stage(run), err);
}

void run_begin_first(struct run *run, int take_fd)
{
    collected_init(&run->collected, run->request.collect.bytes, run->request.collect.files);
    run->committed = true;
    answer_send(relay_link(run->relay), FRAME_STARTED,
                json_pack("{s:s, s:f}", "runner", run->name, "queuedMs", run_queued_ms(run)));
    begin_stage(run, first_stage(run), take_fd);
}
