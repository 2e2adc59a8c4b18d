#include "run.h"

#include "answer.h"
#include "journal.h"
#include "op_parse.h"
#include "verdict.h"
#include "watch.h"

#include "../common/buf.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* How it works. Two channels, bytes move between them:
 *
 *     manager ──link──▶ run ──agent──▶ runner        FILE_DATA, STDIN, STDIN_EOF
 *     manager ◀──link── run ◀──agent── runner        STDOUT, STDERR, then the end
 *
 * WAITING: no runner yet; frames of the link are kept in `backlog`.
 * RUNNING: the agent has the operation. A side whose peer is slow is paused.
 * ENDING:  killed, for a limit; what was printed before is still read until the agent's side ends.
 *
 * It ends with exactly one answer, or with none when the manager went away first. What ends it may
 * come in any order: the agent's exit, the agent's channel closing (its runner died), the timer,
 * the link closing.
 */

#define STDIN_HIGH                                                                                 \
    (4 * 1024 * 1024) /* the link is read on up to here, so that a hang-up is seen                 \
                       */
#define BACKLOG_MAX (STDIN_HIGH + 2 * FRAME_CONTROL_MAX)
#define GUARD_MS 2000 /* how long a killed operation's agent has to say so */

enum run_phase { RUN_WAITING, RUN_RUNNING, RUN_ENDING };

struct stream {
    int64_t sent;
    bool truncated;
};

struct run {
    struct services *services;
    struct chan *link, *agent;
    struct op_run request;
    enum run_phase phase;
    struct oven_ticket *ticket;    /* while WAITING for a fresh runner */
    struct runner *runner;         /* from RUNNING on; NULL once it is gone or given up */
    struct run *next, **link_back; /* in the runner's list of runs */
    char name[NAME_MAX_LEN + 1];   /* of the runner; "" before there is one */
    uint32_t operation;
    bool confined; /* the operation has a cgroup of its own: its runner outlives it */
    struct buf backlog;
    size_t file;             /* the next of request.files to begin */
    int64_t file_bytes_left; /* of the one that was begun */
    bool exec_sent;
    struct stream out, err_stream;
    mono_us asked, taken;
    bool timed_out, deleted, has_after;
    struct engine_stats before, after;
    uv_timer_t timer;
};

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;
    buf_finish(&run->backlog);
    op_run_finish(&run->request);
    free(run);
}

static void attach(struct run *run, struct runner *runner)
{
    run->runner = runner;
    str_format(run->name, sizeof(run->name), "%s", runner->name);
    runner->active++;
    run->next = runner->runs;
    run->link_back = &runner->runs;
    if (run->next)
        run->next->link_back = &run->next;
    runner->runs = run;
}

static void detach(struct run *run)
{
    if (!run->runner)
        return;
    run->runner->active--;
    run->runner = NULL;
    *run->link_back = run->next;
    if (run->next)
        run->next->link_back = run->link_back;
}

/* Lets go of the agent and of the runner: destroyed unless it is kept. */
static void give_up_runner(struct run *run)
{
    struct runner *runner = run->runner;
    chan_destroy(run->agent, false);
    run->agent = NULL;
    if (!runner)
        return;
    detach(run);
    if (!runner->kept)
        runner_destroy(runner);
    else if (runner->handle && run->confined)
        roster_engine(runner->roster)
            ->ops->end_operation(roster_engine(runner->roster), runner->handle, run->operation);
}

static void finish(struct run *run)
{
    if (run->ticket)
        oven_cancel(run->ticket);
    run->ticket = NULL;
    give_up_runner(run);
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}

static void fail(struct run *run, const struct err *err, mono_us retry_after_us)
{
    /* A runner whose first program could not even start is no use to who asked for it. */
    if (run->runner && run->request.keep)
        runner_destroy(run->runner);
    watch_flush(run->services->watch);
    answer_error(steal_ptr(run->link), err, run->name[0] ? run->name : NULL,
                 retry_after_us / US_PER_MS);
    finish(run);
}

