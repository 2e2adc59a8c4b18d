/* Whether a worker fails again and again. A plain value and its rules; who probes is fleet.c. */
#ifndef MANAGER_HEALTH_H
#define MANAGER_HEALTH_H

#include "../common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Failures with nothing that went well between them, after which a worker is not used. */
#define HEALTH_FAILURES_MAX 5

/* Between two probes of a worker that fails; doubles. */
#define HEALTH_PROBE_MIN_MS 250
#define HEALTH_PROBE_MAX_MS 30000

struct health {
    unsigned in_a_row;
    uint64_t total; /* failures ever */
    bool failing;
    int64_t since_ms; /* wall time of the last change of `failing`; 0: never */
    unsigned probe_ms;
    char why[ERR_MSG_SIZE]; /* the last failure; "" before the first */
};

/* It lost something, did not answer, or answered nonsense. True when that makes it fail. */
bool health_failed(struct health *health, const struct err *why, int64_t now_ms);

/* A run went well. It does not take a failing worker back: that run may be an old one. */
void health_went_well(struct health *health);

/* What a probe found. A good one takes the worker back; health_probe_in_ms says when the next one
 * is due after a bad one.
 */
void health_probed_well(struct health *health, int64_t now_ms);
void health_probe_failed(struct health *health, const struct err *why);
unsigned health_probe_in_ms(const struct health *health);

#endif
