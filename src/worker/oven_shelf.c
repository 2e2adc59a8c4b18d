#include "oven_shelf.h"

void oven_shelf_put(struct oven_shelf *shelf, struct runner *runner, mono_us now)
{
    runner->shelf = shelf;
    runner->shelved = now;
    runner->shelf_prev = shelf->last;
    runner->shelf_next = NULL;
    *(shelf->last ? &shelf->last->shelf_next : &shelf->first) = runner;
    shelf->last = runner;
    shelf->count++;
}

void oven_shelf_remove(struct runner *runner)
{
    struct oven_shelf *shelf = runner->shelf;
    *(runner->shelf_prev ? &runner->shelf_prev->shelf_next : &shelf->first) = runner->shelf_next;
    *(runner->shelf_next ? &runner->shelf_next->shelf_prev : &shelf->last) = runner->shelf_prev;
    shelf->count--;
    runner->shelf = NULL;
    runner->shelf_prev = runner->shelf_next = NULL;
}

void oven_shelf_clear(struct oven_shelf *shelf)
{
    while (shelf->first)
        oven_shelf_remove(shelf->first);
}