static double queued_ms(const struct run *run)
{
    return (double)(run->taken - run->asked) / US_PER_MS;
}

/* From the fork to the exit, if the agent's word is possible; else as seen from here. */
static mono_us wall_of(const struct run *run, const struct agent_exit *exit)
{
    mono_us seen = clock_now(run->services->clock) - run->taken;
    return exit && exit->wall_us <= (uint64_t)seen ? (mono_us)exit->wall_us : seen;
}

static void succeed(struct run *run, const struct agent_exit *exit, bool killed)
{
    const struct verdict_evidence evidence = {
        .timed_out = run->timed_out,
        .killed = killed,
        .exit = exit,
        .wall_us = wall_of(run, exit),
        .before = &run->before,
        .after = run->has_after ? &run->after : NULL,
    };
    struct verdict verdict = verdict_of(&evidence);
    json_t *result = json_pack(
        "{s:s, s:s, s:o, s:s?, s:f, s:f, s:f, s:I, s:f, s:{s:b, s:b}}", "runner", run->name,
        "status", verdict.status, "exit",
        verdict.exit < 0 ? json_null() : json_integer(verdict.exit), "signal", verdict.signal,
        "wall", verdict.wall_ms, "cpuUser", verdict.user_ms, "cpuSys", verdict.system_ms,
        "memoryPeak", (json_int_t)verdict.memory_peak_bytes, "queued", queued_ms(run), "truncated",
        "stdout", run->out.truncated, "stderr", run->err_stream.truncated);
    if (run->runner)
        run->runner->last_status = verdict.status;
    if (run->runner && run->runner->kept) {
        watch_touch(run->services->watch, run->runner);
        watch_flush(run->services->watch);
    }
    answer_result(steal_ptr(run->link), result);
    finish(run);
}

/* Reads the runner's accounting while its cgroup is still there. A kept runner's is shared with
 * other operations and says nothing about this one.
 */
static void read_stats(struct run *run)
{
    struct engine *engine = roster_engine(run->services->roster);
    struct err err;
    if (run->confined || run->has_after || !run->runner || !run->runner->handle)
        return;
    run->has_after = engine->ops->stats(engine, run->runner->handle, &run->after, &err) == 0;
}

/* ---- from the manager to the agent ---- */

static void bad_sequence(struct run *run, const struct frame *frame)
{
    struct err err;
    err_set(&err, ERR_BAD_REQUEST, "%s does not belong here", frame_name(frame->type));
    fail(run, &err, 0);
}

static bool send_file_header(struct run *run, const struct op_file *file)
{
    unsigned char payload[8192];
    const struct agent_file message = {
        .flags = run->request.exec.flags & AGENT_EXEC_ROOT,
        .mode = file->mode,
        .unlink_after = file->unlink_after,
        .folder = run->request.exec.cwd,
        .name = file->name,
    };
    size_t len = agent_file_encode(&message, payload, sizeof(payload));
    if (len == 0)
        return false;
    chan_send(run->agent, FRAME_AGENT_FILE, payload, len);
    return true;
}

static bool send_exec(struct run *run)
{
    static unsigned char payload[FRAME_CONTROL_MAX]; /* one loop, one thread */
    size_t len = agent_exec_encode(&run->request.exec, payload, sizeof(payload));
    if (len == 0)
        return false;
    chan_send(run->agent, FRAME_AGENT_EXEC, payload, len);
    return true;
}

/* Begins the files whose turn it is; after the last one's last byte, the program. */
static bool advance(struct run *run)
{
    while (run->file_bytes_left == 0 && run->file < run->request.files_len) {
        const struct op_file *file = &run->request.files[run->file++];
        if (!send_file_header(run, file))
            return false;
        run->file_bytes_left = file->bytes;
    }
    if (run->file_bytes_left > 0 || run->exec_sent)
        return true;
    run->exec_sent = true;
    return send_exec(run);
}

static void too_long(struct run *run)
{
    struct err err;
    err_set(&err, ERR_BAD_REQUEST, "argv, env and file names do not fit into one message");
    fail(run, &err, 0);
}

