/* The ovens of several templates and what they share, over engine_fake: a runner cooks in 7 ms and
 * is gone 4 ms after it is destroyed. Memory is at 50 %, so nothing is cooked to spare.
 */
#include "../../../src/worker/ovens.h"

#include "../../../src/common/log.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "aborts.h"
#include "oven_rig.h"

#include <string.h>

static struct rig rig;

struct caller {
    struct oven_ticket *ticket;
    struct runner *runner;
    int answers, place;
    char msg[240];
};

static int answered;

static void on_done(struct runner *runner, const struct err *err, mono_us retry_after_us,
                    void *data)
{
    struct caller *caller = data;
    (void)retry_after_us;
    caller->answers++;
    caller->place = ++answered;
    caller->runner = runner;
    if (!runner)
        str_format(caller->msg, sizeof(caller->msg), "%s", err->msg);
}

static void take_ms(struct caller *caller, const char *name, int64_t wait_ms)
{
    struct oven *oven = ovens_find(rig.ovens, name);
    assert_non_null(oven);
    *caller = (struct caller){0};
    caller->ticket =
        oven_take(oven, wait_ms ? rig_now(&rig) + wait_ms * US_PER_MS : 0, on_done, caller);
}

static void take(struct caller *caller, const char *name)
{
    take_ms(caller, name, 10000);
}

static void assert_served(const struct caller *caller, const char *name)
{
    assert_int_equal(caller->answers, 1);
    if (!caller->runner)
        fail_msg("refused: %s", caller->msg);
    assert_string_equal(caller->runner->template_name, name);
}

static void assert_refused(const struct caller *caller, const char *words)
{
    assert_int_equal(caller->answers, 1);
    assert_null(caller->runner);
    assert_contains(caller->msg, words);
}

static struct oven_figures of(const char *name)
{
    struct oven_figures figures;
    oven_get_figures(ovens_find(rig.ovens, name), &figures);
    return figures;
}

static struct oven *put(const char *name, int64_t stamp)
{
    struct err err;
    char rootfs[100];
    str_format(rootfs, sizeof(rootfs), "/templates/%s/rootfs", name);
    const struct oven_template template = {.name = name, .rootfs = rootfs, .stamp = stamp};
    struct oven *oven = ovens_put(rig.ovens, &template, &err);
    if (!oven)
        fail_msg("%s", err.msg);
    return oven;
}

static void start(void)
{
    rig_start(&rig);
    put("native", 1);
    rig_pass_ms(&rig, 100);
}

static void set(const char *name, void (*change)(struct oven_settings *settings))
{
    struct oven *oven = ovens_find(rig.ovens, name);
    struct oven_settings settings = *oven_get_settings(oven);
    change(&settings);
    oven_set_settings(oven, &settings);
}

static int set_up(void **state)
{
    (void)state;
    rig_defaults(&rig);
    rig.config.linger_us = 60 * (mono_us)US_PER_SEC;
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

/* ---- one beside the other ---- */

static void test_a_template_costs_nothing_until_it_is_used(void **state)
{
    (void)state;
    start();
    assert_int_equal(of("base").available, 2);
    assert_int_equal(of("native").total, 0);
    assert_int_equal(of("native").target, 0);
    assert_int_equal(of("native").status, OVEN_IDLE);
    assert_ptr_equal(ovens_find(rig.ovens, ""), ovens_find(rig.ovens, "base"));
    assert_null(ovens_find(rig.ovens, "jvm"));
}

static void test_each_caller_gets_its_template(void **state)
{
    (void)state;
    start();
    struct caller base, native;
    take(&native, "native");
    take(&base, "base");
    rig_pass_ms(&rig, 20);
    assert_served(&base, "base");
    assert_served(&native, "native");
    assert_string_equal(native.runner->spec.rootfs, "/templates/native/rootfs");
    assert_int_equal(of("native").in_use, 1);
    assert_int_equal(of("base").in_use, 1);
    assert_int_equal(of("base").available, 2);
}

static void test_one_stays_warm_after_use_and_goes_when_idle(void **state)
{
    (void)state;
    start();
    struct caller caller;
    take(&caller, "native");
    rig_pass_ms(&rig, 30);
    assert_served(&caller, "native");
    assert_int_equal(of("native").target, 1);
    assert_int_equal(of("native").available, 1);
    runner_destroy(caller.runner);
    rig_pass_ms(&rig, 50000);
    assert_int_equal(of("native").available, 1);
    rig_pass_ms(&rig, 20000);
    assert_int_equal(of("native").target, 0);
    assert_int_equal(of("native").total, 0);
    assert_int_equal(of("base").available, 2);
}

static void test_the_others_may_have_a_minimum(void **state)
{
    (void)state;
    rig.config.min_available_other = 1;
    start();
    rig_pass_ms(&rig, 200000);
    assert_int_equal(of("native").available, 1);
}

/* ---- room ---- */

static void test_idle_runners_give_way_to_one_who_waits(void **state)
{
    (void)state;
    rig.config.min_available = rig.config.max_runners = 4;
    start();
    assert_int_equal(of("base").available, 4);
    struct caller caller;
    take(&caller, "native");
    rig_pass_ms(&rig, 4 + 7);
    assert_served(&caller, "native");
    assert_int_equal(roster_total(rig.roster), 4);
    /* The rest stays. */
    assert_int_equal(of("base").available, 3);
}

static void test_spare_runners_give_way_to_a_target(void **state)
{
    (void)state;
    rig.memory = 10;
    rig.config.min_available_other = 2;
    start(); /* base has filled all there was before native came */
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("native").available, 2);
    assert_int_equal(of("base").available, 6);
    /* A target takes nothing of another's. */
    rig.config.min_available = 0;
    put("jvm", 1);
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("jvm").available, 2);
    assert_int_equal(of("native").available, 2);
    assert_int_equal(of("base").available, 4);
}

