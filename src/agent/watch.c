#include "watch.h"

#include "../common/fd.h"

#include <string.h>

_Static_assert(sizeof(struct watch_tag) == sizeof(uint64_t), "a tag fills an event's data");

static int epoll = -1;

int watch_init(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll < 0 ? -1 : 0;
}

int watch_set(struct watch *watch, struct watch_tag tag, uint32_t events)
{
    if (watch->fd < 0 || events == watch->events)
        return 0;
    int change = EPOLL_CTL_MOD;
    if (watch->events == 0)
        change = EPOLL_CTL_ADD;
    else if (events == 0)
        change = EPOLL_CTL_DEL;
    struct epoll_event event = {.events = events};
    memcpy(&event.data.u64, &tag, sizeof(tag));
    if (epoll_ctl(epoll, change, watch->fd, &event) != 0)
        return -1;
    watch->events = events;
    return 0;
}

void watch_close(struct watch *watch)
{
    /* Closing alone would leave an entry behind when the sender of a socket has a copy of it. */
    watch_set(watch, (struct watch_tag){0}, 0);
    watch->events = 0;
    fd_close(&watch->fd);
}

int watch_wait(struct epoll_event *events, int room, int timeout_ms)
{
    return epoll_wait(epoll, events, room, timeout_ms);
}

struct watch_tag watch_tag(const struct epoll_event *event)
{
    struct watch_tag tag;
    memcpy(&tag, &event->data.u64, sizeof(tag));
    return tag;
}
