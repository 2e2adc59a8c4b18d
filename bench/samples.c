#include "samples.h"

#include "../src/common/mem.h"

#include <math.h>

void samples_add(struct samples *samples, double ms)
{
    if (samples->len == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 1024;
        samples->ms = mem_realloc(samples->ms, samples->room * sizeof(*samples->ms));
    }
    samples->ms[samples->len++] = ms;
}

void samples_finish(struct samples *samples)
{
    free(samples->ms);
    *samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct samples *samples, double share)
{
    size_t rank = (size_t)ceil(share * (double)samples->len);
    return samples->ms[rank > 0 ? rank - 1 : 0];
}

json_t *samples_json(struct samples *samples)
{
    double sum = 0;
    if (samples->len == 0)
        return json_null();
    qsort(samples->ms, samples->len, sizeof(*samples->ms), compare);
    for (size_t i = 0; i < samples->len; i++)
        sum += samples->ms[i];
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)samples->len,
                     "mean", sum / (double)samples->len, "min", samples->ms[0], "p50",
                     percentile(samples, 0.5), "p90", percentile(samples, 0.9), "p99",
                     percentile(samples, 0.99), "p999", percentile(samples, 0.999), "max",
                     samples->ms[samples->len - 1]);
}
