#include "listeners.h"

#include <stddef.h>

void listeners_add(struct listeners *listeners, struct listener *listener)
{
    listener->prev = NULL;
    listener->next = listeners->first;
    if (listener->next)
        listener->next->prev = listener;
    listeners->first = listener;
}

void listeners_remove(struct listeners *listeners, struct listener *listener)
{
    if (listeners->cursor == listener)
        listeners->cursor = listener->next;
    *(listener->prev ? &listener->prev->next : &listeners->first) = listener->next;
    if (listener->next)
        listener->next->prev = listener->prev;
    listener->prev = listener->next = NULL;
}

void listeners_tell(struct listeners *listeners)
{
    listeners->cursor = listeners->first;
    while (listeners->cursor) {
        struct listener *listener = listeners->cursor;
        listeners->cursor = listener->next;
        listener->changed(listener);
    }
}
