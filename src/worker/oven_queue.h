/* Those who wait for the oven's runners: in the order in which they came, and by their deadlines.
 */
#ifndef WORKER_OVEN_QUEUE_H
#define WORKER_OVEN_QUEUE_H

#include "heap.h"
#include "oven.h"

/* One oven_take. A plain value inside the oven; freed by it when it is answered or cancelled. */
struct oven_ticket {
    struct oven *oven;
    struct oven_queue *queue;
    struct oven_ticket *prev, *next;
    struct heap_node deadline; /* 0: it does not wait */
    mono_us since;
    uint64_t number; /* those who came later have higher ones */
    oven_take_cb done;
    void *data;
};

/* Zeroed, nobody waits. Once nobody does, oven_queue_finish frees its memory. */
struct oven_queue {
    struct oven_ticket *first, *last;
    unsigned count;
    struct heap deadlines;
};

void oven_queue_finish(struct oven_queue *queue);

/* At the end; its deadline.due is set. */
void oven_queue_put(struct oven_queue *queue, struct oven_ticket *ticket);

/* From the one that it is in. */
void oven_queue_remove(struct oven_ticket *ticket);

/* The first if its number is lower than that, else NULL. */
struct oven_ticket *oven_queue_first(const struct oven_queue *queue, uint64_t below);

/* The one whose deadline comes first; NULL when nobody waits. */
struct oven_ticket *oven_queue_next_due(const struct oven_queue *queue);

#endif
