/* The oven, over engine_fake: a runner cooks in 7 ms and is gone 4 ms after it is destroyed. */
#include "../../../src/worker/ovens.h"

#include "../../../src/common/log.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "aborts.h"
#include "oven_rig.h"

#include <stdlib.h>

static struct rig rig;

/* One call of oven_take, and what came of it. */
struct caller {
    struct oven_ticket *ticket;
    struct runner *runner;
    int answers;
    int place; /* in the order of the answers, from 1 */
    enum err_code code;
    char msg[240];
    mono_us retry_after_us;
    bool inside_take;
};

static int answered;
static bool inside_take;

static void on_done(struct runner *runner, const struct err *err, mono_us retry_after_us,
                    void *data)
{
    struct caller *caller = data;
    caller->inside_take = inside_take;
    caller->answers++;
    caller->place = ++answered;
    caller->runner = runner;
    caller->retry_after_us = retry_after_us;
    if (runner) {
        assert_int_equal(runner->state, RUNNER_IN_USE);
        assert_null(err);
        assert_int_equal(retry_after_us, 0);
        return;
    }
    caller->code = err->code;
    str_format(caller->msg, sizeof(caller->msg), "%s", err->msg);
}

/* wait_ms 0: do not wait. */
static void take(struct caller *caller, int64_t wait_ms)
{
    *caller = (struct caller){0};
    inside_take = true;
    caller->ticket =
        oven_take(rig.oven, wait_ms ? rig_now(&rig) + wait_ms * US_PER_MS : 0, on_done, caller);
    inside_take = false;
    assert_int_equal(caller->answers, 0);
}

static void assert_served(const struct caller *caller)
{
    assert_int_equal(caller->answers, 1);
    if (!caller->runner)
        fail_msg("refused: %s", caller->msg);
    assert_false(caller->inside_take);
}

static void assert_refused(const struct caller *caller, const char *words)
{
    assert_int_equal(caller->answers, 1);
    assert_null(caller->runner);
    assert_int_equal(caller->code, ERR_NOT_AVAILABLE);
    assert_contains(caller->msg, words);
    assert_true(caller->retry_after_us >= 100 * US_PER_MS);
    assert_true(caller->retry_after_us <= 60 * (mono_us)US_PER_SEC);
    assert_false(caller->inside_take);
}

static int set_up(void **state)
{
    (void)state;
    rig_defaults(&rig);
    answered = 0;
    log_init("test", (enum log_level)(LOG_ERROR + 1));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_finish(&rig);
    return 0;
}

static void start(void)
{
    rig_start(&rig);
    rig_pass(&rig, 0);
}

static void start_warm(void)
{
    start();
    rig_pass_ms(&rig, 200);
    assert_int_equal(rig_figures(&rig).available, rig.config.min_available);
}

static unsigned live(void)
{
    return engine_fake_count(rig.fake).live;
}

static unsigned cooking(void)
{
    return engine_fake_count(rig.fake).cooking;
}

static uint64_t created(void)
{
    return engine_fake_count(rig.fake).created;
}

static void set_fate(mono_us ready_us, mono_us die_us)
{
    struct engine_fake_fate fate = {.ready_us = ready_us,
                                    .die_us = die_us,
                                    .gone_us = 4 * US_PER_MS,
                                    .return_us = 5 * US_PER_MS};
    engine_fake_set_fate(rig.fake, &fate);
}

static void set_good(void)
{
    set_fate(7 * US_PER_MS, ENGINE_FAKE_NEVER);
}

static void set_failing(void)
{
    set_fate(ENGINE_FAKE_NEVER, 3 * US_PER_MS);
}

static void keep_first(struct runner *runner, void *data)
{
    struct runner **first = data;
    if (!*first && runner->state == RUNNER_AVAILABLE)
        *first = runner;
}

static struct runner *a_warm_one(void)
{
    struct runner *first = NULL;
    roster_each(rig.roster, keep_first, &first);
    assert_non_null(first);
    return first;
}

/* ---- filling ---- */

static void test_nothing_is_cooked_before_the_memory_is_known(void **state)
{
    (void)state;
    rig_start(&rig);
    struct caller caller;
    take(&caller, 1000);
    engine_fake_advance(rig.fake, US_PER_SEC / 2);
    assert_int_equal(created(), 0);
    assert_int_equal(rig_figures(&rig).status, OVEN_IDLE);
    assert_true(ovens_next_step(rig.ovens) <= rig_now(&rig));
    assert_true(ovens_next_step(rig.ovens) > 0);
    rig_pass_ms(&rig, 7);
    assert_served(&caller);
}

static void test_fills_to_the_minimum_when_memory_is_scarce(void **state)
{
    (void)state;
    rig.config.min_available = 5;
    start();
    assert_int_equal(cooking(), 2);
    assert_int_equal(rig_figures(&rig).status, OVEN_COOKING);
    rig_pass_ms(&rig, 7);
    assert_int_equal(rig_figures(&rig).available, 2);
    assert_int_equal(cooking(), 2); /* the next two at once */
    rig_pass_ms(&rig, 14);
    struct oven_figures figures = rig_figures(&rig);
    assert_int_equal(figures.available, 5);
    assert_int_equal(figures.cooking, 0);
    assert_int_equal(figures.status, OVEN_IDLE);
    assert_int_equal(figures.cooked, 5);
    assert_int_equal(figures.cook_us, 7 * US_PER_MS);
    assert_int_equal(figures.target, 5);
    rig_pass_ms(&rig, 10000);
    assert_int_equal(created(), 5);
    assert_int_equal(rig.timer, 0);
}