/* Returns false when the run is over. */
static bool forward(struct run *run, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_FILE_DATA:
        if (frame->len > run->file_bytes_left)
            break;
        run->file_bytes_left -= frame->len;
        chan_send(run->agent, FRAME_FILE_DATA, frame->payload, frame->len);
        if (advance(run))
            return true;
        too_long(run);
        return false;
    case FRAME_STDIN:
    case FRAME_STDIN_EOF:
        if (!run->exec_sent)
            break;
        chan_send(run->agent, frame->type, frame->payload, frame->len);
        return true;
    default:
        break;
    }
    bad_sequence(run, frame);
    return false;
}

static void on_link_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct run *run = data;
    if (run->phase == RUN_ENDING)
        return;
    if (run->phase == RUN_RUNNING) {
        if (forward(run, frame) && chan_queued(run->agent) > STDIN_HIGH)
            chan_pause(chan);
        return;
    }
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, frame->type, frame->flags, frame->len);
    if (!buf_append(&run->backlog, header, sizeof(header)) ||
        !buf_append(&run->backlog, frame->payload, frame->len)) {
        bad_sequence(run, frame);
        return;
    }
    if (run->backlog.len > STDIN_HIGH)
        chan_pause(chan);
}

static void kill_program(struct run *run)
{
    struct engine *engine = roster_engine(run->services->roster);
    if (!run->runner)
        return;
    if (!run->confined)
        runner_destroy(run->runner);
    else if (run->runner->handle)
        engine->ops->kill_operation(engine, run->runner->handle, run->operation);
}

static void on_link_closed(struct chan *chan, const struct err *why, void *data)
{
    struct run *run = data;
    (void)why;
    log_info("abandoned by its caller", LOG_S("id", run->request.id), LOG_S("runner", run->name));
    chan_destroy(chan, false);
    run->link = NULL;
    if (run->runner)
        run->runner->last_status = "killed";
    kill_program(run);
    if (run->runner && run->request.keep) /* nobody knows that it exists */
        runner_destroy(run->runner);
    finish(run);
}

static void on_link_drain(struct chan *chan, void *data)
{
    struct run *run = data;
    (void)chan;
    if (run->agent)
        chan_resume(run->agent);
}

static const struct chan_ops link_ops = {
    .on_frame = on_link_frame,
    .on_closed = on_link_closed,
    .on_drain = on_link_drain,
};

/* ---- from the agent to the manager ---- */

static void destroy_runner(struct run *run)
{
    if (run->runner)
        runner_destroy(run->runner);
}

static void on_output(struct run *run, const struct frame *frame, struct stream *stream)
{
    int64_t room = run->request.output_bytes - stream->sent;
    int64_t len = frame->len;
    if (len > room) {
        stream->truncated = true;
        len = room;
    }
    if (len <= 0)
        return;
    stream->sent += len;
    chan_send(run->link, frame->type, frame->payload, (size_t)len);
    if (chan_queued(run->link) > CHAN_HIGH)
        chan_pause(run->agent);
}

static void on_agent_failed(struct run *run, const struct frame *frame)
{
    struct agent_failed failed;
    struct err err;
    enum err_code code = ERR_EXECUTION_FAILED;
    if (!agent_failed_decode(frame->payload, frame->len, &failed)) {
        err_set(&err, ERR_BAD_GATEWAY, "the runner's agent does not make sense");
    } else {
        if (failed.sys_errno == ENOSPC || failed.sys_errno == EDQUOT)
            code = ERR_NO_SPACE;
        else if (failed.stage == AGENT_STAGE_LIMIT)
            code = ERR_RUNNER_BUSY;
        err_sys(&err, code, (int)failed.sys_errno, "cannot %s", agent_stage_text(failed.stage));
    }
    fail(run, &err, 0);
}

