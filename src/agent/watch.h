/* What the agent's loop waits for: one epoll set, level-triggered. An event carries a tag instead
 * of a pointer, so that one that was already fetched when its object went finds nothing.
 */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include <stdint.h>
#include <sys/epoll.h>

enum watch_source {
    WATCH_SIGNALS,
    WATCH_CONTROL,
    WATCH_OP_SOCKET,
    WATCH_OP_STDIN,
    WATCH_OP_STDOUT,
    WATCH_OP_STDERR,
};

struct watch_tag {
    uint32_t generation; /* of the slot: it differs for each operation that had it */
    uint16_t slot;
    uint16_t source; /* enum watch_source */
};

struct watch {
    int fd;          /* -1: none */
    uint32_t events; /* what it is registered for; 0: not registered */
};

int watch_init(void);

/* Wait for these events from now on; 0 = for none, not even for a hang-up. -1 with errno when the
 * kernel has no room for it. Does nothing without a descriptor.
 */
int watch_set(struct watch *watch, struct watch_tag tag, uint32_t events);

/* Stops waiting and closes the descriptor, if there is one. */
void watch_close(struct watch *watch);

/* As epoll_wait; timeout_ms -1 = for ever. */
int watch_wait(struct epoll_event *events, int room, int timeout_ms);

struct watch_tag watch_tag(const struct epoll_event *event);

#endif