static void test_fills_to_the_maximum_below_the_memory_target(void **state)
{
    (void)state;
    rig.memory = 39;
    start();
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_figures(&rig).available, 8);
    assert_int_equal(rig_figures(&rig).status, OVEN_FULL);
    rig_pass_ms(&rig, 10000);
    assert_int_equal(created(), 8);
}

static void test_stops_filling_at_the_memory_target(void **state)
{
    (void)state;
    rig.memory = 39;
    start();
    rig_pass_ms(&rig, 14);
    assert_int_equal(rig_figures(&rig).available, 4);
    rig_memory(&rig, 40);
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_figures(&rig).available, 6); /* two were cooking */
    rig_memory(&rig, 39);
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_figures(&rig).available, 8);
}

static void test_never_cooks_above_the_ceiling(void **state)
{
    (void)state;
    rig.memory = 91;
    start();
    struct caller caller;
    take(&caller, 500);
    rig_pass_ms(&rig, 499);
    assert_int_equal(created(), 0);
    assert_int_equal(rig_figures(&rig).status, OVEN_MEMORY);
    rig_pass_ms(&rig, 1);
    assert_refused(&caller, "oven.mem_ceiling is 90 %");
    assert_contains(caller.msg, "within 500 ms");
    rig_memory(&rig, 90);
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_figures(&rig).available, 2);
}

static void test_all_states_count_for_the_maximum(void **state)
{
    (void)state;
    rig.config.min_available = 8;
    rig_start(&rig);
    struct engine_fake_fate slow = {.ready_us = 7 * US_PER_MS,
                                    .die_us = ENGINE_FAKE_NEVER,
                                    .gone_us = 50 * US_PER_MS,
                                    .return_us = US_PER_MS};
    engine_fake_set_fate(rig.fake, &slow);
    rig_pass_ms(&rig, 100);
    struct caller callers[3];
    for (int i = 0; i < 3; i++)
        take(&callers[i], 0);
    rig_pass_ms(&rig, 20);
    assert_int_equal(live(), 8);
    assert_int_equal(rig_figures(&rig).status, OVEN_FULL);
    for (int i = 0; i < 3; i++) {
        assert_served(&callers[i]);
        runner_destroy(callers[i].runner);
    }
    rig_pass_ms(&rig, 49);
    assert_int_equal(live(), 8);
    assert_int_equal(cooking(), 0);
    rig_pass_ms(&rig, 1);
    assert_int_equal(cooking(), 2); /* the moment there is room */
}

static void test_refills_the_moment_one_is_taken(void **state)
{
    (void)state;
    start_warm();
    struct caller caller;
    unsigned wakes = rig.wakes;
    take(&caller, 0);
    assert_int_equal(rig.wakes, wakes + 1);
    assert_true(rig.timer <= rig_now(&rig));
    rig_pass(&rig, 0);
    assert_served(&caller);
    assert_int_equal(cooking(), 1);
    assert_int_equal(rig_figures(&rig).taken, 1);
}

static void test_another_template_is_not_its_business(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    start();
    struct runner *other = roster_cook(rig.roster, "other", &rig.config.spec, NULL);
    rig_pass_ms(&rig, 10);
    assert_int_equal(other->state, RUNNER_AVAILABLE);
    assert_int_equal(rig_figures(&rig).available, 0);
    engine_fake_kill(rig.fake, other->name);
    rig_pass_ms(&rig, 10);
    assert_string_equal(rig_figures(&rig).message, "");
    assert_int_equal(created(), 1);
}

/* ---- handing out ---- */

static void test_the_oldest_goes_first(void **state)
{
    (void)state;
    rig.config.min_available = 3;
    rig.config.cook_parallel = 1;
    start_warm();
    struct caller callers[3];
    for (int i = 0; i < 3; i++)
        take(&callers[i], 0);
    rig_pass(&rig, 0);
    for (int i = 0; i < 3; i++) {
        assert_served(&callers[i]);
        assert_int_equal(callers[i].place, i + 1);
        assert_int_equal(callers[i].runner->spec.slot, i);
    }
}

static void test_no_deadline_means_no_waiting(void **state)
{
    (void)state;
    start_warm();
    struct caller callers[3];
    for (int i = 0; i < 3; i++)
        take(&callers[i], 0);
    rig_pass(&rig, 0);
    assert_served(&callers[0]);
    assert_served(&callers[1]);
    assert_refused(&callers[2], "no runner is warm");
    assert_int_equal(rig_figures(&rig).refused, 1);
}

static void test_a_runner_that_dies_before_the_step_is_not_handed_out(void **state)
{
    (void)state;
    rig.config.min_available = 1;
    start_warm();
    struct caller hurried, patient;
    take(&hurried, 0);
    take(&patient, 1000);
    engine_fake_kill(rig.fake, a_warm_one()->name);
    engine_fake_advance(rig.fake, 0); /* it dies before the owner comes to step */
    rig_pass(&rig, 0);
    assert_refused(&hurried, "no runner is warm");
    rig_pass_ms(&rig, 7);
    assert_served(&patient);
}

