/* The ovens of a worker, one per template, and what they share: max_runners, the memory, the starts
 * at the same time and the places to wait.
 *
 * They have no timer and no thread of their own: they act on roster events, on oven_take, and when
 * their owner calls ovens_step, which must happen by ovens_next_step(). Decisions depend on the
 * clock of the roster and on what ovens_step was told, nothing else, so tests run them by the
 * million.
 */
#ifndef WORKER_OVENS_H
#define WORKER_OVENS_H

#include "oven.h"

#define OVENS_MAX 32

struct ovens;

/* One build of a template. Texts are copied. */
struct oven_template {
    const char *name;
    const char *rootfs;
    int64_t stamp; /* differs between builds */
};

struct ovens_config {
    struct oven_template template;              /* the default one; it always has its oven */
    struct engine_spec spec;                    /* what is cooked, but name, slot and rootfs */
    unsigned min_available, mem_target_percent; /* of the default template */
    unsigned min_available_other;
    mono_us linger_us; /* of the others */
    unsigned max_runners, cook_parallel, queue_length, mem_ceiling_percent;
    mono_us cook_timeout_us, backoff_max_us;
};

struct ovens *ovens_create(struct roster *roster, const struct ovens_config *config,
                           const struct clock *clock);

/* Every waiting ticket is answered first (NOT_AVAILABLE). Never inside done. */
void ovens_destroy(struct ovens *ovens);

/* The template is there: makes its oven, or begins anew with its other build. ERR_BAD_REQUEST for a
 * name that is none, ERR_NOT_AVAILABLE past OVENS_MAX. Neither inside done nor in an observer.
 */
struct oven *ovens_put(struct ovens *ovens, const struct oven_template *template, struct err *err);

/* The template is no more: callers are refused and idle runners destroyed, those in use stay. The
 * default template's oven stays too; its starts will say what is wrong. As ovens_put, not inside.
 */
void ovens_remove(struct ovens *ovens, struct oven *oven);

/* By the template's name, "" for the default one; NULL when there is none. */
struct oven *ovens_find(const struct ovens *ovens, const char *template_name);

/* The default template's comes first. each may remove the oven it is given. */
void ovens_each(struct ovens *ovens, void (*each)(struct oven *oven, void *data), void *data);

/* Do what is due now; tickets are answered in here. memory_used_percent is the host's: call it with
 * every new figure too. Nothing is cooked before the first call.
 */
void ovens_step(struct ovens *ovens, unsigned memory_used_percent);

/* When ovens_step must be called again, at the latest; 0: only after the next event. A time that
 * has passed means at once (a taken ticket waits to be answered).
 */
mono_us ovens_next_step(const struct ovens *ovens);

/* The owner is told when ovens_next_step() has moved closer than it was after the last ovens_step,
 * so that it can set its timer anew. wake must not call ovens_step: it fires inside oven_take.
 */
void ovens_on_wake(struct ovens *ovens, void (*wake)(void *data), void *data);

/* Cook no more; warm runners are still handed out. */
void ovens_stop(struct ovens *ovens);

#endif
