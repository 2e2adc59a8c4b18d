#include "chan.h"

#include "../common/fd.h"
#include "../common/mem.h"

#include <errno.h>
#include <string.h>

/* How it works. Reads land in `in`, frames are cut from its front. Writes are tried at once and
 * what the kernel does not take is queued as libuv requests. A peer that answers and closes without
 * reading all we send makes a write fail while its answer still waits to be read: so a failed write
 * only makes the peer `deaf`, and the end is what the reading side finds. `over` is set then;
 * on_closed fires from the loop. chan_destroy sets `closing`; the memory goes with the last close
 * callback of the two handles.
 */
struct chan {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
    } io;
    uv_timer_t timer; /* fires on_closed from the loop, and ends a linger */
    const struct chan_ops *ops;
    void *data;
    char *in;
    size_t in_len, in_room;
    bool connected, reading, paused, above_high, dispatching, deaf, over, told, closing;
    int open_handles;
    struct err why;
};

struct request {
    uv_write_t write;
    size_t len;
    char bytes[];
};

#define READ_ROOM (FRAME_HEADER_LEN + FRAME_DATA_MAX)

static void on_handle_closed(uv_handle_t *handle)
{
    struct chan *chan = handle->data;
    if (--chan->open_handles > 0)
        return;
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

static void on_timer(uv_timer_t *timer)
{
    struct chan *chan = timer->data;
    if (chan->closing) {
        close_handles(chan);
    } else if (chan->over && !chan->told) {
        chan->told = true;
        chan->ops->on_closed(chan, &chan->why, chan->data);
    }
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
    uv_timer_start(&chan->timer, on_timer, 0, 0);
}

static void end_sys(struct chan *chan, int uv_status, const char *doing)
{
    struct err why;
    err_sys(&why, ERR_BAD_GATEWAY, -uv_status, "%s", doing);
    end(chan, &why);
}

static void end_bad_frame(struct chan *chan, const struct frame *frame)
{
    struct err why;
    err_set(&why, ERR_BAD_GATEWAY, "the peer sent a malformed frame: type %u (%s), %u bytes",
            frame->type, frame_name(frame->type), frame->len);
    end(chan, &why);
}

/* Hands out the frames at the front of `in`. Returns false when the owner destroyed the channel. */
static bool dispatch(struct chan *chan)
{
    if (chan->dispatching || chan->in_len == 0)
        return true;
    chan->dispatching = true;
    size_t at = 0;
    while (!chan->closing && !chan->over && !chan->paused) {
        struct frame frame;
        size_t used;
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
    chan->in_len -= at;
    memmove(chan->in, chan->in + at, chan->in_len);
    chan->dispatching = false;
    return !chan->closing;
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
    if (len == 0)
        return;
    if (len == UV_EOF) {
        if (chan->in_len == 0)
            end(chan, NULL);
        else
            end_sys(chan, UV_EPIPE, "the peer closed in the middle of a frame");
        return;
    }
    if (len < 0) {
        end_sys(chan, (int)len, "read");
        return;
    }
    chan->in_len += (size_t)len;
    dispatch(chan);
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
    uv_pipe_init(loop, &chan->io.pipe, 0);
    uv_timer_init(loop, &chan->timer);
    chan->io.handle.data = chan;
    chan->timer.data = chan;
    chan->open_handles = 2;
    return chan;
}

struct chan *chan_create(uv_loop_t *loop, int take_fd, const struct chan_ops *ops, void *data,
                         struct err *err)
{
    struct chan *chan = allocate(loop, ops, data);
    int status = uv_pipe_open(&chan->io.pipe, take_fd);
    if (status != 0) {
        close(take_fd);
        err_sys(err, ERR_INTERNAL, -status, "uv_pipe_open");
        chan_destroy(chan, false);
        return NULL;
    }
    chan->connected = true;
    start_reading(chan);
    return chan;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct chan *chan = request->handle->data;
    free(request);
    if (status == UV_ECANCELED)
        return;
    if (status != 0) {
        end_sys(chan, status, "connect");
        return;
    }
    chan->connected = true;
    start_reading(chan);
}

struct chan *chan_connect(uv_loop_t *loop, const char *path, const struct chan_ops *ops, void *data,
                          struct err *err)
{
    if (strlen(path) >= 108) { /* sizeof(sun_path), unix(7); libuv would cut it silently */
        err_set(err, ERR_INTERNAL, "%s: longer than a socket's path may be", path);
        return NULL;
    }
    struct chan *chan = allocate(loop, ops, data);
    uv_pipe_connect(mem_new(uv_connect_t), &chan->io.pipe, path, on_connected);
    return chan;
}

static void after_write(struct chan *chan)
{
    size_t queued = chan_queued(chan);
    if (chan->closing) {
        if (queued == 0 || chan->deaf)
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
    struct request *request = (struct request *)write;
    struct chan *chan = write->handle->data;
    free(request);
    if (status == UV_ECANCELED)
        return;
    if (status != 0)
        chan->deaf = true;
    after_write(chan);
}

static void queue_rest(struct chan *chan, const unsigned char *header, const char *payload,
                       size_t len, size_t sent)
{
    size_t total = FRAME_HEADER_LEN + len;
    struct request *request = mem_calloc(1, sizeof(*request) + total - sent);
    request->len = total - sent;
    size_t header_sent = sent < FRAME_HEADER_LEN ? sent : FRAME_HEADER_LEN;
    size_t header_left = FRAME_HEADER_LEN - header_sent;
    memcpy(request->bytes, header + header_sent, header_left);
    if (len > 0)
        memcpy(request->bytes + header_left, payload + (sent - header_sent),
               request->len - header_left);
    uv_buf_t buf = uv_buf_init(request->bytes, (unsigned)request->len);
    int status = uv_write(&request->write, &chan->io.stream, &buf, 1, on_written);
    if (status != 0) {
        free(request);
        chan->deaf = true;
    }
}

void chan_send(struct chan *chan, enum frame_type type, const void *payload, size_t len)
{
    if (chan->over || chan->deaf || chan->closing)
        return;
    if (chan_queued(chan) > CHAN_CAP) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "the peer reads too slowly: %d bytes are waiting", CHAN_CAP);
        end(chan, &why);
        return;
    }
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    ssize_t sent = 0;
    if (chan->connected) {
        uv_buf_t parts[2] = {uv_buf_init((char *)header, sizeof(header)),
                             uv_buf_init((char *)payload, (unsigned)len)};
        sent = uv_try_write(&chan->io.stream, parts, len ? 2 : 1);
        if (sent == UV_EAGAIN)
            sent = 0;
        if (sent < 0) {
            chan->deaf = true;
            return;
        }
    }
    if ((size_t)sent < FRAME_HEADER_LEN + len)
        queue_rest(chan, header, payload, len, (size_t)sent);
    if (chan_queued(chan) > CHAN_HIGH)
        chan->above_high = true;
}

size_t chan_queued(const struct chan *chan)
{
    return uv_stream_get_write_queue_size(&chan->io.stream);
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
    if (dispatch(chan))
        start_reading(chan);
}

int chan_fd(const struct chan *chan)
{
    uv_os_fd_t fd;
    return uv_fileno(&chan->io.handle, &fd) == 0 ? fd : -1;
}

void chan_set_ops(struct chan *chan, const struct chan_ops *ops, void *data)
{
    chan->ops = ops;
    chan->data = data;
}

void chan_destroy(struct chan *chan, bool linger)
{
    if (!chan || chan->closing)
        return;
    chan->closing = true;
    uv_timer_stop(&chan->timer);
    if (chan->reading)
        uv_read_stop(&chan->io.stream);
    if (linger && !chan->over && chan_queued(chan) > 0)
        uv_timer_start(&chan->timer, on_timer, CHAN_LINGER_MS, 0);
    else
        close_handles(chan);
}
