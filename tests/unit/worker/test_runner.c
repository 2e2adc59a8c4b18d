/* Runners and their roster, over engine_fake. */
#include "../../../src/worker/runner.h"

#include "../../../src/common/log.h"
#include "../../../src/common/str.h"
#include "../../../src/worker/engine_fake.h"
#include "../../support/cm.h"
#include "aborts.h"

#include <stdlib.h>

#define MOST 4

static struct engine_fake *fake;
static struct roster *roster;
static struct err err;

static const struct engine_spec spec = {
    .rootfs = "/templates/base/rootfs",
    .limits = {.memory_bytes = 1 << 28, .processes = 64, .cpu_percent = 100},
    .disk_bytes = 1 << 20,
    .disk_inodes = 1000,
};

/* What an observer heard, as "name:from>state" with the state that it saw. */
struct heard {
    char text[1000];
    size_t len;
};

static void hear(struct runner *runner, enum runner_state from, void *data)
{
    struct heard *heard = data;
    int len = snprintf(heard->text + heard->len, sizeof(heard->text) - heard->len, "%s>%s ",
                       runner_state_name(from), runner_state_name(runner->state));
    assert_true(len > 0 && heard->len + (size_t)len < sizeof(heard->text));
    heard->len += (size_t)len;
}

static struct heard heard_all;