static void test_callers_who_wait_are_cooked_for_at_once(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    start();
    struct caller callers[3];
    take(&callers[0], 1000);
    assert_int_equal(cooking(), 1);
    take(&callers[1], 1000);
    take(&callers[2], 1000);
    assert_int_equal(cooking(), 2);
    assert_int_equal(rig_figures(&rig).waiting, 3);
    rig_pass_ms(&rig, 7);
    assert_served(&callers[0]);
    assert_served(&callers[1]);
    rig_pass_ms(&rig, 7);
    assert_served(&callers[2]);
    assert_int_equal(callers[2].place, 3);
    assert_int_equal(created(), 3);
}

static void test_nobody_is_overtaken(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    rig.config.max_runners = 1;
    start();
    struct caller first, second, late, hurried;
    take(&first, 5000);
    take(&second, 9000);
    engine_fake_advance(rig.fake, 7 * US_PER_MS); /* warm, and the owner has not stepped yet */
    assert_int_equal(rig_figures(&rig).available, 1);
    take(&late, 100);
    take(&hurried, 0);
    rig_pass(&rig, 0);
    assert_served(&first);
    assert_int_equal(second.answers, 0);
    assert_int_equal(late.answers, 0);
    assert_refused(&hurried, "no runner is warm");
    runner_destroy(first.runner);
    rig_pass_ms(&rig, 11);
    assert_served(&second);
    rig_pass_ms(&rig, 200);
    assert_refused(&late, "within 100 ms");
    assert_contains(late.msg, "oven.max_runners");
}

static void test_the_queue_is_bounded(void **state)
{
    (void)state;
    set_up(NULL);
    rig.config.queue_length = 2;
    start_warm();
    struct caller warm[2], waiting[2], over;
    take(&warm[0], 1000);
    take(&warm[1], 1000);
    take(&waiting[0], 1000);
    take(&waiting[1], 1000);
    take(&over, 1000);
    rig_pass(&rig, 0);
    assert_served(&warm[0]);
    assert_served(&warm[1]);
    assert_refused(&over, "oven.queue_length");
    assert_int_equal(waiting[0].answers + waiting[1].answers, 0);
    take(&over, 1000);
    rig_pass(&rig, 0);
    assert_refused(&over, "2 runs wait");
    rig_pass_ms(&rig, 20);
    assert_served(&waiting[0]);
    assert_served(&waiting[1]);
}

static void test_no_queue_at_all(void **state)
{
    (void)state;
    rig.config.queue_length = 0;
    rig.config.min_available = 1;
    start_warm();
    struct caller first, second;
    take(&first, 1000);
    take(&second, 1000);
    rig_pass(&rig, 0);
    assert_served(&first);
    assert_refused(&second, "oven.queue_length");
}

static void test_deadlines_pass_in_any_order(void **state)
{
    (void)state;
    rig.memory = 99;
    start();
    struct caller a, b, c;
    take(&a, 300);
    take(&b, 100);
    take(&c, 200);
    rig_pass_ms(&rig, 99);
    assert_int_equal(a.answers + b.answers + c.answers, 0);
    rig_pass_ms(&rig, 1);
    assert_refused(&b, "within 100 ms");
    rig_pass_ms(&rig, 100);
    assert_refused(&c, "within 200 ms");
    rig_pass_ms(&rig, 99);
    assert_int_equal(a.answers, 0);
    rig_pass_ms(&rig, 1);
    assert_refused(&a, "within 300 ms");
    assert_int_equal(rig.timer, 0);
    take(&a, -1); /* it had passed before it came */
    rig_pass(&rig, 0);
    assert_refused(&a, "no runner became free");
}

static void test_cancelled_callers_are_not_answered(void **state)
{
    (void)state;
    rig.config.min_available = 1;
    start_warm();
    struct caller a, b, c, refused;
    take(&a, 1000);
    take(&b, 1000);
    take(&c, 1000);
    oven_cancel(a.ticket);
    rig_pass(&rig, 0);
    assert_int_equal(a.answers, 0);
    assert_served(&b); /* the next in turn */
    oven_cancel(c.ticket);
    rig_pass_ms(&rig, 2000);
    assert_int_equal(c.answers, 0);
    assert_int_equal(rig_figures(&rig).waiting, 0);

    take(&b, 0);
    take(&refused, 0);
    oven_cancel(refused.ticket);
    rig_pass(&rig, 0);
    assert_served(&b);
    assert_int_equal(refused.answers, 0);
}

/* ---- demand ---- */

static void test_the_target_follows_demand(void **state)
{
    (void)state;
    rig.config.max_runners = 64;
    rig_start(&rig);
    set_fate(200 * US_PER_MS, ENGINE_FAKE_NEVER);
    rig_pass_ms(&rig, 1000);
    assert_int_equal(rig_figures(&rig).target, 2);
    for (int i = 0; i < 600; i++) { /* 20 a second for half a minute */
        struct caller caller;
        take(&caller, 10000);
        rig_pass_ms(&rig, 50);
        if (caller.runner)
            runner_destroy(caller.runner);
        else if (caller.answers == 0)
            oven_cancel(caller.ticket);
    }
    /* 20 a second × 0.2 s, and the two of min_available. */
    unsigned target = rig_figures(&rig).target;
    assert_true(target >= 5 && target <= 7);
    rig_pass_ms(&rig, 1000);
    assert_true(rig_figures(&rig).available >= 5);
    rig_pass_ms(&rig, 120 * 1000);
    assert_int_equal(rig_figures(&rig).target, 2);
    /* Those that stand there are used up, not destroyed, and not replaced above the target. */
    unsigned available = rig_figures(&rig).available;
    assert_true(available >= 5);
    uint64_t before = created();
    struct caller caller;
    take(&caller, 0);
    rig_pass_ms(&rig, 1000);
    assert_served(&caller);
    assert_int_equal(created(), before);
}

