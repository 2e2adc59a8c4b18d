/* Placement as properties over random fleets; the numbers are the same on every run. */
#include "../../../src/manager/placement.h"
#include "../../support/cm.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 40
#define FLEETS 20000

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (random_state >> 33) % below;
}

static struct placement_worker random_worker(void)
{
    return (struct placement_worker){
        .up = draw(5) > 0,
        .draining = draw(8) == 0,
        .failing = draw(8) == 0,
        .tried = draw(8) == 0,
        .has_template = draw(6) > 0,
        .can_cook = draw(3) > 0,
        .warm = draw(3) ? 0 : (int64_t)draw(20),
        .pending = (int64_t)draw(4),
        .memory_bytes = (int64_t)draw(1U << 30) << draw(9),
    };
}

static int warmth(const struct placement_worker *worker)
{
    return worker->warm > worker->pending ? 2 : worker->can_cook;
}

/* No worker that may take the run is better than the choice in a way that counts. */
static void assert_best(const struct placement_worker *fleet, size_t count, size_t choice)
{
    const struct placement_worker *chosen = &fleet[choice];
    assert_true(placement_eligible(chosen));
    for (size_t i = 0; i < count; i++) {
        if (!placement_eligible(&fleet[i]))
            continue;
        assert_true(warmth(&fleet[i]) <= warmth(chosen));
        /* Within one step memory does not matter, and a step is a quarter at most. */
        if (warmth(&fleet[i]) == warmth(chosen))
            assert_true(fleet[i].memory_bytes <=
                        chosen->memory_bytes + chosen->memory_bytes / 4 + 4);
    }
}

static void test_the_best_of_those_that_may(void **state)
{
    (void)state;
    struct placement_worker fleet[WORKERS_MAX];
    size_t none = 0;
    random_state = 7;
    for (int round = 0; round < FLEETS; round++) {
        size_t count = draw(WORKERS_MAX + 1), eligible = 0;
        for (size_t i = 0; i < count; i++) {
            fleet[i] = random_worker();
            eligible += placement_eligible(&fleet[i]);
        }
        size_t choice = placement_choose(fleet, count, (uint64_t)round);
        assert_int_equal(choice == PLACEMENT_NONE, eligible == 0);
        if (choice == PLACEMENT_NONE)
            none++;
        else
            assert_best(fleet, count, choice);
        assert_int_equal(choice, placement_choose(fleet, count, (uint64_t)round));
    }
    assert_true(none > 0 && none < FLEETS / 2);
}

/* What rules a worker out does so alone, however good it is otherwise. */
static void test_what_rules_out(void **state)
{
    (void)state;
    const struct placement_worker poor = {.up = true, .has_template = true, .pending = 9};
    const struct placement_worker rich = {
        .up = true, .has_template = true, .can_cook = true, .warm = 50, .memory_bytes = 1L << 40};
    struct placement_worker cases[5];
    for (size_t i = 0; i < 5; i++)
        cases[i] = rich;
    cases[0].up = false;
    cases[1].draining = true;
    cases[2].failing = true;
    cases[3].tried = true;
    cases[4].has_template = false;
    for (size_t i = 0; i < 5; i++) {
        struct placement_worker fleet[] = {cases[i], poor, cases[i]};
        for (uint64_t spread = 0; spread < 10; spread++)
            assert_int_equal(placement_choose(fleet, 3, spread), 1);
        fleet[1] = rich;
        assert_int_equal(placement_choose(fleet, 3, 0), 1);
        assert_int_equal(placement_choose(fleet, 1, 0), PLACEMENT_NONE);
    }
    assert_int_equal(placement_choose(NULL, 0, 0), PLACEMENT_NONE);
}

static void test_the_order_of_reasons(void **state)
{
    (void)state;
    struct placement_worker base = {.up = true, .has_template = true, .memory_bytes = 1 << 20};
    struct placement_worker fleet[2] = {base, base};
    /* A warm runner beats memory, but not one that another run is on its way to. */
    fleet[0].warm = 1;
    fleet[1].memory_bytes = 1L << 40;
    assert_int_equal(placement_choose(fleet, 2, 1), 0);
    fleet[0].pending = 1;
    assert_int_equal(placement_choose(fleet, 2, 1), 1);
    /* Room to cook beats memory too, and memory beats a shorter line. */
    fleet[0] = fleet[1] = base;
    fleet[0].can_cook = true;
    fleet[1].memory_bytes = 1L << 40;
    assert_int_equal(placement_choose(fleet, 2, 1), 0);
    fleet[1].can_cook = true;
    fleet[1].pending = 100;
    assert_int_equal(placement_choose(fleet, 2, 1), 1);
    fleet[1].memory_bytes = fleet[0].memory_bytes + 1; /* alike */
    assert_int_equal(placement_choose(fleet, 2, 1), 0);
}

/* Equals each get their share, wherever among others they stand. */
static void test_ties_spread(void **state)
{
    (void)state;
    enum { EQUALS = 10, ROUNDS = 10000 };
    struct placement_worker fleet[2 * EQUALS];
    unsigned taken[2 * EQUALS] = {0};
    for (size_t i = 0; i < 2 * EQUALS; i++)
        fleet[i] = (struct placement_worker){.up = true,
                                             .has_template = true,
                                             .warm = i % 2 ? 5 : 0,
                                             .memory_bytes = (1L << 33) + (int64_t)i};
    for (uint64_t spread = 0; spread < ROUNDS; spread++)
        taken[placement_choose(fleet, 2 * EQUALS, spread)]++;
    for (size_t i = 0; i < 2 * EQUALS; i++) {
        if (i % 2 == 0)
            assert_int_equal(taken[i], 0);
        else
            assert_in_range(taken[i], ROUNDS / EQUALS / 2, ROUNDS / EQUALS * 2);
    }
}

/* Runs that come together, before any of them has its runner, take the warm runners of all. */
static void test_a_burst_uses_every_warm_runner(void **state)
{
    (void)state;
    struct placement_worker fleet[8];
    int64_t warm = 0;
    for (size_t i = 0; i < 8; i++) {
        fleet[i] = (struct placement_worker){.up = true,
                                             .has_template = true,
                                             .can_cook = true,
                                             .warm = (int64_t)(3 * i),
                                             .memory_bytes = (int64_t)(8 - i) << 30};
        warm += fleet[i].warm;
    }
    for (int64_t run = 0; run < warm; run++) {
        size_t choice = placement_choose(fleet, 8, (uint64_t)run);
        assert_true(fleet[choice].pending < fleet[choice].warm);
        fleet[choice].pending++;
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(fleet[i].pending, fleet[i].warm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_of_those_that_may),
        cmocka_unit_test(test_what_rules_out),
        cmocka_unit_test(test_the_order_of_reasons),
        cmocka_unit_test(test_ties_spread),
        cmocka_unit_test(test_a_burst_uses_every_warm_runner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