static void on_agent_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct run *run = data;
    struct agent_exit exit;
    (void)chan;
    switch (frame->type) {
    case FRAME_STDOUT:
        on_output(run, frame, &run->out);
        break;
    case FRAME_STDERR:
        on_output(run, frame, &run->err_stream);
        break;
    case FRAME_AGENT_STARTED:
        break;
    case FRAME_AGENT_EXIT:
        if (!agent_exit_decode(frame->payload, frame->len, &exit))
            goto garbage;
        read_stats(run);
        succeed(run, &exit, false);
        break;
    case FRAME_AGENT_FAILED:
        on_agent_failed(run, frame);
        break;
    default:
        goto garbage;
    }
    return;
garbage:;
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the runner's agent sent %s, which makes no sense here",
            frame_name(frame->type));
    destroy_runner(run);
    fail(run, &err, 0);
}

/* The agent's side ended without an exit: the runner died, or was killed. */
static void on_agent_closed(struct chan *chan, const struct err *why, void *data)
{
    struct run *run = data;
    (void)chan, (void)why;
    read_stats(run);
    bool out_of_memory = run->has_after && run->after.oom_kills > run->before.oom_kills;
    bool deleted = run->deleted || (run->runner && run->runner->state == RUNNER_FREEING);
    if (run->timed_out || out_of_memory || deleted) {
        succeed(run, NULL, deleted);
        return;
    }
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the runner was lost during the run");
    destroy_runner(run);
    fail(run, &err, 0);
}

static void on_agent_drain(struct chan *chan, void *data)
{
    struct run *run = data;
    (void)chan;
    if (run->link)
        chan_resume(run->link);
}

static const struct chan_ops agent_ops = {
    .on_frame = on_agent_frame,
    .on_closed = on_agent_closed,
    .on_drain = on_agent_drain,
};

/* ---- the runner ---- */

static void on_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->phase == RUN_RUNNING) {
        run->phase = RUN_ENDING;
        run->timed_out = true;
        read_stats(run);
        kill_program(run);
        /* Its caller may be slow to read; what was printed is read to the end all the same. */
        uv_timer_start(timer, on_timer, GUARD_MS, 0);
        return;
    }
    log_warn("a killed run's agent did not end it", LOG_S("runner", run->name));
    destroy_runner(run);
    succeed(run, NULL, false);
}

/* Gives the agent its operation. */
static int open_operation(struct run *run, struct err *err)
{
    struct services *services = run->services;
    struct engine *engine = roster_engine(services->roster);
    int pair[2];
    if (!run->runner->handle || run->runner->state != RUNNER_IN_USE)
        return err_set(err, ERR_RUNNER_NOT_FOUND, "the runner is going away");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "socketpair");
    if (engine->ops->open(engine, run->runner->handle, run->operation, run->confined, pair[1],
                          err) != 0) {
        close(pair[0]);
        return -1;
    }
    run->agent = chan_create(services->loop, pair[0], &agent_ops, run, err);
    return run->agent ? 0 : -1;
}

/* Hands over what came while there was no runner. */
static bool replay_backlog(struct run *run)
{
    size_t at = 0;
    struct frame frame;
    size_t used;
    while (frame_parse(run->backlog.data + at, run->backlog.len - at, &frame, &used) == FRAME_OK) {
        at += used;
        if (!forward(run, &frame))
            return false;
    }
    buf_finish(&run->backlog);
    return true;
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
    uv_timer_start(&run->timer, on_timer, (uint64_t)run->request.time_ms, 0);
    answer_send(run->link, FRAME_STARTED,
                json_pack("{s:s, s:f}", "runner", run->name, "queuedMs", queued_ms(run)));
    if (!advance(run))
        too_long(run);
    else if (replay_backlog(run))
        chan_resume(run->link);
}

