/* Where an oven's runners stand: a list in the order in which they were put there, through links
 * that every runner has for it.
 */
#ifndef WORKER_OVEN_SHELF_H
#define WORKER_OVEN_SHELF_H

#include "runner.h"

/* Zeroed, it is empty. */
struct oven_shelf {
    struct runner *first, *last; /* in the order in which they were put there */
    unsigned count;
};

/* At the end; the runner is on no other. */
void oven_shelf_put(struct oven_shelf *shelf, struct runner *runner, mono_us now);

/* From the one that it is on; runner->shelved stays. */
void oven_shelf_remove(struct runner *runner);

/* All of them. */
void oven_shelf_clear(struct oven_shelf *shelf);

#endif
