/* An oven: keeps warm runners of one template ready ahead of demand and hands them out, first come
 * first served. The ovens of all templates (ovens.h) share a worker's room, memory and starts.
 */
#ifndef WORKER_OVEN_H
#define WORKER_OVEN_H

#include "runner.h"

struct oven;
struct oven_ticket; /* one caller who waits */

enum oven_mode {
    OVEN_COOKS,
    OVEN_IS_PAUSED,  /* cooks no more; what is warm is handed out */
    OVEN_IS_DRAINED, /* hands out nothing either; what is idle is destroyed */
};

/* What may be changed while it works. */
struct oven_settings {
    unsigned min_available;
    unsigned max_runners; /* of this template */
    unsigned mem_target_percent;
    enum oven_mode mode;
    /* How long after the last caller one runner is kept warm though min_available is 0, and how
     * long a warm runner stays that nobody wants. 0: neither, what is warm is used up.
     */
    mono_us linger_us;
};

enum oven_status {
    OVEN_IDLE,
    OVEN_COOKING,
    OVEN_FULL,
    OVEN_MEMORY,
    OVEN_BACKING_OFF,
    OVEN_PAUSED,
    OVEN_DRAINING,
    OVEN_DRAINED,
    OVEN_STOPPED
};

struct oven_figures {
    enum oven_status status;
    char message[240]; /* the last failure, "" when the last start went well */
    unsigned cooking, available, in_use, freeing, total, waiting;
    unsigned target;                         /* warm runners wanted by min_available and demand */
    unsigned failures;                       /* starts that failed in a row */
    mono_us cook_us;                         /* smoothed time of a start; 0 before the first */
    uint64_t cooked, failed, taken, refused; /* since the oven was made */
};

/* done fires exactly once, never before oven_take returns: either with a runner that is IN_USE
 * and now the caller's (until runner_destroy), or with NULL and err: ERR_NOT_AVAILABLE when the
 * queue is full, or the deadline passed, or starts keep failing: three in a row, of which one after
 * a pause (the message says why and names the last failure). retry_after_us is a guess at when to
 * try again, 0 with a runner. Inside it other tickets may be taken and cancelled and runners
 * destroyed.
 */
typedef void (*oven_take_cb)(struct runner *runner, const struct err *err, mono_us retry_after_us,
                             void *data);

/* Take a warm runner, or wait for one until deadline (0: do not wait). The ticket is valid until
 * done fires or it is cancelled; cancelled, done never fires.
 */
struct oven_ticket *oven_take(struct oven *oven, mono_us deadline, oven_take_cb done, void *data);
void oven_cancel(struct oven_ticket *ticket);

const char *oven_template_name(const struct oven *oven);

const struct oven_settings *oven_get_settings(const struct oven *oven);

/* Warm runners past a lower max_runners are destroyed, those in use stay. Never inside done. */
void oven_set_settings(struct oven *oven, const struct oven_settings *settings);

void oven_get_figures(const struct oven *oven, struct oven_figures *figures);
const char *oven_status_name(enum oven_status status);

#endif
