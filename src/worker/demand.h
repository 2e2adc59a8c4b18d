/* How many warm runners the callers use up in the time that it takes to cook one. */
#ifndef WORKER_DEMAND_H
#define WORKER_DEMAND_H

#include "../common/clock.h"

/* A plain value; zeroed, nobody has come yet. */
struct demand {
    double rate;     /* callers a second, smoothed, as of `at` */
    mono_us at;      /* of the last caller */
    mono_us cook_us; /* smoothed time of a start; 0 before the first */
};

/* Half of what the rate tells is about the last 7 s. */
#define DEMAND_MEMORY_US ((mono_us)10 * US_PER_SEC)

/* A caller has come; now never goes back. */
void demand_arrived(struct demand *demand, mono_us now);

/* A runner was cooked in this time. */
void demand_cooked(struct demand *demand, mono_us cook_us);

/* Arrival rate × cook time, rounded up when it is more than a tenth of a runner. */
unsigned demand_runners(const struct demand *demand, mono_us now);

#endif