static void test_those_who_wait_do_not_lose_what_they_will_get(void **state)
{
    (void)state;
    rig.config.max_runners = 2;
    rig.config.min_available = 2;
    start();
    struct caller base[2], native;
    /* Both are as good as taken. */
    take(&base[0], "base");
    take(&base[1], "base");
    take(&native, "native");
    rig_pass_ms(&rig, 50);
    assert_served(&base[0], "base");
    assert_served(&base[1], "base");
    assert_int_equal(native.answers, 0);
    runner_destroy(base[0].runner);
    rig_pass_ms(&rig, 20);
    assert_served(&native, "native");
}

static void test_room_is_shared_in_turns(void **state)
{
    (void)state;
    rig.config.max_runners = 2;
    rig.config.min_available = 0;
    rig.config.queue_length = 64;
    start();
    struct caller base[10], native[10];
    for (int i = 0; i < 10; i++)
        take(&base[i], "base");
    for (int i = 0; i < 10; i++)
        take(&native[i], "native");
    unsigned base_served = 0, native_served = 0;
    for (int turn = 0; turn < 10; turn++) {
        rig_pass_ms(&rig, 20);
        for (int i = 0; i < 10; i++) {
            struct caller *callers[] = {&base[i], &native[i]};
            for (int k = 0; k < 2; k++) {
                if (!callers[k]->runner)
                    continue;
                *(k ? &native_served : &base_served) += 1;
                runner_destroy(callers[k]->runner);
                callers[k]->runner = NULL;
            }
        }
        /* The first two found nobody else there. */
        assert_in_range(base_served + 2, native_served, native_served + 4);
    }
    assert_int_equal(base_served, 10);
    assert_int_equal(native_served, 10);
}

static void test_scarce_memory_makes_idle_runners_give_way(void **state)
{
    (void)state;
    rig.config.min_available = 5;
    start();
    struct caller caller;
    rig_memory(&rig, 95);
    take(&caller, "native");
    rig_pass_ms(&rig, 500);
    /* One is lacking, so one went; more only when that has brought nothing. */
    assert_int_equal(of("base").available, 4);
    rig_memory(&rig, 95);
    assert_int_equal(of("base").available, 4);
    rig_pass_ms(&rig, 1000);
    rig_memory(&rig, 95);
    assert_int_equal(of("base").available, 3);
    assert_int_equal(caller.answers, 0);
    rig_memory(&rig, 85);
    rig_pass_ms(&rig, 20);
    assert_served(&caller, "native");
}

/* ---- starts and the queue ---- */

static void hang_native(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                        void *data)
{
    (void)nth, (void)data;
    if (strstr(spec->rootfs, "native"))
        fate->ready_us = ENGINE_FAKE_NEVER;
}

