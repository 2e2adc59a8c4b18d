/* Who wants to hear that something has changed. */
#ifndef MANAGER_LISTENERS_H
#define MANAGER_LISTENERS_H

/* Embed it in a struct that outlives its stay in the list. changed may remove any listener, and add
 * some, which are not told this time.
 */
struct listener {
    void (*changed)(struct listener *listener);
    struct listener *prev, *next;
};

struct listeners {
    struct listener *first;
    struct listener *cursor; /* who is told next; NULL: nobody is being told */
};

void listeners_add(struct listeners *listeners, struct listener *listener);
void listeners_remove(struct listeners *listeners, struct listener *listener);

/* Inside itself it tells all anew, and the outer one is then over: whoever is told looks for itself
 * what has changed.
 */
void listeners_tell(struct listeners *listeners);

#endif
