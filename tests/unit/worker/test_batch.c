#include "../../../src/worker/batch.h"

#include "../../../src/worker/run.h"
#include "worker_rig.h"

#include <string.h>

/* Programs that go on and on. How much processor time they use is the test's to say. */
static const struct fake_script endless = {.ending = FAKE_SILENT};

#define KEEP "{'id':'k1','keep':{'name':'demo','owner':'ann'},'queueMs':60000}"
#define EXEC "{'id':'e1','runner':'demo','argv':['sh'],'timeMs':60000,'outputBytes':100}"
#define RUN "{'id':'r1','argv':['sh'],'timeMs':60000,'outputBytes':100,'queueMs':60000}"

struct stage {
    struct worker_rig rig;
    struct peer a, b;
    char name[2][NAME_MAX_LEN + 1]; /* of the runners that a and b have */
    int percent[2];                 /* of a processor that their programs use */
    double cpu_us[2];
    int user_percent[2], processes[2];
    int refusals[2]; /* of processes, in each turn */
    int64_t refused[2];
    mono_us last;
};

static void begin(struct stage *stage)
{
    *stage = (struct stage){.a = {.fd = -1}, .b = {.fd = -1}};
    worker_rig_init(&stage->rig);
    worker_rig_open(&stage->rig);
    worker_rig_script(&stage->rig, &endless);
    stage->last = clock_now(stage->rig.services.clock);
}

static void finish(struct stage *stage)
{
    worker_rig_finish(&stage->rig);
    peer_close(&stage->a);
    peer_close(&stage->b);
}

static void start(struct stage *stage, int which, enum frame_type type, const char *message)
{
    struct peer *peer = which == 0 ? &stage->a : &stage->b;
    worker_rig_run(&stage->rig, peer, type, message);
    json_t *started = peer_expect_json(peer, FRAME_STARTED);
    const struct runner *runner =
        roster_find(stage->rig.services.roster, RIG_MANAGER,
                    json_string_value(json_object_get(started, "runner")));
    strcpy(stage->name[which], runner->spec.name);
    json_decref(started);
}

/* A turn in which the programs use what they use. */
static void turn(struct stage *stage)
{
    mono_us now = clock_now(stage->rig.services.clock);
    for (int i = 0; i < 2; i++) {
        stage->cpu_us[i] += (double)(now - stage->last) * stage->percent[i] / 100;
        stage->refused[i] += stage->refusals[i];
        const struct engine_stats stats = {
            .cpu_us = (int64_t)stage->cpu_us[i],
            .user_us = (int64_t)(stage->cpu_us[i] * stage->user_percent[i] / 100),
            .pids_refused = stage->refused[i],
            .processes = stage->processes[i],
        };
        engine_fake_set_stats(stage->rig.fake, stage->name[i], &stats);
    }
    stage->last = now;
    worker_rig_turn(&stage->rig);
}

struct search {
    const char *name;
    enum engine_pace pace;
};

static void look_at(const struct engine_fake_view *view, void *data)
{
    struct search *search = data;
    if (strcmp(view->name, search->name) == 0)
        search->pace = view->pace;
}

static enum engine_pace pace_of(const struct stage *stage, int which)
{
    struct search search = {.name = stage->name[which]};
    engine_fake_each(stage->rig.fake, look_at, &search);
    return search.pace;
}

static bool is_batch(const struct stage *stage, int which)
{
    return pace_of(stage, which) == ENGINE_PACE_BATCH;
}

/* Turns until that is its pace, or until it is not. */
static void until_pace(struct stage *stage, int which, enum engine_pace pace, bool wanted)
{
    mono_us deadline = clock_now(&clock_system) + 60 * (mono_us)US_PER_SEC;
    while ((pace_of(stage, which) == pace) != wanted) {
        if (clock_now(&clock_system) > deadline)
            fail_msg("waited in vain until %d has %space %d", which, wanted ? "" : "not ", pace);
        turn(stage);
    }
}

