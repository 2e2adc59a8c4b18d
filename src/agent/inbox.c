#include "inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Room for one data frame: what an operation keeps for its life once it was needed. */
#define ROOM_MIN (FRAME_HEADER_LEN + FRAME_DATA_MAX)

static unsigned char shared[ROOM_MIN];

ssize_t inbox_fill(struct inbox *inbox, int socket)
{
    unsigned char *to = shared;
    size_t room = sizeof(shared);
    if (inbox->len > 0) {
        to = inbox->own + inbox->len;
        room = inbox->room - inbox->len;
    }
    ssize_t got;
    do
        got = recv(socket, to, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got;
    if (inbox->len == 0)
        inbox->at = shared;
    inbox->len += (size_t)got;
    return got;
}

enum frame_status inbox_peek(const struct inbox *inbox, struct frame *frame, size_t *used)
{
    return frame_parse(inbox->at, inbox->len, frame, used);
}

void inbox_drop(struct inbox *inbox, size_t used)
{
    inbox->at += used;
    inbox->len -= used;
}

int inbox_keep(struct inbox *inbox)
{
    if (inbox->len == 0) {
        if (inbox->room > ROOM_MIN)
            inbox_finish(inbox); /* one large AGENT_EXEC is no reason to keep a megabyte */
        return 0;
    }
    struct frame frame;
    size_t needed;
    if (inbox_peek(inbox, &frame, &needed) == FRAME_BAD || needed < ROOM_MIN)
        needed = ROOM_MIN;
    if (needed > inbox->room) {
        unsigned char *larger = malloc(needed);
        if (!larger)
            return -1;
        memcpy(larger, inbox->at, inbox->len);
        free(inbox->own);
        inbox->own = larger;
        inbox->room = needed;
    } else if (inbox->at != inbox->own) {
        memmove(inbox->own, inbox->at, inbox->len);
    }
    inbox->at = inbox->own;
    return 0;
}

void inbox_finish(struct inbox *inbox)
{
    free(inbox->own);
    *inbox = (struct inbox){0};
}
