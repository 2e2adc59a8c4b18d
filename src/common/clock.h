/* Time. Monotonic time has its own unit in its name so that clocks cannot mix. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

/* Microseconds of CLOCK_MONOTONIC; 0 means "no time" wherever a deadline may be absent. */
typedef int64_t mono_us;

#define US_PER_MS 1000
#define US_PER_SEC 1000000

/* The clock seam: logic that decides by time takes one of these, tests hand it a fake. */
struct clock {
    mono_us (*now)(const struct clock *clock);
};

/* The system's monotonic clock. */
extern const struct clock clock_system;

static inline mono_us clock_now(const struct clock *clock)
{
    return clock->now(clock);
}

/* Milliseconds since 1970 (CLOCK_REALTIME), for what a person reads. */
int64_t clock_wall_ms(void);

#endif
