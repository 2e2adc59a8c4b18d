/* Times that were measured, all of them kept: percentiles are exact, not of a histogram. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include "../src/common/clock.h"

#include <jansson.h>
#include <stddef.h>

/* A plain value; zeroed, it is empty. Kept in milliseconds. */
struct samples {
    double *ms;
    size_t len, room;
};

void samples_add(struct samples *samples, double ms);
void samples_finish(struct samples *samples);

/* {"count", "mean", "min", "p50", "p90", "p99", "p999", "max"}, sorts; null when there are none.
 * A percentile is the smallest sample that is not below that share of them (nearest rank).
 */
json_t *samples_json(struct samples *samples);

#endif