static void test_the_target_is_bounded(void **state)
{
    (void)state;
    rig_start(&rig);
    set_fate(US_PER_SEC, ENGINE_FAKE_NEVER);
    rig.config.cook_timeout_us = 10 * (mono_us)US_PER_SEC;
    rig_pass_ms(&rig, 3000);
    for (int i = 0; i < 3000; i++) {
        struct caller caller;
        take(&caller, 0);
        rig_pass_ms(&rig, 1);
        if (caller.runner)
            runner_destroy(caller.runner);
    }
    assert_int_equal(rig_figures(&rig).target, rig.config.max_runners);
    assert_true(live() <= rig.config.max_runners);
}

/* ---- failures ---- */

static void test_a_start_that_never_ends_is_a_failure(void **state)
{
    (void)state;
    rig.config.min_available = 1;
    rig_start(&rig);
    set_fate(ENGINE_FAKE_NEVER, ENGINE_FAKE_NEVER);
    rig_pass_ms(&rig, 999);
    assert_int_equal(rig_figures(&rig).failures, 0);
    rig_pass_ms(&rig, 1);
    struct oven_figures figures = rig_figures(&rig);
    assert_int_equal(figures.failures, 1);
    assert_int_equal(figures.failed, 1);
    assert_int_equal(figures.status, OVEN_BACKING_OFF);
    assert_contains(figures.message, "1000 ms (oven.cook_timeout)");
    assert_int_equal(roster_count(rig.roster, RUNNER_FREEING), 1);
    rig_pass_ms(&rig, 4);
    assert_int_equal(live(), 0);
    set_good();
    rig_pass_ms(&rig, 96 + 7);
    assert_int_equal(rig_figures(&rig).available, 1);
}

/* When each container was made. */
struct times {
    mono_us at[100];
    unsigned count;
};

static void note_time(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                      void *data)
{
    struct times *times = data;
    (void)nth, (void)spec, (void)fate;
    assert_true(times->count < ARRAY_LEN(times->at));
    times->at[times->count++] = rig_now(&rig);
}

static void test_pauses_double_up_to_a_bound(void **state)
{
    (void)state;
    struct times times = {0};
    rig.config.min_available = 1;
    rig_start(&rig);
    set_failing();
    engine_fake_on_create(rig.fake, note_time, &times);
    rig_pass_ms(&rig, 20000);
    static const int64_t pauses_ms[] = {100, 200, 400, 800, 1600, 3200, 3200, 3200};
    assert_int_equal(times.count, 11);
    for (unsigned i = 0; i < ARRAY_LEN(pauses_ms); i++)
        assert_int_equal(times.at[i + 1] - times.at[i], (pauses_ms[i] + 3) * US_PER_MS);
    struct oven_figures figures = rig_figures(&rig);
    assert_int_equal(figures.failures, 11);
    assert_int_equal(figures.status, OVEN_BACKING_OFF);
    assert_contains(figures.message, "did not start");
}

static void test_those_that_fail_together_make_one_pause(void **state)
{
    (void)state;
    struct times times = {0};
    rig.config.min_available = 8;
    rig.config.cook_parallel = 8;
    rig_start(&rig);
    set_failing();
    engine_fake_on_create(rig.fake, note_time, &times);
    rig_pass_ms(&rig, 3);
    assert_int_equal(times.count, 8);
    assert_int_equal(rig_figures(&rig).failures, 8);
    struct caller caller;
    take(&caller, 60000); /* it may have been chance: worth waiting */
    set_good();
    rig_pass_ms(&rig, 100);
    assert_int_equal(times.count, 9); /* one alone tries how things are */
    assert_int_equal(caller.answers, 0);
    rig_pass_ms(&rig, 7);
    assert_served(&caller);
    assert_int_equal(cooking(), 7); /* ... and all of them do when they are well */
    assert_int_equal(rig_figures(&rig).failures, 0);
}

static void test_one_success_resets(void **state)
{
    (void)state;
    struct times times = {0};
    rig.config.min_available = 1;
    rig_start(&rig);
    set_failing();
    rig_pass_ms(&rig, 3 + 103 + 203 + 403);
    assert_int_equal(rig_figures(&rig).failures, 4);
    set_good();
    rig_pass_ms(&rig, 810);
    struct oven_figures figures = rig_figures(&rig);
    assert_int_equal(figures.failures, 0);
    assert_int_equal(figures.available, 1);
    assert_string_equal(figures.message, "");
    assert_int_equal(figures.status, OVEN_IDLE);
    assert_int_equal(figures.failed, 4);

    /* The next failure pauses for 100 ms again. */
    engine_fake_on_create(rig.fake, note_time, &times);
    set_failing();
    struct caller caller;
    take(&caller, 0);
    rig_pass_ms(&rig, 103);
    assert_served(&caller);
    assert_int_equal(times.count, 2);
    assert_int_equal(times.at[1] - times.at[0], 103 * US_PER_MS);
}

