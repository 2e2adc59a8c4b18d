/* When a worker is no longer used, and when it is again. */
#include "../../../src/manager/health.h"
#include "../../support/cm.h"

#include <string.h>

static struct err some(const char *text)
{
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "%s", text);
    return err;
}

static void test_fails_after_some_in_a_row(void **state)
{
    (void)state;
    struct health health = {0};
    struct err err = some("lost");
    for (unsigned i = 1; i < HEALTH_FAILURES_MAX; i++)
        assert_false(health_failed(&health, &err, 1000));
    health_went_well(&health);
    for (unsigned i = 1; i < HEALTH_FAILURES_MAX; i++)
        assert_false(health_failed(&health, &err, 1000));
    assert_false(health.failing);
    assert_true(health_failed(&health, &err, 2000));
    assert_true(health.failing);
    assert_int_equal(health.since_ms, 2000);
    assert_string_equal(health.why, "lost");
    assert_false(health_failed(&health, &err, 3000)); /* it does so already */
    assert_int_equal(health.since_ms, 2000);
    assert_int_equal(health.total, 2 * HEALTH_FAILURES_MAX);
}

static void test_only_a_probe_takes_it_back(void **state)
{
    (void)state;
    struct health health = {0};
    struct err err = some("lost"), worse = some("no answer");
    for (unsigned i = 0; i < HEALTH_FAILURES_MAX; i++)
        health_failed(&health, &err, 1000);
    health_went_well(&health); /* a run that was there before */
    assert_true(health.failing);
    assert_int_equal(health_probe_in_ms(&health), HEALTH_PROBE_MIN_MS);
    health_probe_failed(&health, &worse);
    assert_string_equal(health.why, "no answer");
    assert_int_equal(health_probe_in_ms(&health), 2 * HEALTH_PROBE_MIN_MS);
    for (int i = 0; i < 20; i++)
        health_probe_failed(&health, &worse);
    assert_int_equal(health_probe_in_ms(&health), HEALTH_PROBE_MAX_MS);
    health_probed_well(&health, 5000);
    assert_false(health.failing);
    assert_int_equal(health.since_ms, 5000);
    for (unsigned i = 1; i < HEALTH_FAILURES_MAX; i++)
        assert_false(health_failed(&health, &err, 6000)); /* it begins at nothing */
    assert_true(health_failed(&health, &err, 6000));
    assert_int_equal(health_probe_in_ms(&health), HEALTH_PROBE_MIN_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fails_after_some_in_a_row),
        cmocka_unit_test(test_only_a_probe_takes_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