static void until_batch(struct stage *stage, int which, bool wanted)
{
    until_pace(stage, which, ENGINE_PACE_BATCH, wanted);
}

/* The runner "demo", which stays, with a program of a's that has computed for a while. */
static void compute_on_kept(struct stage *stage)
{
    worker_rig_run(&stage->rig, &stage->a, FRAME_RUN, KEEP);
    json_decref(peer_expect_json(&stage->a, FRAME_RESULT));
    peer_close(&stage->a);
    start(stage, 0, FRAME_EXEC, EXEC);
    stage->percent[0] = 100;
    until_batch(stage, 0, true);
}

static void one_that_computes_gives_way_and_one_that_waits_does_not(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    start(&stage, 1, FRAME_RUN, RUN);
    stage.percent[1] = 1;
    start(&stage, 0, FRAME_RUN, RUN);
    stage.percent[0] = 100;
    for (int i = 0; i < 5; i++) { /* b is looked at as often */
        stage.percent[0] = 100;
        until_batch(&stage, 0, true);
        assert_false(is_batch(&stage, 1));
        stage.percent[0] = 0;
        until_batch(&stage, 0, false);
    }
    finish(&stage);
}

/* Many of them share a processor: each has little, but goes on. */
static void one_that_computes_slowly_gives_way_too(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    start(&stage, 0, FRAME_RUN, RUN);
    stage.percent[0] = 10;
    until_batch(&stage, 0, true);
    finish(&stage);
}

/* Others may want all there is, always. */
static void one_that_starves_has_its_share_again(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    start(&stage, 0, FRAME_RUN, RUN);
    for (int i = 0; i < 3; i++) {
        stage.percent[0] = 100;
        until_batch(&stage, 0, true);
        stage.percent[0] = 1;
        until_batch(&stage, 0, false);
    }
    finish(&stage);
}

static void begin_with_two_that_compute(struct stage *stage)
{
    begin(stage);
    for (int i = 0; i < 2; i++) {
        start(stage, i, FRAME_RUN, RUN);
        stage->percent[i] = 100;
    }
}

static void fork_bomb_is_curbed_until_it_is_over(void **state)
{
    struct stage stage;
    (void)state;
    begin_with_two_that_compute(&stage);
    stage.refusals[0] = 1000;
    stage.refused[1] = 1; /* once is no bomb */
    until_pace(&stage, 0, ENGINE_PACE_CURBED, true);
    until_batch(&stage, 1, true);
    stage.percent[0] = 5;
    stage.refusals[0] = 0;
    mono_us last = clock_now(stage.rig.services.clock);
    until_pace(&stage, 0, ENGINE_PACE_CURBED, false);
    assert_true(clock_now(stage.rig.services.clock) - last > US_PER_SEC / 2);
    assert_int_equal(pace_of(&stage, 0), ENGINE_PACE_EQUAL);
    assert_true(is_batch(&stage, 1));
    finish(&stage);
}

/* Many that compute are none, nor are few that are at work in the kernel. */
static void crowd_in_the_kernel_is_a_fork_bomb(void **state)
{
    struct stage stage;
    (void)state;
    begin_with_two_that_compute(&stage);
    stage.processes[0] = 60;
    stage.user_percent[0] = 30;
    stage.processes[1] = 60;
    stage.user_percent[1] = 60;
    until_pace(&stage, 0, ENGINE_PACE_CURBED, true);
    until_batch(&stage, 1, true);
    stage.processes[0] = 40;
    until_pace(&stage, 0, ENGINE_PACE_CURBED, false);
    assert_true(is_batch(&stage, 1));
    finish(&stage);
}

