/* The frames that go out on an operation's socket. What the socket does not take at once is kept,
 * at most one data frame and the operation's last words; until it has gone nothing more is to be
 * relayed, so that a slow reader slows its own program and nothing else.
 */
#ifndef AGENT_OUTBOX_H
#define AGENT_OUTBOX_H

#include "../common/frame.h"

#include <stdbool.h>
#include <sys/types.h>

/* The longest payload that outbox_send takes. */
#define OUTBOX_SEND_MAX 128

struct outbox {
    unsigned char *data; /* kept bytes; allocated when first needed */
    size_t at, len;
};

/* Send a control frame. -1 with errno when the socket is over or there is no memory. */
int outbox_send(struct outbox *outbox, int socket, uint8_t type, const void *payload, size_t len);

/* Read once from a non-blocking pipe, at most so many bytes (FRAME_DATA_MAX is the bound), and send
 * them as a data frame; without a socket (-1) they are dropped. Returns how many there were, 0 at
 * the end of the pipe, -1 with errno: EAGAIN when the pipe is empty, anything else when the socket
 * is over. Not while something is pending.
 */
ssize_t outbox_relay(struct outbox *outbox, int socket, uint8_t type, int pipe, size_t most);

/* Send more of what is pending; as outbox_send. */
int outbox_flush(struct outbox *outbox, int socket);

bool outbox_pending(const struct outbox *outbox);

void outbox_finish(struct outbox *outbox);

#endif
