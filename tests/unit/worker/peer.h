/* The other end of a channel, for tests: sends what frames or garbage it likes over a socket, and
 * takes frames one by one while somebody else's loop turns.
 */
#ifndef TESTS_WORKER_PEER_H
#define TESTS_WORKER_PEER_H

#include "../../../src/common/buf.h"
#include "../../../src/common/frame.h"

#include <jansson.h>
#include <stdbool.h>

struct peer {
    int fd;    /* non-blocking */
    bool over; /* the other side has closed */
    struct buf in;
    size_t used; /* bytes of `in` that the present frame takes */
    void (*turn)(void *data);
    void *data;
};

/* Takes fd. turn makes the other side go on for a moment; it is called whenever nothing is ready.
 */
void peer_init(struct peer *peer, int take_fd, void (*turn)(void *data), void *data);

/* A connected pair; the other end is returned. */
int peer_pair(struct peer *peer, void (*turn)(void *data), void *data);

/* Connects to a unix socket. */
void peer_connect(struct peer *peer, const char *path, void (*turn)(void *data), void *data);

/* Closes; may be called again. */
void peer_close(struct peer *peer);

void peer_send_bytes(struct peer *peer, const void *data, size_t len);
void peer_send(struct peer *peer, enum frame_type type, const void *payload, size_t len);
void peer_send_text(struct peer *peer, enum frame_type type, const char *text);

/* How many bytes the other side takes before it takes no more for a while, up to most. */
size_t peer_flood(struct peer *peer, enum frame_type type, size_t most);

/* The next frame, valid until the next call; false at the end of the connection. Fails the test
 * when nothing comes for a long while.
 */
bool peer_next(struct peer *peer, struct frame *frame);

/* Whether a frame is there already, without waiting. */
bool peer_has_frame(struct peer *peer);

/* The next frame is of that type; its payload as JSON, which the caller drops. */
json_t *peer_expect_json(struct peer *peer, enum frame_type type);
void peer_expect(struct peer *peer, enum frame_type type, struct frame *frame);

/* Nothing more comes but the end of the connection. */
void peer_expect_end(struct peer *peer);

#endif
