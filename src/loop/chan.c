#include "chan.h"

#include "../common/buf.h"
#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* How it works. Reads land in `in`, frames are cut from its front, and it is freed whenever it is
 * empty: most channels are idle. A frame to send is offered to the kernel at once; what it does not
 * take waits in `out`, and becomes one libuv write when the write before it is done.
 *
 * A peer that answers and closes without reading all we send makes a write fail while its answer
 * still waits to be read: so such a write only makes the peer `deaf`, and the end is what the
 * reading side finds. `over` is set then; on_closed fires from the loop. chan_destroy sets
 * `closing`; the memory goes with the last close callback of the two handles.
 *
 * The timer has four uses, of which one at a time is due: another attempt to connect, frames that
 * waited for chan_resume, on_closed, and the end of a linger.
 */
struct chan {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
    } io;
    uv_timer_t timer;
    uv_write_t write;
    const struct chan_ops *ops;
    void *data;
    char *path;     /* where to connect; NULL once connected */
    uint64_t until; /* uv_now: of connecting, or of a linger */
    char *in;
    size_t in_len, in_room;
    uint64_t accepted; /* bytes of frames, sent or queued */
    struct buf out;
    char *writing; /* what libuv is writing, NULL: nothing */
    bool connected, reading, paused, above_high, dispatching, deaf, over, closing;
    int open_handles;
    struct err why;
};

#define READ_ROOM (FRAME_HEADER_LEN + FRAME_DATA_MAX)
#define CONNECT_RETRY_MS 5
#define TURN_PAUSE_MS 1

static void flush(struct chan *chan);

static void on_handle_closed(uv_handle_t *handle)
{
    struct chan *chan = handle->data;
    if (--chan->open_handles > 0)
        return;
    buf_finish(&chan->out);
    free(chan->path);
    free(chan->in);
    free(chan);
}

static void close_handles(struct chan *chan)
{
    if (!uv_is_closing(&chan->io.handle)) {
        uv_close(&chan->io.handle, on_handle_closed);
        uv_close((uv_handle_t *)&chan->timer, on_handle_closed);
    }
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct chan *chan, uint64_t after_ms)
{
    uv_timer_start(&chan->timer, on_timer, after_ms, 0);
}

static uint64_t now_ms(const struct chan *chan)
{
    return uv_now(chan->timer.loop);
}

/* The connection is over; the owner hears of it from the loop, never inside its own call. */
static void end(struct chan *chan, const struct err *why)
{
    if (chan->over)
        return;
    chan->over = true;
    chan->why = why ? *why : (struct err){0};
    if (chan->reading)
        uv_read_stop(&chan->io.stream);
    chan->reading = false;
    set_timer(chan, 0);
}

static void end_sys(struct chan *chan, int uv_status, const char *doing)
{
    struct err why;
    err_sys(&why, ERR_BAD_GATEWAY, -uv_status, "%s", doing);
    end(chan, &why);
}

/* The kernel takes no more. A peer that is gone is found by reading, behind what it said last; one
 * that is still there must not wait for what will never come.
 */
static void note_refusal(struct chan *chan, int uv_status)
{
    chan->deaf = true;
    if (uv_status != UV_EPIPE && uv_status != UV_ECONNRESET && !chan->closing)
        end_sys(chan, uv_status, "write");
}

static void end_bad_frame(struct chan *chan, const struct frame *frame)
{
    struct err why;
    err_set(&why, ERR_BAD_GATEWAY, "the peer sent a malformed frame: type %u (%s), %u bytes",
            frame->type, frame_name(frame->type), frame->len);
    end(chan, &why);
}

static void end_cut_off(struct chan *chan)
{
    struct err why;
    err_set(&why, ERR_BAD_GATEWAY, "the peer closed in the middle of a frame");
    end(chan, &why);
}

static void free_empty_in(struct chan *chan)
{
    if (chan->in_len > 0)
        return;
    free(chan->in);
    chan->in = NULL;
    chan->in_room = 0;
}

/* The rest of what was read has to wait, so that others get their turn. The pause is one of time: a
 * timer that is due at once runs again before anybody else does.
 */
static void yield(struct chan *chan)
{
    if (chan->reading)
        uv_read_stop(&chan->io.stream);
    chan->reading = false;
    set_timer(chan, TURN_PAUSE_MS);
}

