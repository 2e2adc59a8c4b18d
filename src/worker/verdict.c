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

/* It ended by itself before the worker's kill could reach it, and in time: the timer was only
 * quicker than the news.
 */
static bool ended_in_time(const struct verdict_evidence *evidence)
{
    const struct agent_exit *exit = evidence->exit;
    return exit && exit->signal != SIGKILL && exit->wall_us < (uint64_t)evidence->limit_us;
}

static bool killed_for_time(const struct verdict_evidence *evidence)
{
    return (evidence->timed_out || evidence->cpu_timed_out) && !ended_in_time(evidence);
}

static const char *status_of(const struct verdict_evidence *evidence)
{
    const struct agent_exit *exit = evidence->exit;
    const struct engine_stats *before = evidence->before, *after = evidence->after;
    bool failed = !exit || exit->signal != 0 || exit->exit != 0;
    if (killed_for_time(evidence))
        return evidence->timed_out ? "timeout" : "cpu_timeout";
    /* A refusal counts even when only a child met it and the program went on: what it printed may
     * be less than it would have been. On a shared runner it may have been another's.
     */
    bool counts = failed || !evidence->shared;
    if (counts && after && after->oom_kills > before->oom_kills)
        return "memory";
    if (!exit)
        return "killed";
    if (counts && after && after->pids_refused > before->pids_refused)
        return "pids";
    if (counts && evidence->disk_full)
        return "disk";
    if (exit->signal != 0)
        return "signal";
    if (exit->exit != 0)
        return "exit";
    return evidence->truncated ? "output" : "ok";
}

/* The cgroup's figures, where all of them are this program's. */
static const struct engine_stats *own_figures(const struct verdict_evidence *evidence)
{
    return evidence->shared ? NULL : evidence->after;
}

/* The program's own use: the peak above what the runner used before it. Where the kernel's peak
 * cannot be reset (v2 before 6.12) and the program stayed below that of the start, what the kernel
 * says of its largest process is the better bound.
 */
static int64_t memory_peak(const struct verdict_evidence *evidence)
{
    const struct engine_stats *after = own_figures(evidence);
    uint64_t said = evidence->exit ? evidence->exit->max_rss_bytes : 0;
    int64_t rss = said < INT64_MAX ? (int64_t)said : INT64_MAX;
    if (!after)
        return rss;
    int64_t base = evidence->before->memory_bytes;
    int64_t peak = after->memory_peak_bytes;
    if (peak <= evidence->before->memory_peak_bytes && rss > 0 && rss < peak - base)
        return rss;
    return peak > base ? peak - base : 0;
}

/* Whole microseconds, and no more than a year of them: an agent may say anything. */
static double to_ms(double us)
{
    const double most = 366.0 * 24 * 3600 * US_PER_SEC;
    return (double)(int64_t)(us < 0 ? 0 : us < most ? us + 0.5 : most) / US_PER_MS;
}

/* The whole is the cgroup's, exact and beyond the program's reach. How it divides the agent knows
 * better: rusage is not by clock ticks, in which a short program often has none.
 */
static void cpu_times(const struct verdict_evidence *evidence, struct verdict *verdict)
{
    const struct agent_exit *exit = evidence->exit;
    const struct engine_stats *before = evidence->before, *after = own_figures(evidence);
    double user_us = exit ? (double)exit->user_us : 0;
    double system_us = exit ? (double)exit->system_us : 0;
    double all_us = user_us + system_us;
    if (after) {
        all_us = (double)(after->cpu_us - before->cpu_us);
        if (user_us + system_us == 0) {
            user_us = (double)(after->user_us - before->user_us);
            system_us = (double)(after->system_us - before->system_us);
        }
    }
    double user_share = user_us + system_us > 0 ? user_us / (user_us + system_us) : 1;
    verdict->user_ms = to_ms(all_us * user_share);
    verdict->system_ms = to_ms(all_us * (1 - user_share));
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
