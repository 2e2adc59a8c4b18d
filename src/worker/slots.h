/* Which id ranges are in use. The lowest free one is given out, so that few ever are: the engine
 * keeps a user namespace for each.
 */
#ifndef WORKER_SLOTS_H
#define WORKER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* No host has more ids than 65,536 ranges of 65,536. */
#define SLOTS_MOST 65536

/* Zeroed, all are free. */
struct slots {
    uint64_t *words; /* a set bit is a slot in use */
    unsigned word_count;
    unsigned full_below; /* words before this one have no free bit */
};

void slots_finish(struct slots *slots);

/* Takes the lowest free slot. Aborts when SLOTS_MOST are in use. */
unsigned slots_take(struct slots *slots);

/* Takes a certain one (below SLOTS_MOST); false when it is in use. */
bool slots_claim(struct slots *slots, unsigned slot);

/* Gives one back. Aborts when it is not in use. */
void slots_free(struct slots *slots, unsigned slot);

#endif