static int set_up(void **state)
{
    (void)state;
    fake = engine_fake_create();
    roster = roster_create(engine_fake_attach(fake), engine_fake_clock(fake), MOST);
    heard_all = (struct heard){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    roster_destroy(roster);
    engine_fake_destroy(fake);
    return 0;
}

static struct runner *cook(void)
{
    struct runner *runner = roster_cook(roster, "base", &spec, &err);
    if (!runner)
        fail_msg("roster_cook: %s", err.msg);
    return runner;
}

static void pass_ms(int64_t ms)
{
    engine_fake_advance(fake, ms * US_PER_MS);
}

static struct runner *cook_warm(void)
{
    struct runner *runner = cook();
    pass_ms(7);
    assert_int_equal(runner->state, RUNNER_AVAILABLE);
    return runner;
}

static struct runner *cook_taken(void)
{
    struct runner *runner = cook_warm();
    runner_take(runner);
    return runner;
}

static void test_from_cooking_to_gone(void **state)
{
    (void)state;
    roster_observe(roster, hear, &heard_all);
    struct runner *runner = cook();
    assert_int_equal(runner->state, RUNNER_COOKING);
    assert_int_equal(runner->cook_us, 0);
    assert_true(str_starts_with(runner->name, "cr-"));
    assert_string_equal(runner->name, runner->spec.name);
    assert_string_equal(runner->template_name, "base");
    assert_string_equal(runner->spec.rootfs, spec.rootfs);
    assert_ptr_not_equal(runner->spec.rootfs, spec.rootfs);
    assert_int_equal(runner->spec.limits.processes, 64);
    assert_non_null(runner->handle);
    assert_false(runner->adopted);
    assert_false(runner->kept);
    assert_ptr_equal(roster_find(roster, "", runner->name), runner);

    pass_ms(7);
    assert_int_equal(runner->state, RUNNER_AVAILABLE);
    assert_int_equal(runner->cook_us, 7 * US_PER_MS);
    assert_int_equal(runner->since, clock_now(engine_fake_clock(fake)));
    runner_take(runner);
    pass_ms(1);
    runner_destroy(runner);
    runner_destroy(runner); /* changes nothing */
    assert_int_equal(runner->history_len, 4);
    assert_int_equal(runner->history[0].state, RUNNER_COOKING);
    assert_int_equal(runner->history[3].state, RUNNER_FREEING);
    assert_true(runner->history[0].wall_ms == runner->started_wall_ms);
    assert_true(runner->history[3].wall_ms == runner->since_wall_ms);
    char name[NAME_MAX_LEN + 1];
    strcpy(name, runner->name);
    pass_ms(4);
    assert_null(roster_find(roster, "", name));
    assert_int_equal(roster_total(roster), 0);
    assert_string_equal(heard_all.text, "cooking>cooking cooking>available available>inUse "
                                        "inUse>freeing freeing>gone ");
}

static void test_counts(void **state)
{
    (void)state;
    cook_taken();
    struct runner *freeing = cook_warm();
    cook_warm();
    cook();
    runner_destroy(freeing);
    assert_int_equal(roster_count(roster, RUNNER_COOKING), 1);
    assert_int_equal(roster_count(roster, RUNNER_AVAILABLE), 1);
    assert_int_equal(roster_count(roster, RUNNER_IN_USE), 1);
    assert_int_equal(roster_count(roster, RUNNER_FREEING), 1);
    assert_int_equal(roster_total(roster), 4);
    pass_ms(10);
    assert_int_equal(roster_count(roster, RUNNER_GONE), 0);
    assert_int_equal(roster_total(roster), 3);
    assert_int_equal(roster_max(roster), MOST);
    assert_ptr_equal(roster_engine(roster)->events != NULL, true);
}

static void test_never_more_than_the_maximum(void **state)
{
    (void)state;
    struct runner *first = cook_warm();
    for (int i = 1; i < MOST; i++)
        cook();
    assert_null(roster_cook(roster, "base", &spec, &err));
    assert_int_equal(err.code, ERR_NOT_AVAILABLE);
    assert_contains(err.msg, "oven.max_runners");
    runner_destroy(first);
    assert_null(roster_cook(roster, "base", &spec, &err)); /* it is still there */
    pass_ms(4);
    cook();
    assert_null(roster_cook(roster, "base", &spec, NULL));
}

static void test_a_template_needs_a_name(void **state)
{
    (void)state;
    assert_null(roster_cook(roster, "../base", &spec, &err));
    assert_int_equal(err.code, ERR_BAD_REQUEST);
}

static void test_slots_are_reused_when_gone_and_lowest_first(void **state)
{
    (void)state;
    struct runner *a = cook(), *b = cook(), *c = cook();
    assert_int_equal(a->spec.slot, 0);
    assert_int_equal(b->spec.slot, 1);
    assert_int_equal(c->spec.slot, 2);
    pass_ms(7);
    runner_destroy(b);
    runner_destroy(a);
    struct runner *d = cook();
    assert_int_equal(d->spec.slot, 3);
    pass_ms(4);
    assert_int_equal(cook()->spec.slot, 0);
    assert_int_equal(cook()->spec.slot, 1);
}

struct death {
    int told;
    char msg[240]; /* "" when on request */
};

static void hear_death(struct runner *runner, enum runner_state from, void *data)
{
    struct death *death = data;
    (void)from;
    const struct err *why = roster_death(runner->roster);
    if (runner->state != RUNNER_GONE) {
        assert_null(why);
        return;
    }
    assert_null(runner->handle);
    death->told++;
    str_format(death->msg, sizeof(death->msg), "%s", why ? why->msg : "");
}

static void test_why_it_died(void **state)
{
    (void)state;
    struct death death = {0};
    roster_observe(roster, hear_death, &death);
    engine_fake_kill(fake, cook_taken()->name);
    pass_ms(1);
    assert_int_equal(death.told, 1);
    assert_contains(death.msg, "signal 9");
    assert_null(roster_death(roster));

    runner_destroy(cook_taken());
    pass_ms(10);
    assert_int_equal(death.told, 2);
    assert_string_equal(death.msg, "");

    struct runner *failing = cook();
    engine_fake_kill(fake, failing->name);
    pass_ms(1);
    assert_int_equal(death.told, 3);
    assert_contains(death.msg, "did not start");

    /* An engine that cannot say why. */
    roster_engine(roster)->events->gone(cook_warm(), NULL);
    assert_int_equal(death.told, 4);
    assert_string_equal(death.msg, "the container ended");
}

static void test_ready_is_too_late_after_destroy(void **state)
{
    (void)state;
    struct runner *runner = cook();
    runner_destroy(runner);
    roster_engine(roster)->events->ready(runner);
    assert_int_equal(runner->state, RUNNER_FREEING);
}

static void take(void *data)
{
    runner_take(data);
}

static void say_ready(void *data)
{
    struct runner *runner = data;
    roster_engine(roster)->events->ready(runner);
}

static void test_illegal_moves_abort(void **state)
{
    (void)state;
    struct runner *runner = cook();
    assert_true(aborts(take, runner));
    pass_ms(7);
    assert_true(aborts(say_ready, runner));
    runner_take(runner);
    assert_true(aborts(take, runner));
    runner_destroy(runner);
    assert_true(aborts(take, runner));
}

static void test_keep_gives_a_name(void **state)
{
    (void)state;
    struct runner *runner = cook_taken();
    char own[NAME_MAX_LEN + 1];
    strcpy(own, runner->name);
    assert_ok(runner_keep(runner, "demo", "alice", &err), err);
    assert_true(runner->kept);
    assert_string_equal(runner->owner, "alice");
    assert_string_equal(runner->name, "demo");
    assert_string_equal(runner->spec.name, own);
    assert_ptr_equal(roster_find(roster, "", "demo"), runner);
    assert_null(roster_find(roster, "", own));

    /* Again: its earlier name is free, its own is still its own. */
    assert_ok(runner_keep(runner, "other", "bob", &err), err);
    assert_null(roster_find(roster, "", "demo"));
    assert_ok(runner_keep(runner, "other", "bob", &err), err);
    assert_ok(runner_keep(runner, NULL, "bob", &err), err);
    assert_ptr_equal(roster_find(roster, "", own), runner);
    assert_null(roster_find(roster, "", "other"));
    assert_ok(runner_keep(runner, "demo", runner->owner, &err), err);

    runner_destroy(runner);
    assert_ptr_equal(roster_find(roster, "", "demo"), runner);
    pass_ms(4);
    assert_null(roster_find(roster, "", "demo"));
    assert_ok(runner_keep(cook_taken(), "demo", "carol", &err), err);
}

static void test_keep_refuses_a_name_in_use(void **state)
{
    (void)state;
    struct runner *a = cook_taken(), *b = cook_taken();
    struct runner *cooking = cook();
    assert_ok(runner_keep(a, "demo", "alice", &err), err);
    assert_fails(runner_keep(b, "demo", "bob", &err), err, ERR_NAME_TAKEN, "demo");
    assert_fails(runner_keep(b, cooking->name, "bob", &err), err, ERR_NAME_TAKEN, cooking->name);
    /* The container is still called so, though callers do not see that name any more. */
    assert_fails(runner_keep(b, a->spec.name, "bob", &err), err, ERR_NAME_TAKEN, a->spec.name);
    runner_destroy(a);
    assert_fails(runner_keep(b, "demo", "bob", &err), err, ERR_NAME_TAKEN, "demo");
    assert_false(b->kept);
    assert_string_equal(b->owner, "");
    assert_string_equal(b->name, b->spec.name);
    pass_ms(4);
    assert_ok(runner_keep(b, "demo", "bob", &err), err);
}

static void test_keep_checks_what_it_is_given(void **state)
{
    (void)state;
    struct runner *runner = cook_warm();
    assert_fails(runner_keep(runner, "demo", "alice", &err), err, ERR_RUNNER_NOT_FOUND,
                 "available");
    runner_take(runner);
    static const char *const bad[] = {
        "",    "Demo",  "1st",  "a/b",
        "a b", "../up", "ab\n", "abcdefghijklmnopqrstuvwxyz0123456789abcdef" /* 42 */,
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_fails(runner_keep(runner, bad[i], "alice", &err), err, ERR_BAD_REQUEST, "name");
    char owner[RUNNER_OWNER_MAX + 2];
    memset(owner, 'o', sizeof(owner));
    owner[RUNNER_OWNER_MAX + 1] = '\0';
    assert_fails(runner_keep(runner, "demo", owner, &err), err, ERR_BAD_REQUEST, "owner");
    owner[RUNNER_OWNER_MAX] = '\0';
    assert_ok(runner_keep(runner, "abcdefghijklmnopqrstuvwxyz0123456789abcde", owner, &err), err);
}

static struct engine_spec old_spec(const char *name, unsigned slot)
{
    struct engine_spec old = spec;
    str_format(old.name, sizeof(old.name), "%s", name);
    old.slot = slot;
    return old;
}

static struct runner *adopt(const char *container, unsigned slot, const char *name, bool kept,
                            uint32_t operations)
{
    struct engine_spec old = old_spec(container, slot);
    const struct runner_record record = {.name = name,
                                         .template_name = "base",
                                         .manager = "",
                                         .owner = kept ? "alice" : "",
                                         .kept = kept,
                                         .operations = operations};
    return roster_adopt(roster, &old, &record, &err);
}

#define ANN "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BEN "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct runner *taken_for(const char *manager)
{
    struct runner *runner = cook_warm();
    runner_take(runner);
    runner_give(runner, manager);
    return runner;
}

/* What is idle is everybody's; what is taken, and whatever it is called, is one manager's. */
static void test_managers_see_their_own(void **state)
{
    (void)state;
    struct runner *idle = cook_warm();
    assert_true(runner_seen_by(idle, ANN) && runner_seen_by(idle, BEN));
    assert_ptr_equal(roster_find(roster, ANN, idle->name), idle);
    assert_ptr_equal(roster_find(roster, BEN, idle->name), idle);
    struct runner *a = taken_for(ANN), *b = taken_for(BEN);
    assert_ptr_equal(roster_find(roster, ANN, a->name), a);
    assert_null(roster_find(roster, BEN, a->name));
    assert_ok(runner_keep(a, "demo", "ann", &err), err);
    assert_ok(runner_keep(b, "demo", "ben", &err), err);
    assert_ptr_equal(roster_find(roster, ANN, "demo"), a);
    assert_ptr_equal(roster_find(roster, BEN, "demo"), b);
    assert_null(roster_find(roster, "", "demo"));
    assert_null(roster_find(roster, ANN, a->spec.name));
    struct runner *third = taken_for(ANN);
    assert_fails(runner_keep(third, "demo", "ann", &err), err, ERR_NAME_TAKEN, "demo");
    /* A container's name is nobody's to choose. */
    assert_fails(runner_keep(third, b->spec.name, "ann", &err), err, ERR_NAME_TAKEN, b->spec.name);
    assert_fails(runner_keep(third, idle->name, "ann", &err), err, ERR_NAME_TAKEN, idle->name);
    runner_destroy(a);
    pass_ms(1000);
    assert_null(roster_find(roster, ANN, "demo"));
    assert_ptr_equal(roster_find(roster, BEN, "demo"), b);
    assert_ok(runner_keep(third, "demo", "ann", &err), err);
    assert_ptr_equal(roster_find(roster, ANN, "demo"), third);
}

/* One that is kept and has no manager is nobody's, not everybody's. */
static void test_kept_without_a_manager_is_seen_by_none(void **state)
{
    (void)state;
    struct runner *runner = cook_warm();
    runner_take(runner);
    assert_ok(runner_keep(runner, "demo", "ann", &err), err);
    assert_false(runner_seen_by(runner, ANN));
    assert_null(roster_find(roster, ANN, "demo"));
    runner_give(runner, ANN);
    assert_ptr_equal(roster_find(roster, ANN, "demo"), runner);
    assert_false(runner_seen_by(runner, BEN));
}

/* A worker that ends and one that starts on the same machine. */
static void restart(void)
{
    roster_destroy(roster);
    roster = roster_create(engine_fake_attach(fake), engine_fake_clock(fake), MOST);
    roster_observe(roster, hear, &heard_all);
}

static void test_adopted_runners_come_back(void **state)
{
    (void)state;
    char warm[NAME_MAX_LEN + 1], kept[NAME_MAX_LEN + 1], used[NAME_MAX_LEN + 1];
    strcpy(warm, cook_warm()->name);
    strcpy(kept, cook_taken()->name);
    strcpy(used, cook_taken()->name);
    restart();
    assert_int_equal(engine_fake_count(fake).live, 3);

    struct runner *a = adopt(warm, 0, warm, false, 0);
    struct runner *b = adopt(kept, 1, "demo", true, 5);
    struct runner *c = adopt(used, 2, used, false, 1);
    assert_true(a && b && c);
    assert_true(a->adopted && b->adopted);
    assert_int_equal(a->state, RUNNER_COOKING);
    assert_int_equal(b->state, RUNNER_COOKING);
    assert_int_equal(c->state, RUNNER_FREEING); /* somebody's code ran in it */
    assert_ptr_equal(roster_find(roster, "", "demo"), b);
    assert_null(roster_find(roster, "", kept));
    pass_ms(5);
    assert_int_equal(a->state, RUNNER_AVAILABLE);
    assert_int_equal(b->state, RUNNER_IN_USE);
    assert_true(b->kept);
    assert_string_equal(b->owner, "alice");
    assert_int_equal(b->operations, 5);
    assert_int_equal(roster_total(roster), 2);
    assert_int_equal(cook()->spec.slot, 2);
}

static void test_an_adopted_runner_that_is_not_there(void **state)
{
    (void)state;
    restart();
    assert_non_null(adopt("cr-lost", 0, "cr-lost", false, 0));
    pass_ms(0);
    assert_int_equal(roster_total(roster), 0);
    assert_string_equal(heard_all.text, "cooking>cooking cooking>gone ");
}

static void test_adopt_checks_what_it_is_given(void **state)
{
    (void)state;
    restart();
    struct runner *here = cook();
    assert_null(adopt("cr-lost", 0, "cr-lost", false, 0));
    assert_int_equal(err.code, ERR_NAME_TAKEN);
    assert_contains(err.msg, "slot");
    assert_null(adopt(here->name, 1, "cr-lost", false, 0));
    assert_int_equal(err.code, ERR_NAME_TAKEN);
    assert_null(adopt("cr-lost", 1, here->name, true, 0));
    assert_int_equal(err.code, ERR_NAME_TAKEN);
    assert_null(adopt("../x", 1, "cr-lost", false, 0));
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_null(adopt("cr-lost", 1, "No", false, 0));
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_null(adopt("cr-lost", 65536, "cr-lost", false, 0));
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_contains(err.msg, "65536");
    struct engine_spec old = old_spec("cr-lost", 1);
    struct runner_record record = {
        .name = "cr-lost", .template_name = "a b", .manager = "", .owner = ""};
    assert_null(roster_adopt(roster, &old, &record, &err));
    char owner[RUNNER_OWNER_MAX + 2] = "";
    memset(owner, 'o', RUNNER_OWNER_MAX + 1);
    record = (struct runner_record){
        .name = "cr-lost", .template_name = "base", .manager = "", .owner = owner, .kept = true};
    assert_null(roster_adopt(roster, &old, &record, &err));
    assert_contains(err.msg, "64");
    record.owner = "alice";
    record.manager = "../manager";
    assert_null(roster_adopt(roster, &old, &record, &err));
    assert_contains(err.msg, "manager: not 32 hex digits");
    assert_int_equal(roster_total(roster), 1);
}

static void test_what_exists_is_adopted_past_the_maximum(void **state)
{
    (void)state;
    restart();
    char name[] = "cr-0";
    for (unsigned i = 0; i < MOST + 2; i++) {
        name[3] = (char)('0' + i);
        assert_non_null(adopt(name, i, name, false, 0));
    }
    assert_int_equal(roster_total(roster), MOST + 2);
    assert_null(roster_cook(roster, "base", &spec, &err));
}

static void destroy_when_available(struct runner *runner, enum runner_state from, void *data)
{
    (void)data;
    if (from == RUNNER_COOKING && runner->state == RUNNER_AVAILABLE)
        runner_destroy(runner);
}

static void test_a_change_inside_an_observer_is_reported_after(void **state)
{
    (void)state;
    struct heard before = {0};
    roster_observe(roster, hear, &before);
    roster_observe(roster, destroy_when_available, NULL);
    roster_observe(roster, hear, &heard_all);
    cook();
    pass_ms(20);
    /* The first hears of it before it is changed again, the last one after. */
    assert_string_equal(before.text, "cooking>cooking cooking>available available>freeing "
                                     "freeing>gone ");
    assert_string_equal(heard_all.text, "cooking>cooking cooking>freeing available>freeing "
                                        "freeing>gone ");
}

struct chain {
    struct runner *next[3]; /* destroyed in this order when next[0] is FREEING */
    unsigned slots[3], len;
};

static void destroy_the_others(struct runner *runner, enum runner_state from, void *data)
{
    struct chain *chain = data;
    (void)from;
    if (runner->state != RUNNER_FREEING)
        return;
    chain->slots[chain->len++] = runner->spec.slot;
    runner_destroy(chain->next[1]);
    runner_destroy(chain->next[2]);
}

static void test_changes_are_reported_in_their_order(void **state)
{
    (void)state;
    struct runner *a = cook(), *b = cook(), *c = cook();
    struct chain chain = {.next = {b, c, a}};
    roster_observe(roster, destroy_the_others, &chain);
    runner_destroy(b);
    assert_int_equal(chain.len, 3);
    assert_int_equal(chain.slots[0], 1);
    assert_int_equal(chain.slots[1], 2);
    assert_int_equal(chain.slots[2], 0);
}

static void cook_when_gone(struct runner *runner, enum runner_state from, void *data)
{
    unsigned *left = data;
    (void)from;
    if (runner->state != RUNNER_GONE || *left == 0)
        return;
    --*left;
    struct runner *next = roster_cook(runner->roster, "base", &spec, &err);
    assert_non_null(next);
    /* The dead one is still a whole record, though its slot is given away. */
    assert_true(str_starts_with(runner->name, "cr-"));
    assert_int_equal(next->spec.slot, runner->spec.slot);
    runner_destroy(next);
}

static void test_an_observer_may_cook_and_destroy(void **state)
{
    (void)state;
    unsigned left = 3;
    roster_observe(roster, cook_when_gone, &left);
    roster_observe(roster, hear, &heard_all);
    engine_fake_kill(fake, cook_warm()->name);
    pass_ms(100);
    assert_int_equal(left, 0);
    assert_int_equal(roster_total(roster), 0);
    assert_string_equal(heard_all.text, "cooking>cooking cooking>available "
                                        "available>gone cooking>freeing cooking>freeing "
                                        "freeing>gone cooking>freeing cooking>freeing "
                                        "freeing>gone cooking>freeing cooking>freeing "
                                        "freeing>gone ");
}

static void hear_once(struct runner *runner, enum runner_state from, void *data)
{
    hear(runner, from, data);
    roster_unobserve(runner->roster, hear_once, data);
}

static void test_an_observer_may_leave(void **state)
{
    (void)state;
    struct heard once = {0};
    roster_observe(roster, hear_once, &once);
    roster_observe(roster, hear, &heard_all);
    cook_warm();
    assert_string_equal(once.text, "cooking>cooking ");
    assert_string_equal(heard_all.text, "cooking>cooking cooking>available ");
    roster_unobserve(roster, hear, &once); /* not one of them */
    roster_unobserve(roster, hear, &heard_all);
    cook();
    assert_string_equal(heard_all.text, "cooking>cooking cooking>available ");
}

static void observe_too_often(void *data)
{
    (void)data;
    for (int i = 0; i < 9; i++)
        roster_observe(roster, hear, &heard_all);
}

static void test_observers_are_bounded(void **state)
{
    (void)state;
    assert_true(aborts(observe_too_often, NULL));
    for (int i = 0; i < 20; i++) {
        roster_observe(roster, hear, &heard_all);
        roster_unobserve(roster, hear, &heard_all);
    }
}

static void destroy_each(struct runner *runner, void *data)
{
    ++*(unsigned *)data;
    runner_destroy(runner);
}

static void test_each_may_destroy(void **state)
{
    (void)state;
    unsigned seen = 0;
    cook(), cook_taken(), cook_warm();
    roster_each(roster, destroy_each, &seen);
    assert_int_equal(seen, 3);
    assert_int_equal(roster_count(roster, RUNNER_FREEING), 3);
    pass_ms(10);
    roster_each(roster, destroy_each, &seen);
    assert_int_equal(seen, 3);
}

static void test_containers_outlive_the_roster(void **state)
{
    (void)state;
    cook_warm(), cook_taken(), cook();
    restart();
    assert_int_equal(engine_fake_count(fake).live, 3);
    assert_int_equal(roster_total(roster), 0);
    roster_destroy(NULL);
}

#define MANY 10000

static void test_ten_thousand(void **state)
{
    (void)state;
    roster_destroy(roster);
    roster = roster_create(engine_fake_attach(fake), engine_fake_clock(fake), MANY);
    struct runner **all = calloc(MANY, sizeof(*all));
    assert_non_null(all);
    for (unsigned i = 0; i < MANY; i++) {
        all[i] = cook();
        assert_int_equal(all[i]->spec.slot, i);
    }
    pass_ms(7);
    assert_int_equal(roster_count(roster, RUNNER_AVAILABLE), MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_ptr_equal(roster_find(roster, "", all[i]->name), all[i]);
    for (unsigned i = 0; i < MANY; i += 2)
        runner_destroy(all[i]);
    pass_ms(4);
    assert_int_equal(roster_total(roster), MANY / 2);
    for (unsigned i = 0; i < MANY / 2; i++)
        assert_int_equal(cook()->spec.slot, 2 * i);
    free(all);
}

static void test_state_names(void **state)
{
    (void)state;
    assert_string_equal(runner_state_name(RUNNER_COOKING), "cooking");
    assert_string_equal(runner_state_name(RUNNER_AVAILABLE), "available");
    assert_string_equal(runner_state_name(RUNNER_IN_USE), "inUse");
    assert_string_equal(runner_state_name(RUNNER_FREEING), "freeing");
    assert_string_equal(runner_state_name(RUNNER_GONE), "gone");
    assert_string_equal(runner_state_name(RUNNER_STATES), "unknown");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(from_cooking_to_gone),
        T(counts),
        T(never_more_than_the_maximum),
        T(a_template_needs_a_name),
        T(slots_are_reused_when_gone_and_lowest_first),
        T(why_it_died),
        T(ready_is_too_late_after_destroy),
        T(illegal_moves_abort),
        T(keep_gives_a_name),
        T(keep_refuses_a_name_in_use),
        T(keep_checks_what_it_is_given),
        T(managers_see_their_own),
        T(kept_without_a_manager_is_seen_by_none),
        T(adopted_runners_come_back),
        T(an_adopted_runner_that_is_not_there),
        T(adopt_checks_what_it_is_given),
        T(what_exists_is_adopted_past_the_maximum),
        T(a_change_inside_an_observer_is_reported_after),
        T(changes_are_reported_in_their_order),
        T(an_observer_may_cook_and_destroy),
        T(an_observer_may_leave),
        T(observers_are_bounded),
        T(each_may_destroy),
        T(containers_outlive_the_roster),
        T(ten_thousand),
        T(state_names),
    };
    return cmocka_run_group_tests_name("runner", tests, NULL, NULL);
}
