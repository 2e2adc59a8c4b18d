#include "heap.h"

#include "../common/mem.h"

static int before(const struct heap_node *a, const struct heap_node *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void place(struct heap *heap, unsigned at, struct heap_node *node)
{
    heap->nodes[at] = node;
    node->place = at + 1;
}

static void sift_up(struct heap *heap, unsigned at)
{
    struct heap_node *node = heap->nodes[at];
    while (at > 0 && before(node, heap->nodes[(at - 1) / 2])) {
        place(heap, at, heap->nodes[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(heap, at, node);
}

static void sift_down(struct heap *heap, unsigned at)
{
    struct heap_node *node = heap->nodes[at];
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (before(node, heap->nodes[child]))
            break;
        place(heap, at, heap->nodes[child]);
        at = child;
    }
    place(heap, at, node);
}

void heap_finish(struct heap *heap)
{
    free(heap->nodes);
    *heap = (struct heap){0};
}

void heap_push(struct heap *heap, struct heap_node *node, mono_us due)
{
    heap_remove(heap, node);
    if (heap->count == heap->room) {
        heap->room = heap->room ? 2 * heap->room : 16;
        heap->nodes = mem_realloc(heap->nodes, heap->room * sizeof(struct heap_node *));
    }
    node->due = due;
    node->order = heap->pushed++;
    place(heap, heap->count++, node);
    sift_up(heap, heap->count - 1);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->place == 0)
        return;
    unsigned at = node->place - 1;
    node->place = 0;
    struct heap_node *last = heap->nodes[--heap->count];
    if (last == node)
        return;
    /* The last one fills the hole; it may belong above it as well as below. */
    place(heap, at, last);
    sift_up(heap, at);
    sift_down(heap, last->place - 1);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->nodes[0] : NULL;
}