/* Hands out the frames at the front of `in`. The owner may have destroyed the channel after. */
static void dispatch(struct chan *chan)
{
    chan->dispatching = true;
    size_t at = 0;
    for (unsigned frames = 0; !chan->closing && !chan->over && !chan->paused; frames++) {
        struct frame frame;
        size_t used;
        if (frames >= CHAN_TURN_FRAMES && at < chan->in_len) {
            yield(chan);
            break;
        }
        enum frame_status status = frame_parse(chan->in + at, chan->in_len - at, &frame, &used);
        if (status == FRAME_BAD)
            end_bad_frame(chan, &frame);
        if (status == FRAME_MORE && used > chan->in_room) {
            chan->in = mem_realloc(chan->in, used);
            chan->in_room = used;
        }
        if (status != FRAME_OK)
            break;
        at += used;
        chan->ops->on_frame(chan, &frame, chan->data);
    }
    chan->dispatching = false;
    chan->in_len -= at;
    memmove(chan->in, chan->in + at, chan->in_len);
    free_empty_in(chan);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct chan *chan = handle->data;
    if (!chan->in) {
        chan->in_room = READ_ROOM;
        chan->in = mem_realloc(NULL, chan->in_room);
    }
    *buf = uv_buf_init(chan->in + chan->in_len, (unsigned)(chan->in_room - chan->in_len));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    (void)buf;
    struct chan *chan = stream->data;
    if (len > 0)
        len = FAULT(CHAN_READ, -errno, len);
    if (len > 0) {
        chan->in_len += (size_t)len;
        dispatch(chan);
        return;
    }
    if (len == UV_EOF && chan->in_len == 0)
        end(chan, NULL);
    else if (len == UV_EOF)
        end_cut_off(chan);
    else if (len < 0)
        end_sys(chan, (int)len, "read");
    free_empty_in(chan);
}

static void start_reading(struct chan *chan)
{
    if (chan->reading || chan->paused || chan->over || chan->closing || !chan->connected)
        return;
    if (uv_read_start(&chan->io.stream, on_alloc, on_read) == 0)
        chan->reading = true;
}

static struct chan *allocate(uv_loop_t *loop, const struct chan_ops *ops, void *data)
{
    struct chan *chan = mem_new(struct chan);
    chan->ops = ops;
    chan->data = data;
    buf_init(&chan->out, CHAN_CAP + FRAME_HEADER_LEN + FRAME_CONTROL_MAX);
    uv_pipe_init(loop, &chan->io.pipe, 0);
    uv_timer_init(loop, &chan->timer);
    chan->io.handle.data = chan;
    chan->timer.data = chan;
    chan->open_handles = 2;
    return chan;
}

/* Takes a connected socket; a uv status. */
static int open_pipe(struct chan *chan, int take_fd)
{
    int status = FAULT(CHAN_OPEN, -errno, uv_pipe_open(&chan->io.pipe, take_fd));
    if (status != 0) {
        close(take_fd);
        return status;
    }
    chan->connected = true;
    flush(chan);
    start_reading(chan);
    return 0;
}

struct chan *chan_create(uv_loop_t *loop, int take_fd, const struct chan_ops *ops, void *data,
                         struct err *err)
{
    struct chan *chan = allocate(loop, ops, data);
    int status = open_pipe(chan, take_fd);
    if (status != 0) {
        err_sys(err, ERR_INTERNAL, -status, "uv_pipe_open");
        chan_destroy(chan, false);
        return NULL;
    }
    return chan;
}

/* A connected socket, or -1 with errno: a unix socket is connected at once or not at all. */
static int connect_now(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return -1;
    return steal_fd(&fd);
}

/* EAGAIN is a listener whose queue is full: it is there, and busy; nothing tells when it is not. */
static void try_connect(struct chan *chan)
{
    int fd = connect_now(chan->path);
    int failed = fd < 0 ? errno : -open_pipe(chan, fd);
    if (failed == EAGAIN && now_ms(chan) < chan->until) {
        set_timer(chan, CONNECT_RETRY_MS);
    } else if (failed && chan->closing) {
        close_handles(chan);
    } else if (failed) {
        struct err why;
        err_sys(&why, ERR_BAD_GATEWAY, failed, "connect to %s", chan->path);
        end(chan, &why);
    } else {
        free(steal_ptr(chan->path));
        if (chan->closing)
            set_timer(chan, chan->until - now_ms(chan));
    }
}

struct chan *chan_connect(uv_loop_t *loop, const char *path, const struct chan_ops *ops, void *data,
                          struct err *err)
{
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        err_set(err, ERR_INTERNAL, "%s: longer than a socket's path may be", path);
        return NULL;
    }
    struct chan *chan = allocate(loop, ops, data);
    chan->path = mem_strdup(path);
    uv_update_time(loop);
    chan->until = now_ms(chan) + CHAN_CONNECT_MS;
    try_connect(chan);
    return chan;
}

static void on_timer(uv_timer_t *timer)
{
    struct chan *chan = timer->data;
    if (chan->closing && now_ms(chan) >= chan->until) {
        close_handles(chan);
    } else if (chan->over) {
        chan->ops->on_closed(chan, &chan->why, chan->data);
    } else if (!chan->connected) {
        try_connect(chan);
    } else if (!chan->paused && chan->in_len > 0) {
        dispatch(chan);
        if (!uv_is_active((uv_handle_t *)&chan->timer)) /* it has not yielded again */
            start_reading(chan);
    }
}

