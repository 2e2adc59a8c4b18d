#include "oven_queue.h"

void oven_queue_finish(struct oven_queue *queue)
{
    heap_finish(&queue->deadlines);
}

void oven_queue_put(struct oven_queue *queue, struct oven_ticket *ticket)
{
    ticket->queue = queue;
    ticket->prev = queue->last;
    ticket->next = NULL;
    *(queue->last ? &queue->last->next : &queue->first) = ticket;
    queue->last = ticket;
    queue->count++;
    heap_push(&queue->deadlines, &ticket->deadline, ticket->deadline.due);
}

void oven_queue_remove(struct oven_ticket *ticket)
{
    struct oven_queue *queue = ticket->queue;
    *(ticket->prev ? &ticket->prev->next : &queue->first) = ticket->next;
    *(ticket->next ? &ticket->next->prev : &queue->last) = ticket->prev;
    queue->count--;
    heap_remove(&queue->deadlines, &ticket->deadline);
}

struct oven_ticket *oven_queue_first(const struct oven_queue *queue, uint64_t below)
{
    return queue->first && queue->first->number < below ? queue->first : NULL;
}

struct oven_ticket *oven_queue_next_due(const struct oven_queue *queue)
{
    struct heap_node *node = heap_first(&queue->deadlines);
    return node ? HEAP_ENTRY(node, struct oven_ticket, deadline) : NULL;
}
