/* The oven: keeps warm runners ready ahead of demand and hands them out, first come first served.
 *
 * It has no timer and no thread of its own: it acts on roster events, on oven_take, and when its
 * owner calls oven_step, which must happen by oven_next_step(). Decisions depend on the clock of
 * the roster and on what oven_step was told, nothing else, so tests run it by the million.
 */
#ifndef WORKER_OVEN_H
#define WORKER_OVEN_H

#include "runner.h"

struct oven;
struct oven_ticket; /* one caller who waits */

struct oven_config {
    char template_name[NAME_MAX_LEN + 1];
    struct engine_spec spec; /* what is cooked, but name and slot; rootfs must outlive the oven */
    unsigned min_available, max_runners, cook_parallel, queue_length;
    unsigned mem_target_percent, mem_ceiling_percent;
    mono_us cook_timeout_us, backoff_max_us;
};

enum oven_status {
    OVEN_IDLE,
    OVEN_COOKING,
    OVEN_FULL,
    OVEN_MEMORY,
    OVEN_BACKING_OFF,
    OVEN_STOPPED
};

struct oven_figures {
    enum oven_status status;
    char message[240]; /* the last failure, "" when the last start went well */
    unsigned cooking, available, waiting;
    unsigned target;                         /* warm runners wanted by min_available and demand */
    unsigned failures;                       /* starts that failed in a row */
    mono_us cook_us;                         /* smoothed time of a start; 0 before the first */
    uint64_t cooked, failed, taken, refused; /* since the oven was made */
};

struct oven *oven_create(struct roster *roster, const struct oven_config *config,
                         const struct clock *clock);

/* Every waiting ticket is answered first (NOT_AVAILABLE). Never inside done. */
void oven_destroy(struct oven *oven);

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

/* Do what is due now; tickets are answered in here. memory_used_percent is the host's: call it with
 * every new figure too. Nothing is cooked before the first call.
 */
void oven_step(struct oven *oven, unsigned memory_used_percent);

/* When oven_step must be called again, at the latest; 0: only after the next event. A time that
 * has passed means at once (a taken ticket waits to be answered).
 */
mono_us oven_next_step(const struct oven *oven);

/* The owner is told when oven_next_step() has moved closer than it was after the last oven_step, so
 * that it can set its timer anew. wake must not call oven_step: it fires inside oven_take.
 */
void oven_on_wake(struct oven *oven, void (*wake)(void *data), void *data);

/* Cook no more; warm runners are still handed out. */
void oven_stop(struct oven *oven);

void oven_get_figures(const struct oven *oven, struct oven_figures *figures);
const char *oven_status_name(enum oven_status status);

#endif
