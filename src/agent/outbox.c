#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One data frame, and behind it AGENT_STARTED and AGENT_EXIT or AGENT_FAILED. */
#define ROOM (FRAME_HEADER_LEN + FRAME_DATA_MAX + 3 * (FRAME_HEADER_LEN + OUTBOX_SEND_MAX))

/* Send without blocking; how much of it went, 0 when the socket is full. */
static ssize_t send_some(int socket, const void *data, size_t len)
{
    ssize_t sent;
    do
        sent = send(socket, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static int keep(struct outbox *outbox, const void *data, size_t len)
{
    if (!outbox->data)
        outbox->data = malloc(ROOM);
    if (!outbox->data)
        return -1;
    if (len > ROOM - outbox->len) {
        errno = ENOBUFS;
        return -1;
    }
    memcpy(outbox->data + outbox->len, data, len);
    outbox->len += len;
    return 0;
}

static int push(struct outbox *outbox, int socket, const unsigned char *data, size_t len)
{
    if (outbox_pending(outbox))
        return keep(outbox, data, len);
    ssize_t sent = send_some(socket, data, len);
    if (sent < 0)
        return -1;
    return (size_t)sent == len ? 0 : keep(outbox, data + sent, len - (size_t)sent);
}

int outbox_send(struct outbox *outbox, int socket, uint8_t type, const void *payload, size_t len)
{
    unsigned char frame[FRAME_HEADER_LEN + OUTBOX_SEND_MAX];
    if (len > OUTBOX_SEND_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    frame_put_header(frame, type, 0, (uint32_t)len);
    memcpy(frame + FRAME_HEADER_LEN, payload, len);
    return push(outbox, socket, frame, FRAME_HEADER_LEN + len);
}

ssize_t outbox_relay(struct outbox *outbox, int socket, uint8_t type, int pipe, size_t most)
{
    static unsigned char frame[FRAME_HEADER_LEN + FRAME_DATA_MAX]; /* shared by all operations */
    ssize_t got;
    do
        got = read(pipe, frame + FRAME_HEADER_LEN, most);
    while (got < 0 && errno == EINTR);
    if (got <= 0 || socket < 0)
        return got;
    frame_put_header(frame, type, 0, (uint32_t)got);
    return push(outbox, socket, frame, FRAME_HEADER_LEN + (size_t)got) == 0 ? got : -1;
}

int outbox_flush(struct outbox *outbox, int socket)
{
    if (!outbox_pending(outbox))
        return 0;
    ssize_t sent = send_some(socket, outbox->data + outbox->at, outbox->len - outbox->at);
    if (sent < 0)
        return -1;
    outbox->at += (size_t)sent;
    if (outbox->at == outbox->len)
        outbox->at = outbox->len = 0;
    return 0;
}

bool outbox_pending(const struct outbox *outbox)
{
    return outbox->len > 0;
}

void outbox_finish(struct outbox *outbox)
{
    free(outbox->data);
    *outbox = (struct outbox){0};
}