/* What is killed is curbed no more, unless it goes on. */
static void fork_bomb_on_a_runner_that_stays_is_curbed_no_longer_than_it_lives(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    compute_on_kept(&stage);
    stage.refusals[0] = 1000;
    until_pace(&stage, 0, ENGINE_PACE_CURBED, true);
    stage.refusals[0] = 0;
    peer_close(&stage.a); /* the caller leaves */
    until_pace(&stage, 0, ENGINE_PACE_CURBED, false);
    assert_int_equal(pace_of(&stage, 0), ENGINE_PACE_ENDING);
    until_pace(&stage, 0, ENGINE_PACE_ENDING, false);
    assert_int_not_equal(pace_of(&stage, 0), ENGINE_PACE_CURBED);
    finish(&stage);
}

static void compute_and_be_destroyed(struct stage *stage)
{
    start(stage, 0, FRAME_RUN, RUN);
    stage->percent[0] = 100;
    until_batch(stage, 0, true);
    runner_destroy(roster_find(stage->rig.services.roster, RIG_MANAGER, stage->name[0]));
    assert_int_equal(pace_of(stage, 0), ENGINE_PACE_ENDING);
}

static void what_is_killed_has_no_limit(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    compute_and_be_destroyed(&stage);
    finish(&stage);
}

static void end_slowly(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                       void *data)
{
    (void)nth, (void)spec, (void)data;
    fate->gone_us = 3 * US_PER_SEC;
}

/* Others may have all there is for as long as it takes. */
static void what_takes_long_to_end_gives_way_no_more(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    engine_fake_on_create(stage.rig.fake, end_slowly, NULL);
    compute_and_be_destroyed(&stage);
    until_pace(&stage, 0, ENGINE_PACE_OVERDUE, true);
    engine_fake_on_create(stage.rig.fake, NULL, NULL);
    finish(&stage);
}

/* Its limit is back soon, and kills are no way around it. */
static void program_on_a_runner_that_stays_is_killed_with_no_limit(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    compute_on_kept(&stage);
    mono_us before = clock_now(stage.rig.services.clock);
    peer_close(&stage.a); /* the caller leaves */
    until_batch(&stage, 0, false);
    assert_int_equal(pace_of(&stage, 0), ENGINE_PACE_ENDING);
    struct runner *runner = roster_find(stage.rig.services.roster, RIG_MANAGER, "demo");
    batch_lift(runner);
    assert_int_equal(pace_of(&stage, 0), ENGINE_PACE_ENDING);
    until_batch(&stage, 0, true); /* something still computes there */
    batch_lift(runner);
    if (clock_now(stage.rig.services.clock) - before < US_PER_SEC) /* unless this took too long */
        assert_int_equal(pace_of(&stage, 0), ENGINE_PACE_EQUAL);
    finish(&stage);
}

/* What the earlier worker thought is forgotten, and what goes on there is seen. */
static void runner_of_an_earlier_worker_is_looked_at(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    compute_on_kept(&stage);
    peer_close(&stage.a); /* what goes on then is in nobody's hands */
    until_batch(&stage, 0, false);
    until_batch(&stage, 0, true);
    worker_rig_close(&stage.rig);
    assert_true(is_batch(&stage, 0));
    worker_rig_open(&stage.rig);
    stage.percent[0] = 0;
    until_batch(&stage, 0, false);
    stage.percent[0] = 100;
    until_batch(&stage, 0, true);
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_computes_gives_way_and_one_that_waits_does_not),
        cmocka_unit_test(one_that_computes_slowly_gives_way_too),
        cmocka_unit_test(one_that_starves_has_its_share_again),
        cmocka_unit_test(fork_bomb_is_curbed_until_it_is_over),
        cmocka_unit_test(crowd_in_the_kernel_is_a_fork_bomb),
        cmocka_unit_test(fork_bomb_on_a_runner_that_stays_is_curbed_no_longer_than_it_lives),
        cmocka_unit_test(what_is_killed_has_no_limit),
        cmocka_unit_test(what_takes_long_to_end_gives_way_no_more),
        cmocka_unit_test(program_on_a_runner_that_stays_is_killed_with_no_limit),
        cmocka_unit_test(runner_of_an_earlier_worker_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
