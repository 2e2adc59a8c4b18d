#include "../../../src/cli/restart.h"

#include "../../support/cm.h"

/* Dies `lived` after each start, and is started when it is due. */
static mono_us die(struct restart *restart, mono_us now, mono_us lived, mono_us *pause)
{
    mono_us started = now;
    now += lived;
    restart_died(restart, started, now);
    *pause = restart->due - now;
    now = restart->due;
    restart_started(restart);
    assert_int_equal(restart->due, 0);
    return now;
}

static void the_first_death_is_mended_at_once(void **data)
{
    (void)data;
    struct restart restart = {0};
    restart_died(&restart, 5 * US_PER_SEC, 6 * US_PER_SEC);
    assert_int_equal(restart.due, 6 * US_PER_SEC);
    assert_int_equal(restart.deaths, 1);
}

static void pauses_double_up_to_a_bound(void **data)
{
    (void)data;
    static const mono_us wanted_ms[] = {0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    struct restart restart = {0};
    mono_us now = 1, pause;
    for (size_t i = 0; i < sizeof(wanted_ms) / sizeof(wanted_ms[0]); i++) {
        now = die(&restart, now, 1000, &pause);
        assert_int_equal(pause, wanted_ms[i] * US_PER_MS);
    }
}

static void a_good_life_is_rewarded(void **data)
{
    (void)data;
    struct restart restart = {0};
    mono_us now = 1, pause;
    for (int i = 0; i < 6; i++)
        now = die(&restart, now, 1000, &pause);
    assert_int_equal(pause, 4 * US_PER_SEC);
    now = die(&restart, now, RESTART_WELL_US - 1, &pause);
    assert_int_equal(pause, 8 * US_PER_SEC);
    now = die(&restart, now, RESTART_WELL_US, &pause);
    assert_int_equal(pause, 0);
    assert_int_equal(restart.deaths, 1);
}

/* One that dies at once costs at most a few starts a minute in the long run. */
static void there_is_no_storm(void **data)
{
    (void)data;
    struct restart restart = {0};
    mono_us now = 1, pause;
    unsigned starts = 0;
    while (now < 3600 * (mono_us)US_PER_SEC) {
        now = die(&restart, now, 1, &pause);
        starts++;
    }
    assert_in_range(starts, 1, 7 + 3600 / 30 + 1);
}

static void it_never_overflows(void **data)
{
    (void)data;
    struct restart restart = {.deaths = 4000000000u};
    restart_died(&restart, 0, 1);
    assert_int_equal(restart.due, 1 + RESTART_LONGEST_PAUSE_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_death_is_mended_at_once),
        cmocka_unit_test(pauses_double_up_to_a_bound),
        cmocka_unit_test(a_good_life_is_rewarded),
        cmocka_unit_test(there_is_no_storm),
        cmocka_unit_test(it_never_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
