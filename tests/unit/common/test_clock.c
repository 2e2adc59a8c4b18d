#include "../../../src/common/clock.h"

#include "../../support/cm.h"

#include <time.h>

static void system_clock_is_monotonic_in_us(void **state)
{
    (void)state;
    struct timespec before, after;
    for (int i = 0; i < 1000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &before);
        mono_us now = clock_now(&clock_system);
        clock_gettime(CLOCK_MONOTONIC, &after);
        assert_true(now >= before.tv_sec * (mono_us)US_PER_SEC + before.tv_nsec / 1000);
        assert_true(now <= after.tv_sec * (mono_us)US_PER_SEC + after.tv_nsec / 1000);
    }
    assert_true(clock_now(&clock_system) > 0);
}

static void wall_is_ms_since_1970(void **state)
{
    (void)state;
    struct timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    int64_t now = clock_wall_ms();
    clock_gettime(CLOCK_REALTIME, &after);
    assert_true(now >= before.tv_sec * (int64_t)1000 + before.tv_nsec / 1000000);
    assert_true(now <= after.tv_sec * (int64_t)1000 + after.tv_nsec / 1000000);
}

struct fake {
    struct clock clock;
    mono_us now;
};

static mono_us fake_now(const struct clock *clock)
{
    return ((const struct fake *)clock)->now;
}

static void fake_takes_its_place(void **state)
{
    (void)state;
    struct fake fake = {{fake_now}, 42};
    assert_int_equal(clock_now(&fake.clock), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_clock_is_monotonic_in_us),
        cmocka_unit_test(wall_is_ms_since_1970),
        cmocka_unit_test(fake_takes_its_place),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
