/* Pauses between attempts that fail: 100 ms, then twice as long each time, up to a bound. */
#ifndef WORKER_BACKOFF_H
#define WORKER_BACKOFF_H

#include "../common/clock.h"

#define BACKOFF_FIRST_US ((mono_us)100 * US_PER_MS)

/* A plain value; zeroed, nothing has failed. Zero it again after a success. */
struct backoff {
    unsigned failures; /* in a row; its owner counts */
    unsigned pauses;
    mono_us until; /* of the pause */
};

/* Begins the next pause. During one nothing changes: what fails then was begun before it, together
 * with what led to it.
 */
void backoff_pause(struct backoff *backoff, mono_us now, mono_us most);

#endif