static void test_a_broken_template_answers_at_once(void **state)
{
    (void)state;
    rig.config.cook_parallel = 1;
    rig_start(&rig);
    set_failing();
    struct caller early, late, hurried;
    take(&early, 60000);
    rig_pass_ms(&rig, 3 + 103);
    assert_int_equal(rig_figures(&rig).failures, 2);
    assert_int_equal(early.answers, 0); /* twice may be chance */
    rig_pass_ms(&rig, 203);
    assert_int_equal(rig_figures(&rig).failures, 3);
    assert_refused(&early, "the container did not start: scripted");
    assert_int_equal(early.retry_after_us, 400 * US_PER_MS);
    uint64_t before = created();
    take(&late, 60000);
    take(&hurried, 0);
    rig_pass_ms(&rig, 1);
    assert_refused(&late, "the container did not start: scripted");
    assert_refused(&hurried, "the container did not start: scripted");
    assert_int_equal(created(), before); /* callers do not make it try more often */

    /* Whoever comes while it tries is told as soon as that has failed, or gets the runner. */
    rig_pass_ms(&rig, 399);
    assert_int_equal(cooking(), 1);
    take(&late, 60000);
    rig_pass_ms(&rig, 2);
    assert_int_equal(late.answers, 0);
    rig_pass_ms(&rig, 1);
    assert_refused(&late, "did not start");
    set_good();
    rig_pass_ms(&rig, 800);
    take(&late, 60000);
    rig_pass_ms(&rig, 7);
    assert_served(&late);
}

static void test_callers_wait_through_a_failure(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    start();
    set_failing();
    struct caller caller;
    take(&caller, 1000);
    rig_pass_ms(&rig, 3);
    set_good();
    rig_pass_ms(&rig, 106);
    assert_int_equal(caller.answers, 0);
    rig_pass_ms(&rig, 1);
    assert_served(&caller);
}

static void test_a_failing_oven_still_hands_out_what_is_warm(void **state)
{
    (void)state;
    start_warm();
    set_failing();
    struct caller first, second;
    take(&first, 1000);
    rig_pass_ms(&rig, 3 + 103 + 203);
    assert_int_equal(rig_figures(&rig).failures, 3);
    take(&second, 1000);
    rig_pass(&rig, 0);
    assert_served(&first);
    assert_served(&second);
}

static void kill_one(void)
{
    engine_fake_kill(rig.fake, a_warm_one()->name);
    rig_pass(&rig, 0);
}

static void test_a_warm_runner_that_dies_is_replaced_at_once(void **state)
{
    (void)state;
    start_warm();
    kill_one();
    assert_int_equal(rig_figures(&rig).available, 1);
    assert_int_equal(cooking(), 1);
    assert_contains(rig_figures(&rig).message, "signal 9");
    rig_pass_ms(&rig, 7);
    assert_int_equal(rig_figures(&rig).available, 2);
    assert_string_equal(rig_figures(&rig).message, "");

    /* Ever so many that were well for a while are no reason to pause. */
    for (int i = 0; i < 20; i++) {
        rig_pass_ms(&rig, 6000);
        kill_one();
        kill_one();
        assert_int_equal(cooking(), 2);
    }
}

static void test_runners_that_die_after_hello_make_it_pause(void **state)
{
    (void)state;
    rig.config.min_available = 1;
    rig_start(&rig);
    set_fate(7 * US_PER_MS, 17 * US_PER_MS);
    rig_pass_ms(&rig, 2 * 17);
    assert_int_equal(created(), 3);
    assert_int_equal(rig_figures(&rig).status, OVEN_COOKING);
    rig_pass_ms(&rig, 17);
    struct oven_figures figures = rig_figures(&rig);
    assert_int_equal(figures.status, OVEN_BACKING_OFF);
    assert_int_equal(figures.failures, 0); /* they do start */
    assert_contains(figures.message, "a warm runner died");
    rig_pass_ms(&rig, 100 + 17);
    assert_int_equal(rig_figures(&rig).status, OVEN_BACKING_OFF);
    struct caller caller;
    take(&caller, 60000);
    rig_pass(&rig, 0);
    assert_refused(&caller, "a warm runner died: the container's init was killed by signal 9");
    rig_pass_ms(&rig, 60000);
    /* 100, 200 ... 3200 and then one each 3.2 s */
    assert_in_range(created(), 3 + 6 + 15, 3 + 6 + 18);
    assert_contains(rig_figures(&rig).message, "a warm runner died");

    /* One that lives lets the next failure pause anew from the start. */
    set_good();
    rig_pass_ms(&rig, 10000);
    assert_int_equal(rig_figures(&rig).available, 1);
    kill_one();
    assert_int_equal(cooking(), 1);
}

static void test_runners_taken_make_up_for_those_that_died(void **state)
{
    (void)state;
    rig.config.min_available = 2;
    start_warm();
    for (int i = 0; i < 20; i++) {
        kill_one();
        assert_int_equal(rig_figures(&rig).status, OVEN_COOKING);
        struct caller caller;
        take(&caller, 0);
        rig_pass(&rig, 0);
        assert_served(&caller);
        runner_destroy(caller.runner);
        rig_pass_ms(&rig, 20);
    }
}

