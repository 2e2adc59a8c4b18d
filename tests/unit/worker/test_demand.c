/* How much is wanted beyond the minimum. */
#include "../../../src/worker/demand.h"

#include "../../support/cm.h"

static struct demand demand;
static mono_us now;

static int set_up(void **state)
{
    (void)state;
    demand = (struct demand){0};
    now = US_PER_SEC;
    return 0;
}

static void arrive(unsigned count, mono_us apart)
{
    for (unsigned i = 0; i < count; i++) {
        now += apart;
        demand_arrived(&demand, now);
    }
}

static void test_nothing_before_the_first(void **state)
{
    (void)state;
    assert_int_equal(demand_runners(&demand, now), 0);
    arrive(1000, 100);
    assert_int_equal(demand_runners(&demand, now), 0); /* how long a start takes is not known */
}

static void test_rate_times_cook_time(void **state)
{
    (void)state;
    demand_cooked(&demand, 500 * US_PER_MS);
    arrive(2000, 50 * US_PER_MS); /* 20 a second for 100 s */
    assert_in_range(demand_runners(&demand, now), 10, 11);
}

static void test_it_is_forgotten(void **state)
{
    (void)state;
    demand_cooked(&demand, US_PER_SEC);
    arrive(2000, 50 * US_PER_MS);
    unsigned before = demand_runners(&demand, now);
    assert_in_range(demand_runners(&demand, now + DEMAND_MEMORY_US), before / 3, before / 2);
    assert_int_equal(demand_runners(&demand, now + 100 * (mono_us)US_PER_SEC), 0);
    assert_int_equal(demand_runners(&demand, now + 1000000 * (mono_us)US_PER_SEC), 0);
}

static void test_a_little_is_nothing(void **state)
{
    (void)state;
    demand_cooked(&demand, 7 * US_PER_MS);
    arrive(100, US_PER_SEC);
    assert_int_equal(demand_runners(&demand, now), 0);
    arrive(10000, 10 * US_PER_MS); /* 100 a second × 7 ms */
    assert_int_equal(demand_runners(&demand, now), 1);
}

static void test_cook_time_is_smoothed(void **state)
{
    (void)state;
    demand_cooked(&demand, 800);
    assert_int_equal(demand.cook_us, 800);
    demand_cooked(&demand, 1600);
    assert_int_equal(demand.cook_us, 900);
    demand_cooked(&demand, 100);
    assert_int_equal(demand.cook_us, 800);
}

static void test_absurd_figures_stay_numbers(void **state)
{
    (void)state;
    demand_cooked(&demand, INT64_MAX / 2);
    arrive(100000, 0);
    assert_in_range(demand_runners(&demand, now), 1000000, 1000001);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(test_##name, set_up)
    const struct CMUnitTest tests[] = {
        T(nothing_before_the_first), T(rate_times_cook_time),  T(it_is_forgotten),
        T(a_little_is_nothing),      T(cook_time_is_smoothed), T(absurd_figures_stay_numbers),
    };
    return cmocka_run_group_tests_name("demand", tests, NULL, NULL);
}
