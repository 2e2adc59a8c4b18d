/* A heap of times: who is due first, in O(log n). Those due at the same time leave in the order in
 * which they came. Nodes live inside what they stand for, see HEAP_ENTRY.
 */
#ifndef WORKER_HEAP_H
#define WORKER_HEAP_H

#include "../common/clock.h"

#include <stddef.h>
#include <stdint.h>

struct heap_node {
    mono_us due;
    uint64_t order;
    unsigned place; /* from 1; 0: in no heap */
};

struct heap {
    struct heap_node **nodes; /* nodes[0] is due first */
    unsigned count, room;
    uint64_t pushed;
};

/* The object that holds the node: HEAP_ENTRY(node, struct ticket, due). */
#define HEAP_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* A zeroed heap is an empty one. Frees its memory, not the nodes. */
void heap_finish(struct heap *heap);

/* Puts a node in, or gives one that is in it another time. */
void heap_push(struct heap *heap, struct heap_node *node, mono_us due);

/* Takes a node out; one that is in no heap stays so. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The one that is due first; NULL when there is none. */
struct heap_node *heap_first(const struct heap *heap);

#endif