static void test_one_destroyed_on_request_is_no_failure(void **state)
{
    (void)state;
    start_warm();
    for (int i = 0; i < 10; i++) {
        runner_destroy(a_warm_one());
        rig_pass(&rig, 0);
        assert_int_equal(rig_figures(&rig).status, OVEN_COOKING);
        rig_pass_ms(&rig, 20);
    }
    assert_int_equal(rig_figures(&rig).failed, 0);
    assert_string_equal(rig_figures(&rig).message, "");
}

/* ---- ends ---- */

static void test_a_stopped_oven_gives_what_it_has(void **state)
{
    (void)state;
    start_warm();
    struct caller callers[4];
    take(&callers[0], 60000);
    rig_pass(&rig, 0);
    assert_int_equal(cooking(), 1);
    ovens_stop(rig.ovens);
    assert_int_equal(rig_figures(&rig).status, OVEN_STOPPED);
    uint64_t before = created();
    for (int i = 1; i < 4; i++)
        take(&callers[i], 60000);
    rig_pass(&rig, 0);
    assert_served(&callers[1]);
    assert_int_equal(callers[2].answers, 0); /* one is being made */
    rig_pass_ms(&rig, 7);
    assert_served(&callers[2]);
    assert_refused(&callers[3], "the oven is stopped");
    take(&callers[3], 60000);
    rig_pass(&rig, 0);
    assert_refused(&callers[3], "the oven is stopped");
    assert_int_equal(created(), before);
}

static void test_stop_answers_those_who_wait_in_vain(void **state)
{
    (void)state;
    rig.memory = 99;
    start();
    struct caller caller;
    take(&caller, 60000);
    rig_pass(&rig, 0);
    ovens_stop(rig.ovens);
    rig_pass(&rig, 0);
    assert_refused(&caller, "the oven is stopped");
}

static void test_destroy_answers_everybody(void **state)
{
    (void)state;
    rig.memory = 99;
    start();
    struct caller callers[6];
    for (int i = 0; i < 6; i++)
        take(&callers[i], 1000);
    ovens_destroy(rig.ovens);
    for (int i = 0; i < 6; i++)
        assert_refused(&callers[i], "the worker is ending");
    /* The roster goes on without it, and another oven takes over what it finds. */
    rig.memory = 50;
    struct runner *runner = roster_cook(rig.roster, "base", &rig.config.spec, NULL);
    roster_cook(rig.roster, "base", &rig.config.spec, NULL);
    engine_fake_advance(rig.fake, 3 * US_PER_MS);
    struct runner *third = roster_cook(rig.roster, "base", &rig.config.spec, NULL);
    engine_fake_advance(rig.fake, 4 * US_PER_MS);
    assert_int_equal(runner->state, RUNNER_AVAILABLE);
    assert_int_equal(third->state, RUNNER_COOKING);
    rig.ovens = ovens_create(rig.roster, &rig.config, rig.clock);
    rig.oven = ovens_find(rig.ovens, "");
    assert_int_equal(rig_figures(&rig).available, 2);
    assert_int_equal(rig_figures(&rig).cooking, 1);
    ovens_destroy(NULL);
}

/* ---- after a restart ---- */

struct journal {
    struct engine_spec specs[8];
    pid_t pids[8];
    unsigned count;
};

static void note(const struct engine_fake_view *view, void *data)
{
    struct journal *journal = data;
    journal->pids[journal->count] = view->init_pid;
    struct engine_spec *spec = &journal->specs[journal->count++];
    *spec = rig.config.spec;
    str_format(spec->name, sizeof(spec->name), "%s", view->name);
    spec->slot = view->slot;
}

static struct runner *adopt(const struct journal *journal, unsigned i, bool kept)
{
    const struct runner_record record = {.name = journal->specs[i].name,
                                         .template_name = "base",
                                         .manager = "",
                                         .owner = "alice",
                                         .kept = kept,
                                         .init_pid = journal->pids[i]};
    return roster_adopt(rig.roster, &journal->specs[i], &record, NULL);
}

static void test_adopted_runners_are_not_cooked_again(void **state)
{
    (void)state;
    rig.config.min_available = 3;
    start_warm();
    struct journal journal = {0};
    engine_fake_each(rig.fake, note, &journal);
    rig_stop(&rig);
    rig_start(&rig);
    struct runner *runners[3];
    for (unsigned i = 0; i < 3; i++)
        runners[i] = adopt(&journal, i, i == 2);
    assert_int_equal(rig_figures(&rig).cooking, 2); /* the kept one is nobody's to give */
    rig_pass(&rig, 0);
    assert_int_equal(cooking(), 1);
    rig_pass_ms(&rig, 10);
    assert_int_equal(rig_figures(&rig).available, 3);
    assert_int_equal(runners[0]->state, RUNNER_AVAILABLE);
    assert_int_equal(runners[2]->state, RUNNER_IN_USE);
    assert_int_equal(rig_figures(&rig).cooked, 1);
    struct caller caller;
    take(&caller, 0);
    rig_pass(&rig, 0);
    assert_served(&caller);
    assert_true(caller.runner->adopted);
}

