/* The frames that come in on an operation's socket. Bytes are received into one buffer that all
 * operations share; memory of its own is taken only for what is left over: a frame that is not
 * complete yet, or standard input that the program does not take.
 */
#ifndef AGENT_INBOX_H
#define AGENT_INBOX_H

#include "../common/frame.h"

#include <sys/types.h>

struct inbox {
    const unsigned char *at; /* the bytes not done with; in own, or in the shared buffer */
    size_t len;
    unsigned char *own;
    size_t room; /* of own */
};

/* Receive once, without blocking. Returns the bytes received, 0 at the end, -1 with errno. */
ssize_t inbox_fill(struct inbox *inbox, int socket);

/* As frame_parse, on what is there. */
enum frame_status inbox_peek(const struct inbox *inbox, struct frame *frame, size_t *used);

/* Be done with the first bytes; the frame that was peeked there is no longer valid. */
void inbox_drop(struct inbox *inbox, size_t used);

/* Before another inbox is filled: moves what is left over to memory of its own. -1 with errno. */
int inbox_keep(struct inbox *inbox);

void inbox_finish(struct inbox *inbox);

#endif
