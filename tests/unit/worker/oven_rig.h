/* A whole kitchen for the oven's tests: the fake engine, a roster, an oven, and an owner who steps
 * it exactly when the oven says so and never else.
 */
#ifndef TESTS_WORKER_OVEN_RIG_H
#define TESTS_WORKER_OVEN_RIG_H

#include "../../../src/worker/engine_fake.h"
#include "../../../src/worker/ovens.h"

struct rig {
    struct engine_fake *fake;
    const struct clock *clock;
    struct roster *roster;
    struct ovens *ovens;
    struct oven *oven; /* the default template's */
    struct ovens_config config;
    unsigned memory; /* percent in use, as the oven is told */
    mono_us timer;   /* when the owner will step; 0: when it is woken */
    unsigned wakes;
    uint64_t steps;
    void (*prepare)(struct rig *rig); /* called when there is a roster, and no oven yet; or NULL */
    void (*after)(struct rig *rig);   /* called after every step and engine event; or NULL */
};

/* min 2, max 8, 2 at once, 4 may wait, target 40 %, ceiling 90 %, cooking at most 1 s, pauses at
 * most 3.2 s; memory at 50 %.
 */
void rig_defaults(struct rig *rig);

/* Makes what rig->config says; the fake is made unless it exists. The oven has not been stepped. */
void rig_start(struct rig *rig);

/* Ends the oven and the roster, and the fake's engine with it; containers live on. */
void rig_stop(struct rig *rig);

/* rig_stop and the fake. */
void rig_finish(struct rig *rig);

mono_us rig_now(const struct rig *rig);

/* Lets time pass; what is due happens in order and the oven is stepped when it is due. */
void rig_pass(struct rig *rig, mono_us us);
void rig_pass_ms(struct rig *rig, int64_t ms);

/* A new memory figure: the oven is stepped at once. */
void rig_memory(struct rig *rig, unsigned percent);

struct oven_figures rig_figures(const struct rig *rig);

#endif
