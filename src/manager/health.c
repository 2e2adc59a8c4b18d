#include "health.h"

#include <string.h>

static void note(struct health *health, const struct err *why)
{
    health->total++;
    memcpy(health->why, why->msg, sizeof(health->why));
}

bool health_failed(struct health *health, const struct err *why, int64_t now_ms)
{
    note(health, why);
    if (health->failing || ++health->in_a_row < HEALTH_FAILURES_MAX)
        return false;
    health->failing = true;
    health->since_ms = now_ms;
    health->probe_ms = HEALTH_PROBE_MIN_MS;
    return true;
}

void health_went_well(struct health *health)
{
    health->in_a_row = 0;
}

void health_probed_well(struct health *health, int64_t now_ms)
{
    health->failing = false;
    health->in_a_row = 0;
    health->since_ms = now_ms;
}

void health_probe_failed(struct health *health, const struct err *why)
{
    note(health, why);
    health->probe_ms *= 2;
    if (health->probe_ms > HEALTH_PROBE_MAX_MS)
        health->probe_ms = HEALTH_PROBE_MAX_MS;
}

unsigned health_probe_in_ms(const struct health *health)
{
    return health->probe_ms;
}
