#include "demand.h"

#include <math.h>

#define RUNNERS_MOST 1e6 /* keeps the conversion to unsigned defined */

/* Each caller adds 1/memory to the rate and is forgotten exponentially: steady arrivals settle at
 * their true rate, and no list of past arrivals is kept.
 */
static double rate_at(const struct demand *demand, mono_us now)
{
    return demand->rate * exp(-(double)(now - demand->at) / (double)DEMAND_MEMORY_US);
}

void demand_arrived(struct demand *demand, mono_us now)
{
    demand->rate = rate_at(demand, now) + (double)US_PER_SEC / (double)DEMAND_MEMORY_US;
    demand->at = now;
}

void demand_cooked(struct demand *demand, mono_us cook_us)
{
    if (demand->cook_us == 0)
        demand->cook_us = cook_us;
    else
        demand->cook_us += (cook_us - demand->cook_us) / 8;
}

unsigned demand_runners(const struct demand *demand, mono_us now)
{
    double runners = rate_at(demand, now) * (double)demand->cook_us / (double)US_PER_SEC;
    return (unsigned)(fmin(runners, RUNNERS_MOST) + 0.9);
}