static void test_a_template_that_hangs_holds_the_others_up_for_a_moment(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    rig.config.cook_timeout_us = 20 * (mono_us)US_PER_SEC;
    start();
    engine_fake_on_create(rig.fake, hang_native, NULL);
    static struct caller native[2], base; /* some wait to the end */
    take_ms(&native[0], "native", 60000);
    take_ms(&native[1], "native", 60000);
    take(&base, "base");
    rig_pass_ms(&rig, 1500);
    assert_int_equal(of("native").cooking, 2);
    assert_int_equal(of("base").cooking, 0);
    rig_pass_ms(&rig, 1000);
    assert_served(&base, "base");
    assert_int_equal(of("native").cooking, 2);
}

static void fail_native(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                        void *data)
{
    (void)nth, (void)data;
    if (strstr(spec->rootfs, "native"))
        fate->die_us = US_PER_MS;
}

static void test_a_broken_template_pauses_alone(void **state)
{
    (void)state;
    start();
    engine_fake_on_create(rig.fake, fail_native, NULL);
    struct caller native, base[3];
    take(&native, "native");
    rig_pass_ms(&rig, 2000);
    assert_refused(&native, "runners fail");
    assert_int_equal(of("native").status, OVEN_BACKING_OFF);
    for (int i = 0; i < 3; i++)
        take(&base[i], "base");
    rig_pass_ms(&rig, 20);
    for (int i = 0; i < 3; i++)
        assert_served(&base[i], "base");
    assert_string_equal(of("base").message, "");
}