static void test_adopted_before_the_oven_was_made(void **state)
{
    (void)state;
    start_warm();
    struct journal journal = {0};
    engine_fake_each(rig.fake, note, &journal);
    rig_stop(&rig);
    rig_start(&rig);
    ovens_destroy(rig.ovens);
    adopt(&journal, 0, false);
    adopt(&journal, 1, false);
    engine_fake_advance(rig.fake, 2 * US_PER_MS);
    rig.ovens = ovens_create(rig.roster, &rig.config, rig.clock);
    rig.oven = ovens_find(rig.ovens, "");
    rig.timer = ovens_next_step(rig.ovens);
    rig_pass_ms(&rig, 3);
    assert_int_equal(rig_figures(&rig).available, 2);
    rig_pass_ms(&rig, 100);
    assert_int_equal(engine_fake_count(rig.fake).created, 2);
}

static void test_adopted_runners_that_stay_away(void **state)
{
    (void)state;
    rig_start(&rig);
    struct engine_fake_fate fate = {.ready_us = 7 * US_PER_MS,
                                    .die_us = ENGINE_FAKE_NEVER,
                                    .gone_us = 4 * US_PER_MS,
                                    .return_us = ENGINE_FAKE_NEVER};
    engine_fake_set_fate(rig.fake, &fate);
    rig_pass_ms(&rig, 200);
    struct journal journal = {0};
    engine_fake_each(rig.fake, note, &journal);
    rig_stop(&rig);
    rig_start(&rig);
    adopt(&journal, 0, false);
    adopt(&journal, 1, false);
    rig_pass_ms(&rig, 999);
    assert_int_equal(live(), 2);
    rig_pass_ms(&rig, 200);
    assert_int_equal(rig_figures(&rig).available, 2);
    assert_int_equal(rig_figures(&rig).failed, 0);
    assert_int_equal(live(), 2);
}

/* ---- what callers and observers may do ---- */

struct retrier {
    struct caller caller;
    unsigned times;
};

static void retry(struct runner *runner, const struct err *err, mono_us retry_after_us, void *data)
{
    struct retrier *retrier = data;
    (void)err, (void)retry_after_us;
    assert_null(runner);
    retrier->times++;
    retrier->caller.ticket = oven_take(rig.oven, 0, retry, retrier);
}

static void test_one_who_tries_again_at_once_holds_up_nobody(void **state)
{
    (void)state;
    rig.memory = 99;
    start();
    struct retrier retrier = {0};
    retrier.caller.ticket = oven_take(rig.oven, 0, retry, &retrier);
    ovens_step(rig.ovens, 99);
    assert_int_equal(retrier.times, 1);
    assert_true(ovens_next_step(rig.ovens) <= rig_now(&rig)); /* once more, please */
    ovens_step(rig.ovens, 99);
    assert_int_equal(retrier.times, 2);
    oven_cancel(retrier.caller.ticket);
    ovens_step(rig.ovens, 99);
    assert_int_equal(retrier.times, 2);
}

struct meddler {
    struct caller *victim;
    struct caller *next;
    struct runner *runner;
};

static void meddle(struct runner *runner, const struct err *err, mono_us retry_after_us, void *data)
{
    struct meddler *meddler = data;
    (void)err, (void)retry_after_us;
    meddler->runner = runner;
    oven_cancel(meddler->victim->ticket);
    ovens_step(rig.ovens, 50); /* nothing: the oven is at it */
    runner_destroy(runner);
    runner_destroy(a_warm_one());
    take(meddler->next, 1000);
}

static void test_a_caller_may_do_anything_inside_done(void **state)
{
    (void)state;
    rig.config.min_available = 3;
    start_warm();
    struct caller victim, third, next;
    struct meddler meddler = {.victim = &victim, .next = &next};
    oven_take(rig.oven, 0, meddle, &meddler);
    take(&victim, 0);
    take(&third, 0);
    rig_pass(&rig, 0);
    assert_non_null(meddler.runner);
    assert_int_equal(victim.answers, 0);
    assert_served(&third);
    rig_pass_ms(&rig, 7);
    assert_served(&next);
}

static void destroy_oven(void *data)
{
    (void)data;
    ovens_destroy(rig.ovens);
}

static void end_it(struct runner *runner, const struct err *err, mono_us retry_after_us, void *data)
{
    (void)runner, (void)err, (void)retry_after_us;
    *(bool *)data = aborts(destroy_oven, NULL);
}

static void test_the_oven_is_not_destroyed_inside_done(void **state)
{
    (void)state;
    start_warm();
    bool aborted = false;
    oven_take(rig.oven, 0, end_it, &aborted);
    rig_pass(&rig, 0);
    assert_true(aborted);
}

struct spoiler {
    enum runner_state to;
    unsigned left;
    struct oven_ticket *ticket; /* cancelled too, unless NULL */
};

static void spoil(struct runner *runner, enum runner_state from, void *data)
{
    struct spoiler *spoiler = data;
    (void)from;
    if (runner->state != spoiler->to || spoiler->left == 0)
        return;
    spoiler->left--;
    if (spoiler->ticket)
        oven_cancel(spoiler->ticket);
    else
        runner_destroy(runner);
}

