/* A channel: frames over a connected unix socket, on a libuv loop. Both hops and both ends use it.
 *
 * Sending queues without a bound of its own; the owner watches chan_queued() and stops its
 * producer above CHAN_HIGH, and starts it again when on_drain says that less than CHAN_LOW is left.
 * A peer that lets CHAN_CAP pile up is closed. Programs that use this ignore SIGPIPE.
 */
#ifndef LOOP_CHAN_H
#define LOOP_CHAN_H

#include "../common/err.h"
#include "../common/frame.h"

#include <stdbool.h>
#include <uv.h>

#define CHAN_LOW (64 * 1024)
#define CHAN_HIGH (256 * 1024)
#define CHAN_CAP (8 * 1024 * 1024)

/* Frames that one channel delivers before others have had their turn; the rest comes a millisecond
 * later. Whoever sends what it has in frames of some size never notices.
 */
#define CHAN_TURN_FRAMES 64

struct chan;

struct chan_ops {
    /* A whole, checked frame; its payload is valid during the call only. Fires any number of
     * times, from the loop alone, never after on_closed. The channel may be destroyed inside it.
     */
    void (*on_frame)(struct chan *chan, const struct frame *frame, void *data);

    /* The connection is over: end of file (why->code is ERR_NONE), or an error, or garbage. Fires
     * at most once, from the loop alone and not after chan_destroy. The owner still destroys the
     * channel, and may do so inside it.
     */
    void (*on_closed)(struct chan *chan, const struct err *why, void *data);

    /* The queue fell below CHAN_LOW after it had been above CHAN_HIGH, or was dropped because the
     * peer takes no more. From the loop alone; the channel may be destroyed inside it. May be NULL.
     */
    void (*on_drain)(struct chan *chan, void *data);
};

/* Takes fd (non-blocking or not); reading starts at once. ops must outlive the channel. Returns
 * NULL and closes fd on failure.
 */
struct chan *chan_create(uv_loop_t *loop, int take_fd, const struct chan_ops *ops, void *data,
                         struct err *err);

/* Connects to the unix socket at path; frames may be sent at once and leave when it is connected,
 * which takes long only while its listener's queue is full (then it is tried for CHAN_CONNECT_MS).
 * A failure to connect arrives as on_closed. NULL only when the path is too long.
 */
#define CHAN_CONNECT_MS 5000
struct chan *chan_connect(uv_loop_t *loop, const char *path, const struct chan_ops *ops, void *data,
                          struct err *err);

/* Queue a frame; payload is copied. Does nothing once the connection is over. A payload longer than
 * its type allows ends the connection, as the peer would.
 */
void chan_send(struct chan *chan, enum frame_type type, const void *payload, size_t len);

/* Bytes queued and not yet taken by the kernel. */
size_t chan_queued(const struct chan *chan);

/* Bytes of frames that the kernel has taken, ever; the peer cannot have seen more than that. */
uint64_t chan_taken(const struct chan *chan);

/* Stop and start reading. No frame is delivered while paused; one that was read before is delivered
 * first when resumed, from the loop. An end of file is not seen while paused.
 */
void chan_pause(struct chan *chan);
void chan_resume(struct chan *chan);

/* The descriptor, for SCM_RIGHTS and SO_PEERCRED; owned by the channel. -1 before it connects. */
int chan_fd(const struct chan *chan);

/* Other callbacks from now on, e.g. once a first frame has told who the peer is. */
void chan_set_ops(struct chan *chan, const struct chan_ops *ops, void *data);

/* No callback fires from now on; what is queued is sent first when linger is true (for at most
 * CHAN_LINGER_MS), else dropped. NULL is fine.
 */
#define CHAN_LINGER_MS 5000
void chan_destroy(struct chan *chan, bool linger);

/* As chan_destroy, for a peer that may take its time. */
void chan_linger(struct chan *chan, uint64_t linger_ms);

#endif