static void test_the_queue_is_bounded_in_all_and_leaves_room_for_each(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    rig.config.queue_length = 16;
    rig.memory = 99; /* nothing is cooked */
    start();
    struct caller base[20], native[20];
    for (int i = 0; i < 20; i++)
        take(&base[i], "base");
    rig_pass(&rig, 0);
    /* A quarter in two equal parts: two places are native's. */
    assert_int_equal(of("base").waiting, 14);
    for (int i = 0; i < 20; i++)
        assert_int_equal(base[i].answers, i >= 14);
    assert_refused(&base[14], "14 runs wait for a runner already (oven.queue_length)");
    for (int i = 0; i < 20; i++)
        take(&native[i], "native");
    rig_pass(&rig, 0);
    assert_int_equal(of("native").waiting, 2);
    rig_pass_ms(&rig, 10000);
    assert_int_equal(of("base").waiting + of("native").waiting, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(native[i].answers, 1);
}

static void test_order_is_kept_within_a_template(void **state)
{
    (void)state;
    rig.config.min_available = 0;
    start();
    struct caller callers[4];
    for (int i = 0; i < 4; i++)
        take(&callers[i], i % 2 ? "native" : "base");
    rig_pass_ms(&rig, 50);
    for (int i = 0; i < 4; i++)
        assert_served(&callers[i], i % 2 ? "native" : "base");
    assert_true(callers[0].place < callers[2].place);
    assert_true(callers[1].place < callers[3].place);
}

/* ---- templates that come, change and go ---- */

static void test_another_build_replaces_what_is_idle(void **state)
{
    (void)state;
    rig.config.min_available_other = 2;
    start();
    struct caller used, fresh;
    take(&used, "native");
    rig_pass_ms(&rig, 20);
    assert_served(&used, "native");
    const struct oven *oven = ovens_find(rig.ovens, "native");
    assert_ptr_equal(put("native", 1), oven); /* the same build: nothing happens */
    assert_int_equal(of("native").available, 2);
    assert_ptr_equal(put("native", 2), oven);
    assert_int_equal(of("native").available, 0);
    take(&fresh, "native");
    rig_pass_ms(&rig, 50);
    assert_served(&fresh, "native");
    assert_int_equal(fresh.runner->spec.rootfs_stamp, 2);
    assert_int_equal(used.runner->state, RUNNER_IN_USE); /* it goes on with the earlier one */
    assert_int_equal(used.runner->spec.rootfs_stamp, 1);
    assert_int_equal(of("native").available, 2);
}

static void test_another_build_ends_the_pause_of_a_broken_one(void **state)
{
    (void)state;
    rig.config.backoff_max_us = 60 * (mono_us)US_PER_SEC;
    start();
    engine_fake_on_create(rig.fake, fail_native, NULL);
    struct caller caller;
    take(&caller, "native");
    rig_pass_ms(&rig, 5000);
    assert_refused(&caller, "runners fail");
    engine_fake_on_create(rig.fake, NULL, NULL);
    put("native", 2);
    take(&caller, "native");
    rig_pass_ms(&rig, 10);
    assert_served(&caller, "native");
    assert_string_equal(of("native").message, "");
}

static void test_removed_while_callers_wait(void **state)
{
    (void)state;
    rig.config.min_available_other = 1;
    start();
    struct caller used, waiting;
    take(&used, "native");
    rig_pass_ms(&rig, 20);
    assert_served(&used, "native");
    rig_memory(&rig, 99);
    take(&waiting, "native");
    rig_pass(&rig, 0);
    assert_served(&waiting, "native");
    take(&waiting, "native");
    ovens_remove(rig.ovens, ovens_find(rig.ovens, "native"));
    assert_refused(&waiting, "the template was removed");
    assert_null(ovens_find(rig.ovens, "native"));
    rig_memory(&rig, 50);
    rig_pass_ms(&rig, 50);
    assert_int_equal(used.runner->state, RUNNER_IN_USE);
    assert_int_equal(roster_count(rig.roster, RUNNER_AVAILABLE), 2); /* base's */
    runner_destroy(used.runner);
    rig_pass_ms(&rig, 50);
    put("native", 3);
    rig_pass_ms(&rig, 50);
    assert_int_equal(of("native").available, 1);
    assert_int_equal(of("native").in_use, 1); /* the second caller's, counted again */
}

static void test_the_default_template_stays(void **state)
{
    (void)state;
    start();
    ovens_remove(rig.ovens, ovens_find(rig.ovens, "base"));
    assert_non_null(ovens_find(rig.ovens, "base"));
}

static void test_not_more_than_there_may_be(void **state)
{
    (void)state;
    start();
    struct err err;
    char name[20];
    for (int i = 2; i < OVENS_MAX; i++) {
        str_format(name, sizeof(name), "t%d", i);
        put(name, 1);
    }
    const struct oven_template more = {.name = "more", .rootfs = "/more", .stamp = 1};
    assert_null(ovens_put(rig.ovens, &more, &err));
    assert_contains(err.msg, "there are 32 templates already");
    const struct oven_template wrong = {.name = "No Name", .rootfs = "/more", .stamp = 1};
    assert_null(ovens_put(rig.ovens, &wrong, &err));
    assert_contains(err.msg, "template: not a name");
}

static void remove_zombie(const char *name, void *data)
{
    (void)data;
    struct engine *engine = roster_engine(rig.roster);
    struct err err;
    assert_ok(engine->ops->remove_zombie(engine, name, &err), err);
}

static void test_adopted_runners_of_an_earlier_build_are_not_handed_out(void **state)
{
    (void)state;
    rig.config.min_available_other = 1;
    start();
    struct caller caller;
    take(&caller, "native");
    rig_pass_ms(&rig, 50);
    struct engine_spec warm = {0}, kept = caller.runner->spec;
    struct err err;
    assert_ok(runner_keep(caller.runner, "demo", "ann", &err), err);
    pid_t pids[2] = {0, roster_engine(rig.roster)->ops->init_pid(caller.runner->handle)};
    take(&caller, "native"); /* to see which one is warm */
    rig_pass(&rig, 0);
    warm = caller.runner->spec;
    pids[0] = roster_engine(rig.roster)->ops->init_pid(caller.runner->handle);
    rig_stop(&rig);
    rig_start(&rig);
    put("native", 2);
    warm.rootfs = kept.rootfs = "/templates/native/rootfs";
    const struct runner_record warm_record = {.name = warm.name,
                                              .template_name = "native",
                                              .manager = "",
                                              .owner = "",
                                              .init_pid = pids[0]};
    const struct runner_record kept_record = {.name = "demo",
                                              .template_name = "native",
                                              .manager = "",
                                              .owner = "ann",
                                              .kept = true,
                                              .operations = 1,
                                              .init_pid = pids[1]};
    assert_non_null(roster_adopt(rig.roster, &warm, &warm_record, &err));
    assert_non_null(roster_adopt(rig.roster, &kept, &kept_record, &err));
    roster_engine(rig.roster)->ops->zombies(roster_engine(rig.roster), remove_zombie, NULL);
    assert_int_equal(roster_find(rig.roster, "", warm.name)->state, RUNNER_FREEING);
    rig_pass_ms(&rig, 100);
    assert_null(roster_find(rig.roster, "", warm.name));
    assert_int_equal(roster_find(rig.roster, "", "demo")->state, RUNNER_IN_USE);
    assert_int_equal(of("native").available, 1);
    assert_int_equal(of("native").in_use, 1);
}

/* ---- what an admin may set ---- */

static void pause_it(struct oven_settings *settings)
{
    settings->mode = OVEN_IS_PAUSED;
}

static void drain_it(struct oven_settings *settings)
{
    settings->mode = OVEN_IS_DRAINED;
}

static void resume_it(struct oven_settings *settings)
{
    settings->mode = OVEN_COOKS;
}

static void five_at_least(struct oven_settings *settings)
{
    settings->min_available = 5;
}

static void three_at_most(struct oven_settings *settings)
{
    settings->max_runners = 3;
}

static void test_paused_it_hands_out_what_is_warm(void **state)
{
    (void)state;
    start();
    set("base", pause_it);
    assert_int_equal(of("base").status, OVEN_PAUSED);
    struct caller callers[3], other;
    for (int i = 0; i < 3; i++)
        take(&callers[i], "base");
    take(&other, "native");
    rig_pass_ms(&rig, 100);
    assert_served(&callers[0], "base");
    assert_served(&callers[1], "base");
    assert_refused(&callers[2], "the oven of template base is paused");
    assert_served(&other, "native");
    assert_int_equal(of("base").available + of("base").cooking, 0);
    set("base", resume_it);
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("base").available, 2);
    assert_int_equal(of("base").status, OVEN_IDLE);
}

