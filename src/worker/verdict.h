/* How a run ended and what it cost, from evidence: docs/protocol.md, RESULT. */
#ifndef WORKER_VERDICT_H
#define WORKER_VERDICT_H

#include "../common/agent_wire.h"
#include "engine.h"

struct verdict {
    const char
        *status; /* static: ok exit signal timeout cpu_timeout memory pids disk output killed */
    int exit;    /* -1: it did not exit by itself */
    const char *signal; /* "SIGKILL", NULL when there was none */
    double wall_ms, user_ms, system_ms;
    int64_t memory_peak_bytes;
};

struct verdict_evidence {
    bool timed_out;                /* the worker killed it for that, or was about to */
    bool cpu_timed_out;            /* the same, for its processor time */
    bool disk_full;                /* at its end nothing more could be written on the runner */
    bool truncated;                /* it printed more than is kept */
    const struct agent_exit *exit; /* NULL when the program was killed with its runner */
    mono_us wall_us;               /* as the worker saw it */
    mono_us limit_us;              /* how long it was allowed to run */

    /* The runner's cgroup at the start and the end. NULL when other operations went on beside this
     * one: then the agent's rusage must do.
     */
    const struct engine_stats *before, *after;

    /* Background processes of earlier programs may live in the runner: what the cgroup says of
     * processor time and memory is theirs too.
     */
    bool shared;
};

struct verdict verdict_of(const struct verdict_evidence *evidence);

/* "SIGSEGV" for 11; "SIG34" for one without a name. Static storage. */
const char *verdict_signal_name(int signal);

#endif
