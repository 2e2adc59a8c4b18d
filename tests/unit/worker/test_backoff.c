/* Pauses after failures. */
#include "../../../src/worker/backoff.h"

#include "../../support/cm.h"

static void test_doubles_up_to_the_bound(void **state)
{
    (void)state;
    static const mono_us pauses_ms[] = {100, 200, 400, 800, 1000, 1000};
    struct backoff backoff = {0};
    mono_us now = 12345;
    for (int i = 0; i < 6; i++) {
        backoff_pause(&backoff, now, US_PER_SEC);
        assert_int_equal(backoff.until - now, pauses_ms[i] * US_PER_MS);
        now = backoff.until;
    }
}

static void test_one_pause_for_all_that_fail_in_it(void **state)
{
    (void)state;
    struct backoff backoff = {0};
    backoff_pause(&backoff, 1000, US_PER_SEC);
    mono_us until = backoff.until;
    backoff_pause(&backoff, 1000, US_PER_SEC);
    backoff_pause(&backoff, until - 1, US_PER_SEC);
    assert_int_equal(backoff.until, until);
    assert_int_equal(backoff.pauses, 1);
}

static void test_many_pauses_do_not_overflow(void **state)
{
    (void)state;
    struct backoff backoff = {.pauses = UINT32_MAX - 2};
    backoff_pause(&backoff, 1000, INT64_MAX / 4);
    assert_true(backoff.until >= INT64_MAX / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_up_to_the_bound),
        cmocka_unit_test(test_one_pause_for_all_that_fail_in_it),
        cmocka_unit_test(test_many_pauses_do_not_overflow),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