static void test_drained_it_hands_out_nothing(void **state)
{
    (void)state;
    start();
    struct caller used, caller;
    take(&used, "base");
    rig_pass(&rig, 0);
    set("base", drain_it);
    assert_int_equal(of("base").available + of("base").cooking, 0);
    take(&caller, "base");
    rig_pass_ms(&rig, 100);
    assert_refused(&caller, "the oven of template base is drained");
    assert_int_equal(of("base").status, OVEN_DRAINING);
    runner_destroy(used.runner);
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("base").status, OVEN_DRAINED);
    assert_int_equal(of("base").total, 0);
    set("base", resume_it);
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("base").available, 2);
}

static void test_targets_and_bounds_of_one_template(void **state)
{
    (void)state;
    start();
    set("native", five_at_least);
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("native").available, 5);
    set("native", three_at_most);
    rig_pass_ms(&rig, 100);
    assert_int_equal(of("native").available, 3);
    assert_int_equal(of("native").total, 3);
    struct caller callers[4];
    for (int i = 0; i < 4; i++)
        take_ms(&callers[i], "native", 1000);
    rig_pass_ms(&rig, 2000);
    for (int i = 0; i < 3; i++)
        assert_served(&callers[i], "native");
    assert_refused(&callers[3], "all 3 that maxRunners of template native allows are in use");
    assert_int_equal(of("base").available, 2);
}

static struct oven *inside;

static void remove_inside(struct runner *runner, const struct err *err, mono_us retry_after_us,
                          void *data)
{
    (void)runner, (void)err, (void)retry_after_us, (void)data;
    ovens_remove(rig.ovens, inside);
}

static void take_and_step(void *data)
{
    (void)data;
    oven_take(rig.oven, 0, remove_inside, NULL);
    ovens_step(rig.ovens, 50);
}

static void test_no_oven_is_removed_inside_done(void **state)
{
    (void)state;
    start();
    inside = ovens_find(rig.ovens, "native");
    assert_true(aborts(take_and_step, NULL));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_template_costs_nothing_until_it_is_used),
        T(each_caller_gets_its_template),
        T(one_stays_warm_after_use_and_goes_when_idle),
        T(the_others_may_have_a_minimum),
        T(idle_runners_give_way_to_one_who_waits),
        T(spare_runners_give_way_to_a_target),
        T(those_who_wait_do_not_lose_what_they_will_get),
        T(room_is_shared_in_turns),
        T(scarce_memory_makes_idle_runners_give_way),
        T(a_template_that_hangs_holds_the_others_up_for_a_moment),
        T(a_broken_template_pauses_alone),
        T(the_queue_is_bounded_in_all_and_leaves_room_for_each),
        T(order_is_kept_within_a_template),
        T(another_build_replaces_what_is_idle),
        T(another_build_ends_the_pause_of_a_broken_one),
        T(removed_while_callers_wait),
        T(the_default_template_stays),
        T(not_more_than_there_may_be),
        T(adopted_runners_of_an_earlier_build_are_not_handed_out),
        T(paused_it_hands_out_what_is_warm),
        T(drained_it_hands_out_nothing),
        T(targets_and_bounds_of_one_template),
        T(no_oven_is_removed_inside_done),
    };
    return cmocka_run_group_tests_name("ovens", tests, NULL, NULL);
}