static void after_write(struct chan *chan)
{
    size_t queued = chan_queued(chan);
    if (chan->closing) {
        if (queued == 0)
            close_handles(chan);
        return;
    }
    if (chan->above_high && queued < CHAN_LOW) {
        chan->above_high = false;
        if (chan->ops->on_drain && !chan->over)
            chan->ops->on_drain(chan, chan->data);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct chan *chan = write->handle->data;
    free(steal_ptr(chan->writing));
    if (status == UV_ECANCELED)
        return;
    if (status != 0)
        note_refusal(chan, status);
    flush(chan);
    after_write(chan);
}

static void flush(struct chan *chan)
{
    if (chan->out.len == 0 || chan->writing || !chan->connected)
        return;
    uv_buf_t bytes = uv_buf_init(NULL, (unsigned)chan->out.len);
    bytes.base = chan->writing = buf_steal(&chan->out);
    int status =
        FAULT(CHAN_WRITE, -errno, uv_write(&chan->write, &chan->io.stream, &bytes, 1, on_written));
    if (status != 0) {
        free(steal_ptr(chan->writing));
        note_refusal(chan, status);
    }
}

/* How much of the frame the kernel takes now; the peer is deaf when it takes no more at all. */
static size_t write_now(struct chan *chan, unsigned char *header, const void *payload, size_t len)
{
    if (!chan->connected || chan->writing || chan->out.len > 0)
        return 0;
    uv_buf_t parts[2] = {uv_buf_init((char *)header, FRAME_HEADER_LEN),
                         uv_buf_init((char *)payload, (unsigned)len)};
    int sent = FAULT(CHAN_TRY_WRITE, -errno, uv_try_write(&chan->io.stream, parts, len ? 2 : 1));
    if (sent < 0 && sent != UV_EAGAIN)
        note_refusal(chan, sent);
    return sent > 0 ? (size_t)sent : 0;
}

static bool may_send(struct chan *chan, enum frame_type type, size_t len)
{
    struct err why;
    if (chan->over || chan->deaf || chan->closing)
        return false;
    if ((int64_t)len > frame_max_len((uint8_t)type))
        err_set(&why, ERR_INTERNAL, "a %s of %zu bytes is longer than it may be",
                frame_name((uint8_t)type), len);
    else if (chan_queued(chan) > CHAN_CAP)
        err_set(&why, ERR_BAD_GATEWAY, "the peer reads too slowly: %d bytes are waiting", CHAN_CAP);
    else
        return true;
    end(chan, &why);
    return false;
}

void chan_send(struct chan *chan, enum frame_type type, const void *payload, size_t len)
{
    if (!may_send(chan, type, len))
        return;
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    size_t sent = write_now(chan, header, payload, len);
    if (chan->deaf)
        return;
    chan->accepted += sizeof(header) + len;
    if (sent == sizeof(header) + len)
        return;
    size_t header_sent = sent < sizeof(header) ? sent : sizeof(header);
    size_t payload_sent = sent - header_sent;
    buf_append(&chan->out, header + header_sent, sizeof(header) - header_sent);
    buf_append(&chan->out, (const char *)payload + payload_sent, len - payload_sent);
    flush(chan);
    if (chan_queued(chan) > CHAN_HIGH)
        chan->above_high = true;
}

size_t chan_queued(const struct chan *chan)
{
    return chan->out.len + uv_stream_get_write_queue_size(&chan->io.stream);
}

uint64_t chan_taken(const struct chan *chan)
{
    return chan->accepted - chan_queued(chan);
}

void chan_pause(struct chan *chan)
{
    chan->paused = true;
    if (chan->reading)
        uv_read_stop(&chan->io.stream);
    chan->reading = false;
}

void chan_resume(struct chan *chan)
{
    if (!chan->paused)
        return;
    chan->paused = false;
    if (chan->in_len > 0 && !chan->dispatching && !chan->over && !chan->closing)
        set_timer(chan, 0); /* what was read before comes first, and not inside this call */
    else
        start_reading(chan);
}

int chan_fd(const struct chan *chan)
{
    uv_os_fd_t fd;
    return chan->connected && uv_fileno(&chan->io.handle, &fd) == 0 ? fd : -1;
}

void chan_set_ops(struct chan *chan, const struct chan_ops *ops, void *data)
{
    chan->ops = ops;
    chan->data = data;
}

void chan_destroy(struct chan *chan, bool linger)
{
    chan_linger(chan, linger ? CHAN_LINGER_MS : 0);
}

void chan_linger(struct chan *chan, uint64_t linger_ms)
{
    if (!chan || chan->closing)
        return;
    chan->closing = true;
    if (chan->reading)
        uv_read_stop(&chan->io.stream);
    if (linger_ms == 0 || chan->over || chan->deaf || chan_queued(chan) == 0) {
        close_handles(chan);
        return;
    }
    uv_update_time(chan->timer.loop);
    chan->until = now_ms(chan) + linger_ms;
    if (chan->connected) /* else the timer is set for the next attempt */
        set_timer(chan, linger_ms);
}
