#include "verdict.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SIGNALS 65

const char *verdict_signal_name(int signal)
{
    static char names[SIGNALS][16];
    if (signal <= 0 || signal >= SIGNALS)
        return NULL;
    const char *name = sigabbrev_np(signal);
    if (!names[signal][0]) {
        if (name)
            snprintf(names[signal], sizeof(names[signal]), "SIG%s", name);
        else
            snprintf(names[signal], sizeof(names[signal]), "SIG%d", signal);
    }
    return names[signal];
}

static const char *status_of(const struct verdict_evidence *evidence)
{
    const struct agent_exit *exit = evidence->exit;
    bool failed = !exit || exit->signal != 0 || exit->exit != 0;
    if (evidence->timed_out)
        return "timeout";
    /* An OOM kill counts even when only a child died and the program went on: what it printed may
     * be less than it would have been.
     */
    if (evidence->after && evidence->after->oom_kills > evidence->before->oom_kills)
        return "memory";
    if (evidence->killed || !exit)
        return "killed";
    if (failed && evidence->after && evidence->after->pids_refused > evidence->before->pids_refused)
        return "pids";
    if (exit->signal != 0)
        return "signal";
    return exit->exit == 0 ? "ok" : "exit";
}

/* The program's own use: the peak above what the runner used before it. Where the kernel's peak
 * cannot be reset (v2 before 6.12) and the program stayed below that of the start, what the kernel
 * says of its largest process is the better bound.
 */
static int64_t memory_peak(const struct verdict_evidence *evidence)
{
    int64_t rss = evidence->exit ? (int64_t)evidence->exit->max_rss_bytes : 0;
    if (!evidence->after)
        return rss;
    int64_t base = evidence->before->memory_bytes;
    int64_t peak = evidence->after->memory_peak_bytes;
    if (peak <= evidence->before->memory_peak_bytes && rss > 0 && rss < peak - base)
        return rss;
    return peak > base ? peak - base : 0;
}

/* The whole is the cgroup's, exact and beyond the program's reach. How it divides the agent knows
 * better: rusage is not by clock ticks, in which a short program often has none.
 */
static void cpu_times(const struct verdict_evidence *evidence, struct verdict *verdict)
{
    const struct agent_exit *exit = evidence->exit;
    double user_us = exit ? (double)exit->user_us : 0;
    double system_us = exit ? (double)exit->system_us : 0;
    double all_us = user_us + system_us;
    if (evidence->after) {
        all_us = (double)(evidence->after->cpu_us - evidence->before->cpu_us);
        if (user_us + system_us == 0) {
            user_us = (double)(evidence->after->user_us - evidence->before->user_us);
            system_us = (double)(evidence->after->system_us - evidence->before->system_us);
        }
    }
    double user_share = user_us + system_us > 0 ? user_us / (user_us + system_us) : 1;
    verdict->user_ms = all_us * user_share / US_PER_MS;
    verdict->system_ms = all_us * (1 - user_share) / US_PER_MS;
}

struct verdict verdict_of(const struct verdict_evidence *evidence)
{
    const struct agent_exit *exit = evidence->exit;
    struct verdict verdict = {
        .status = status_of(evidence),
        .exit = exit && exit->signal == 0 ? (int)exit->exit : -1,
        .signal = verdict_signal_name(exit ? (int)exit->signal : SIGKILL),
        .wall_ms = (double)evidence->wall_us / US_PER_MS,
        .memory_peak_bytes = memory_peak(evidence),
    };
    cpu_times(evidence, &verdict);
    return verdict;
}
