#include "../../../src/worker/verdict.h"

#include "../../../src/common/mem.h"
#include "../../support/cm.h"

#include <signal.h>

#define LIMIT_US 1000000

static const struct engine_stats calm = {.memory_bytes = 1 << 20, .memory_peak_bytes = 1 << 20};
static const struct engine_stats oom = {.oom_kills = 1};
static const struct engine_stats refused = {.pids_refused = 1};
static const struct agent_exit well = {.exit = 0, .wall_us = 5000};
static const struct agent_exit badly = {.exit = 3, .wall_us = 5000};
static const struct agent_exit crashed = {.signal = SIGSEGV, .wall_us = 5000};
static const struct agent_exit killed = {.signal = SIGKILL, .wall_us = 5000};
static const struct agent_exit late = {.exit = 0, .wall_us = LIMIT_US};

static void status_follows_from_the_evidence(void **state)
{
    static const struct {
        const char *status;
        bool timed_out, shared;
        const struct agent_exit *exit;
        const struct engine_stats *after;
        int code;
        const char *signal;
    } cases[] = {
        {"ok", false, false, &well, &calm, 0, NULL},
        {"exit", false, false, &badly, &calm, 3, NULL},
        {"signal", false, false, &crashed, &calm, -1, "SIGSEGV"},
        {"signal", false, false, &killed, &calm, -1, "SIGKILL"},
        {"killed", false, false, NULL, &calm, -1, "SIGKILL"},
        {"killed", false, false, NULL, NULL, -1, "SIGKILL"},

        /* Time. */
        {"timeout", true, false, NULL, &calm, -1, "SIGKILL"},
        {"timeout", true, false, NULL, &oom, -1, "SIGKILL"},
        {"timeout", true, true, &killed, NULL, -1, "SIGKILL"},
        {"timeout", true, true, &late, NULL, 0, NULL},
        {"ok", true, true, &well, NULL, 0, NULL}, /* it ended before the kill, and in time */
        {"exit", true, false, &badly, &calm, 3, NULL},
        {"signal", true, false, &crashed, &calm, -1, "SIGSEGV"},

        /* Memory: also when only a child was killed, but not on another's behalf. */
        {"memory", false, false, &killed, &oom, -1, "SIGKILL"},
        {"memory", false, false, &badly, &oom, 3, NULL},
        {"memory", false, false, &well, &oom, 0, NULL},
        {"memory", false, false, NULL, &oom, -1, "SIGKILL"},
        {"memory", false, true, &killed, &oom, -1, "SIGKILL"},
        {"ok", false, true, &well, &oom, 0, NULL},
        {"signal", false, true, &killed, NULL, -1, "SIGKILL"},

        /* Processes: as memory. */
        {"pids", false, false, &badly, &refused, 3, NULL},
        {"pids", false, true, &badly, &refused, 3, NULL},
        {"pids", false, false, &crashed, &refused, -1, "SIGSEGV"},
        {"pids", false, false, &well, &refused, 0, NULL},
        {"ok", false, true, &well, &refused, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct verdict_evidence evidence = {
            .timed_out = cases[i].timed_out,
            .exit = cases[i].exit,
            .limit_us = LIMIT_US,
            .before = &calm,
            .after = cases[i].after,
            .shared = cases[i].shared,
        };
        struct verdict verdict = verdict_of(&evidence);
        if (strcmp(verdict.status, cases[i].status) != 0)
            fail_msg("case %zu: %s in place of %s", i, verdict.status, cases[i].status);
        assert_int_equal(verdict.exit, cases[i].code);
        if (cases[i].signal)
            assert_string_equal(verdict.signal, cases[i].signal);
        else
            assert_null(verdict.signal);
    }
}

static void faults_before_the_program_are_not_its_own(void **state)
{
    const struct verdict_evidence evidence = {
        .exit = &badly, .limit_us = LIMIT_US, .before = &oom, .after = &oom};
    const struct verdict_evidence pids = {
        .exit = &badly, .limit_us = LIMIT_US, .before = &refused, .after = &refused};
    (void)state;
    assert_string_equal(verdict_of(&evidence).status, "exit");
    assert_string_equal(verdict_of(&pids).status, "exit");
}

static int64_t peak(int64_t base, int64_t peak_before, int64_t peak_after, int64_t rss,
                    bool with_exit, bool shared)
{
    const struct agent_exit exit = {.max_rss_bytes = (uint64_t)rss};
    const struct engine_stats before = {.memory_bytes = base, .memory_peak_bytes = peak_before};
    const struct engine_stats after = {.memory_peak_bytes = peak_after};
    const struct verdict_evidence evidence = {
        .exit = with_exit ? &exit : NULL, .before = &before, .after = &after, .shared = shared};
    return verdict_of(&evidence).memory_peak_bytes;
}

static void peak_of_memory_is_the_programs_own(void **state)
{
    (void)state;
    assert_int_equal(peak(1000, 1000, 9000, 500, true, false), 8000);
    assert_int_equal(peak(1000, 1000, 9000, 500, false, false), 8000);
    /* The kernel's peak could not be reset and is that of the start. */
    assert_int_equal(peak(1000, 6000, 6000, 700, true, false), 700);
    assert_int_equal(peak(1000, 6000, 6000, 8000, true, false), 5000);
    assert_int_equal(peak(1000, 6000, 6000, 0, false, false), 5000);
    assert_int_equal(peak(1000, 1000, 900, 0, true, false), 0);
    /* Others live in the runner too. */
    assert_int_equal(peak(1000, 1000, 9000, 500, true, true), 500);
}

static void check_cpu(const struct agent_exit *exit, int64_t user, int64_t system, bool shared,
                      double user_ms, double system_ms)
{
    const struct engine_stats before = {.cpu_us = 1000, .user_us = 600, .system_us = 400};
    const struct engine_stats after = {
        .cpu_us = 1000 + user + system, .user_us = 600 + user, .system_us = 400 + system};
    const struct verdict_evidence evidence = {
        .exit = exit, .before = &before, .after = &after, .shared = shared};
    struct verdict verdict = verdict_of(&evidence);
    assert_float_equal(verdict.user_ms, user_ms, 0.0001);
    assert_float_equal(verdict.system_ms, system_ms, 0.0001);
}

static void processor_time_is_the_cgroups_divided_as_the_agent_says(void **state)
{
    const struct agent_exit said = {.user_us = 300, .system_us = 100};
    (void)state;
    check_cpu(&said, 4000, 4000, false, 6.0, 2.0);
    check_cpu(&said, 4000, 4000, true, 0.3, 0.1);
    check_cpu(&well, 3000, 1000, false, 3.0, 1.0);
    check_cpu(NULL, 3000, 1000, false, 3.0, 1.0);
    check_cpu(NULL, 0, 0, false, 0, 0);
}

static void times_are_whole_microseconds(void **state)
{
    const struct agent_exit thirds = {.user_us = 1, .system_us = 2};
    const struct engine_stats none = {0}, some = {.cpu_us = 1000};
    const struct verdict_evidence evidence = {
        .exit = &thirds, .before = &none, .after = &some, .wall_us = 1234};
    (void)state;
    struct verdict verdict = verdict_of(&evidence);
    assert_true(verdict.user_ms == 0.333 && verdict.system_ms == 0.667 && verdict.wall_ms == 1.234);
}

/* The agent is not trusted. */
static void figures_that_cannot_be_do_no_harm(void **state)
{
    const struct agent_exit lies = {.user_us = UINT64_MAX,
                                    .system_us = UINT64_MAX,
                                    .max_rss_bytes = UINT64_MAX,
                                    .wall_us = UINT64_MAX};
    const struct engine_stats high = {.cpu_us = 5000}, low = {.cpu_us = 1000};
    struct verdict_evidence evidence = {.exit = &lies, .limit_us = LIMIT_US, .timed_out = true};
    (void)state;
    struct verdict verdict = verdict_of(&evidence);
    assert_true(verdict.user_ms > 0 && verdict.user_ms < 1e15);
    assert_int_equal(verdict.memory_peak_bytes, INT64_MAX);
    assert_string_equal(verdict.status, "timeout");
    evidence.before = &high;
    evidence.after = &low;
    evidence.exit = &well;
    assert_true(verdict_of(&evidence).user_ms == 0);
}

static void signals_have_names(void **state)
{
    (void)state;
    assert_string_equal(verdict_signal_name(SIGKILL), "SIGKILL");
    assert_string_equal(verdict_signal_name(SIGRTMIN + 1), "SIG35");
    assert_string_equal(verdict_signal_name(64), "SIG64");
    assert_null(verdict_signal_name(0));
    assert_null(verdict_signal_name(-1));
    assert_null(verdict_signal_name(65));
    for (int number = 1; number <= AGENT_SIGNAL_MAX; number++)
        assert_true(strlen(verdict_signal_name(number)) > 3);
}

static void time_disk_and_output(void **state)
{
    static const struct {
        const char *status;
        struct verdict_evidence evidence;
    } cases[] = {
        {"cpu_timeout", {.cpu_timed_out = true}},
        {"cpu_timeout", {.cpu_timed_out = true, .exit = &killed, .shared = true}},
        {"timeout", {.cpu_timed_out = true, .timed_out = true}},
        {"exit", {.cpu_timed_out = true, .exit = &badly}}, /* the kill came too late */
        {"disk", {.disk_full = true, .exit = &badly}},
        {"disk", {.disk_full = true, .exit = &well}},
        {"disk", {.disk_full = true, .exit = &badly, .shared = true}},
        {"ok", {.disk_full = true, .exit = &well, .shared = true}},
        {"memory", {.disk_full = true, .exit = &badly, .after = &oom}},
        {"pids", {.disk_full = true, .exit = &badly, .after = &refused}},
        {"output", {.truncated = true, .exit = &well}},
        {"output", {.truncated = true, .exit = &well, .shared = true}},
        {"exit", {.truncated = true, .exit = &badly}},
        {"signal", {.truncated = true, .exit = &crashed}},
        {"timeout", {.truncated = true, .timed_out = true}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verdict_evidence evidence = cases[i].evidence;
        evidence.before = &calm;
        evidence.limit_us = LIMIT_US;
        const char *status = verdict_of(&evidence).status;
        if (strcmp(status, cases[i].status) != 0)
            fail_msg("case %zu: %s in place of %s", i, status, cases[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_follows_from_the_evidence),
        cmocka_unit_test(faults_before_the_program_are_not_its_own),
        cmocka_unit_test(peak_of_memory_is_the_programs_own),
        cmocka_unit_test(processor_time_is_the_cgroups_divided_as_the_agent_says),
        cmocka_unit_test(times_are_whole_microseconds),
        cmocka_unit_test(figures_that_cannot_be_do_no_harm),
        cmocka_unit_test(signals_have_names),
        cmocka_unit_test(time_disk_and_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
