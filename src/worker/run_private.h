/* One run inside the worker, shared by run.c (from the request to a runner, and all of them) and
 * run_stages.c (from its first program to the answer). For these two alone.
 */
#ifndef WORKER_RUN_PRIVATE_H
#define WORKER_RUN_PRIVATE_H

#include "batch.h"
#include "collected.h"
#include "op_parse.h"
#include "relay.h"
#include "run.h"
#include "verdict.h"

enum run_phase { RUN_WAITING, RUN_RUNNING, RUN_ENDING };

enum run_stage { RUN_COMPILES, RUN_PROGRAM, RUN_COLLECTS };

struct run {
    struct runs *runs;
    struct run *prev, *next; /* of all runs */
    struct op_run request;
    char manager[MANAGER_ID_LEN + 1]; /* who asked for it */
    struct relay *relay;
    enum run_phase phase;
    unsigned tries;                          /* runners that took no operation */
    struct oven_ticket *ticket;              /* while WAITING for a fresh runner */
    struct runner *runner;                   /* from RUNNING on; NULL once it is gone or given up */
    struct run *runner_next, **runner_place; /* in the runner's list of runs */
    char name[NAME_MAX_LEN + 1];             /* of the runner; "" before there is one */
    bool confined;  /* its operations have cgroups of their own: its runner outlives it */
    bool alone;     /* no other operation has gone on beside it on its runner */
    bool committed; /* the caller has been told STARTED */
    bool deleted;
    mono_us asked, taken; /* taken 0: not yet */

    /* Of the present stage. */
    enum run_stage stage;
    uint32_t operation;
    struct agent_exec exec;
    mono_us began, killed;  /* killed 0: not yet */
    uint64_t timed_from_ns; /* uv_hrtime: the loop's own clock is by milliseconds */
    bool timed_out, cpu_timed_out, has_after, disk_full;
    struct engine_stats before, after;

    /* Of the stages that are over. */
    const char *failed_compile; /* its verdict's status; NULL: it went well, or there was none */
    struct verdict verdict;     /* of the program */
    bool cut_out, cut_err;
    struct collected collected;

    uv_timer_t timer, cpu_timer;
    int open_timers;
};

struct runs {
    struct services *services;
    struct batch *batch;
    struct run *first;
};

static inline struct engine *run_engine(const struct run *run)
{
    return roster_engine(run->runs->services->roster);
}

/* run.c */

/* Ends the present operation's processes: with their runner, unless that is kept. */
void run_kill_program(struct run *run);

/* For the present operation's program; false when its agent cannot be told. */
bool run_signal_program(int number, void *run);

/* Reads the runner's accounting for the present stage, once, while its cgroup is still there. */
void run_read_stats(struct run *run);

/* The run is over with this error; it is freed. */
void run_fail(struct run *run, const struct err *err, mono_us retry_after_us);

/* The run is over and was answered, or nobody is left to be answered; it is freed. */
void run_finish(struct run *run);

double run_queued_ms(const struct run *run);

/* run_stages.c */

/* Opens the first stage's operation on the run's runner. Its end of the socket, or -1 with err when
 * the runner takes no operation; nothing has been run then.
 */
int run_open_first(struct run *run, struct err *err);

/* Goes on with what run_open_first returned: the caller is told STARTED, and programs run. */
void run_begin_first(struct run *run, int take_fd);

/* What the relay says. */
void run_relay_over(const struct relay_end *end, void *data);

#endif