/* Makes the runner what the request wants: its limits, its name. */
static int prepare_runner(struct run *run, struct err *err)
{
    struct services *services = run->services;
    struct engine *engine = roster_engine(services->roster);
    struct runner *runner = run->runner;
    if (run->request.memory_bytes > 0 &&
        run->request.memory_bytes != runner->spec.limits.memory_bytes) {
        struct engine_limits limits = runner->spec.limits;
        limits.memory_bytes = run->request.memory_bytes;
        if (engine->ops->set_limits(engine, runner->handle, &limits, err) != 0)
            return -1;
    }
    if (!run->request.keep)
        return 0;
    char earlier[NAME_MAX_LEN + 1];
    strcpy(earlier, runner->name);
    if (runner_keep(runner, run->request.keep_name, run->request.keep_owner, err) != 0)
        return -1;
    if (strcmp(earlier, runner->name) != 0)
        watch_renamed(services->watch, earlier);
    str_format(run->name, sizeof(run->name), "%s", runner->name);
    watch_touch(services->watch, runner);
    journal_update(services->journal, runner);
    return 0;
}

static void on_taken(struct runner *runner, const struct err *why, mono_us retry_after_us,
                     void *data)
{
    struct run *run = data;
    struct err err;
    run->ticket = NULL;
    run->taken = clock_now(run->services->clock);
    if (!runner) {
        fail(run, why, retry_after_us);
        return;
    }
    attach(run, runner);
    if (prepare_runner(run, &err) != 0) {
        fail(run, &err, 0);
        return;
    }
    if (run->request.exec.argc > 0) {
        start_program(run);
        return;
    }
    watch_flush(run->services->watch);
    answer_result(steal_ptr(run->link),
                  json_pack("{s:s, s:f}", "runner", run->name, "queued", queued_ms(run)));
    finish(run);
}

static void take_fresh(struct run *run)
{
    const char *wanted = run->request.template_name;
    const char *have = run->services->config->oven_template;
    if (wanted[0] && strcmp(wanted, have) != 0) {
        struct err err;
        err_set(&err, ERR_NOT_AVAILABLE, "this worker has no template %.41s", wanted);
        fail(run, &err, 0);
        return;
    }
    mono_us deadline = run->request.queue_ms ? run->asked + run->request.queue_ms * US_PER_MS : 0;
    run->ticket = oven_take(run->services->oven, deadline, on_taken, run);
}

static void take_named(struct run *run)
{
    struct runner *runner = roster_find(run->services->roster, run->request.runner);
    if (!runner || !runner->kept || runner->state != RUNNER_IN_USE) {
        struct err err;
        err_set(&err, ERR_RUNNER_NOT_FOUND, "there is no runner %.41s", run->request.runner);
        fail(run, &err, 0);
        return;
    }
    run->taken = run->asked;
    attach(run, runner);
    start_program(run);
}

/* What a run must know of its runner before the runner's record is freed. */
static void on_runner_change(struct runner *runner, enum runner_state from, void *data)
{
    struct roster *roster = runner->roster;
    (void)from, (void)data;
    if (runner->state != RUNNER_FREEING && runner->state != RUNNER_GONE)
        return;
    for (struct run *run = runner->runs, *next; run; run = next) {
        next = run->next;
        read_stats(run);
        if (runner->state == RUNNER_GONE) {
            run->deleted = roster_death(roster) == NULL;
            detach(run); /* its agent's side still has output to be read, then ends */
        }
    }
}

void run_follow(struct services *services)
{
    roster_observe(services->roster, on_runner_change, services);
}

void run_begin(struct services *services, struct chan *take_link, const struct frame *frame)
{
    struct err err;
    struct run *run = mem_new(struct run);
    run->services = services;
    run->link = take_link;
    if (op_run_parse(frame->payload, frame->len, frame->type == FRAME_EXEC, &run->request, &err) !=
        0) {
        answer_error(take_link, &err, NULL, 0);
        free(run);
        return;
    }
    buf_init(&run->backlog, BACKLOG_MAX);
    run->asked = clock_now(services->clock);
    uv_timer_init(services->loop, &run->timer);
    run->timer.data = run;
    chan_set_ops(take_link, &link_ops, run);
    if (frame->type == FRAME_EXEC)
        take_named(run);
    else
        take_fresh(run);
}