static void test_an_observer_that_destroys_the_taken(void **state)
{
    (void)state;
    start_warm();
    struct spoiler spoiler = {.to = RUNNER_IN_USE, .left = 1};
    roster_observe(rig.roster, spoil, &spoiler);
    struct caller caller;
    take(&caller, 0);
    rig_pass(&rig, 0);
    assert_served(&caller); /* the next warm one */
    assert_int_equal(caller.runner->spec.slot, 1);
}

static void test_an_observer_that_cancels_the_taker(void **state)
{
    (void)state;
    start_warm();
    struct caller caller;
    take(&caller, 0);
    struct spoiler spoiler = {.to = RUNNER_IN_USE, .left = 1, .ticket = caller.ticket};
    roster_observe(rig.roster, spoil, &spoiler);
    rig_pass(&rig, 0);
    assert_int_equal(caller.answers, 0);
    assert_int_equal(roster_count(rig.roster, RUNNER_IN_USE), 0);
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_figures(&rig).available, 2);
}

static void step_when_available(struct runner *runner, enum runner_state from, void *data)
{
    (void)from, (void)data;
    if (runner->state == RUNNER_AVAILABLE)
        ovens_step(rig.ovens, 50);
}

static void test_an_observer_that_steps(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    start();
    roster_observe(rig.roster, step_when_available, NULL);
    struct caller callers[3];
    for (int i = 0; i < 3; i++)
        take(&callers[i], 1000);
    rig_pass_ms(&rig, 20);
    for (int i = 0; i < 3; i++)
        assert_served(&callers[i]);
}

static void test_a_template_without_a_name(void **state)
{
    (void)state;
    rig.config.template.name = "No Name";
    start();
    struct caller caller;
    take(&caller, 60000);
    rig_pass_ms(&rig, 100 + 200);
    assert_refused(&caller, "template: not a name");
    assert_int_equal(rig_figures(&rig).status, OVEN_BACKING_OFF);
}

static void test_an_observer_that_destroys_what_begins_to_cook(void **state)
{
    (void)state;
    rig.config.min_available = 1;
    rig_start(&rig);
    struct spoiler spoiler = {.to = RUNNER_COOKING, .left = 5};
    /* It hears of each before the oven does, and the oven is told of the first only when it is
     * FREEING already.
     */
    struct ovens *ovens = rig.ovens;
    roster_observe(rig.roster, spoil, &spoiler);
    ovens_destroy(ovens);
    rig.ovens = ovens_create(rig.roster, &rig.config, rig.clock);
    rig.oven = ovens_find(rig.ovens, "");
    rig.timer = ovens_next_step(rig.ovens);
    rig_pass_ms(&rig, 100);
    assert_int_equal(spoiler.left, 0);
    assert_int_equal(rig_figures(&rig).available, 1);
    assert_int_equal(live(), 1);
}

static void test_status_names(void **state)
{
    (void)state;
    rig_start(&rig);
    static const char *const names[] = {"idle",   "cooking",  "full",    "memory", "backingOff",
                                        "paused", "draining", "drained", "stopped"};
    for (int i = 0; i < 9; i++)
        assert_string_equal(oven_status_name((enum oven_status)i), names[i]);
    assert_string_equal(oven_status_name((enum oven_status)9), "unknown");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(nothing_is_cooked_before_the_memory_is_known),
        T(fills_to_the_minimum_when_memory_is_scarce),
        T(fills_to_the_maximum_below_the_memory_target),
        T(stops_filling_at_the_memory_target),
        T(never_cooks_above_the_ceiling),
        T(all_states_count_for_the_maximum),
        T(refills_the_moment_one_is_taken),
        T(another_template_is_not_its_business),
        T(the_oldest_goes_first),
        T(no_deadline_means_no_waiting),
        T(a_runner_that_dies_before_the_step_is_not_handed_out),
        T(callers_who_wait_are_cooked_for_at_once),
        T(nobody_is_overtaken),
        T(the_queue_is_bounded),
        T(no_queue_at_all),
        T(deadlines_pass_in_any_order),
        T(cancelled_callers_are_not_answered),
        T(the_target_follows_demand),
        T(the_target_is_bounded),
        T(a_start_that_never_ends_is_a_failure),
        T(pauses_double_up_to_a_bound),
        T(those_that_fail_together_make_one_pause),
        T(one_success_resets),
        T(a_broken_template_answers_at_once),
        T(callers_wait_through_a_failure),
        T(a_failing_oven_still_hands_out_what_is_warm),
        T(a_warm_runner_that_dies_is_replaced_at_once),
        T(runners_that_die_after_hello_make_it_pause),
        T(runners_taken_make_up_for_those_that_died),
        T(one_destroyed_on_request_is_no_failure),
        T(a_stopped_oven_gives_what_it_has),
        T(stop_answers_those_who_wait_in_vain),
        T(destroy_answers_everybody),
        T(adopted_runners_are_not_cooked_again),
        T(adopted_before_the_oven_was_made),
        T(adopted_runners_that_stay_away),
        T(one_who_tries_again_at_once_holds_up_nobody),
        T(a_caller_may_do_anything_inside_done),
        T(the_oven_is_not_destroyed_inside_done),
        T(an_observer_that_destroys_the_taken),
        T(an_observer_that_cancels_the_taker),
        T(an_observer_that_steps),
        T(a_template_without_a_name),
        T(an_observer_that_destroys_what_begins_to_cook),
        T(status_names),
    };
    return cmocka_run_group_tests_name("oven", tests, NULL, NULL);
}
