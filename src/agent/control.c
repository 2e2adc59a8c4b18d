#include "control.h"

#include "../common/fd.h"
#include "op.h"
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PAUSE_MIN_US (10 * US_PER_MS)
#define PAUSE_MAX_US (500 * US_PER_MS)

static const struct watch_tag tag = {.source = WATCH_CONTROL};

static int folder = -1;
static struct watch connection = {.fd = -1};
static mono_us connected_at;
static mono_us retry_at;
static mono_us next_pause = PAUSE_MIN_US;

/* What was received of a frame; AGENT_OPEN and AGENT_OP_SIGNAL are no longer. */
static unsigned char data[FRAME_HEADER_LEN + 64];
static size_t data_len;
/* Descriptors that came with it. */
static int held[FD_SEND_MAX] = {-1, -1, -1, -1};

static void close_held(void)
{
    for (size_t i = 0; i < FD_SEND_MAX; i++)
        fd_close(&held[i]);
}

static void disconnect(void)
{
    watch_close(&connection);
    close_held();
    data_len = 0;
    mono_us now = clock_now(&clock_system);
    if (now - connected_at > PAUSE_MAX_US)
        next_pause = PAUSE_MIN_US; /* this one was good, so that is no endless refusal */
    retry_at = now + next_pause;
    next_pause = next_pause * 2 < PAUSE_MAX_US ? next_pause * 2 : PAUSE_MAX_US;
}

/* The socket has no path in the runner any more: the way to it is relative to the folder. */
static int connect_in_folder(int fd)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = AGENT_SOCKET_NAME};
    if (fchdir(folder) != 0)
        return -1;
    int rc = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    return chdir("/") == 0 ? rc : -1;
}

static int send_hello(int fd)
{
    const struct agent_hello hello = {.version = AGENT_PROTOCOL, .operations = op_count()};
    unsigned char frame[FRAME_HEADER_LEN + 64];
    size_t len = agent_hello_encode(&hello, frame + FRAME_HEADER_LEN, 64);
    frame_put_header(frame, FRAME_AGENT_HELLO, 0, (uint32_t)len);
    len += FRAME_HEADER_LEN;
    return send(fd, frame, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

static void try_connect(void)
{
    retry_at = 0;
    connected_at = clock_now(&clock_system);
    connection.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection.fd < 0 || connect_in_folder(connection.fd) != 0 ||
        send_hello(connection.fd) != 0 || watch_set(&connection, tag, EPOLLIN) != 0)
        disconnect();
}

void control_start(int take_folder)
{
    folder = take_folder;
    try_connect();
}

static int handle_signal(const struct frame *frame)
{
    struct agent_op_signal signal;
    if (!agent_op_signal_decode(frame->payload, frame->len, &signal))
        return -1;
    op_signal(&signal);
    return 0;
}

static int handle_open(const struct frame *frame)
{
    struct agent_open open;
    if (!agent_open_decode(frame->payload, frame->len, &open) || held[0] < 0)
        return -1;
    next_pause = PAUSE_MIN_US;
    op_open(&open, steal_fd(&held[0]), steal_fd(&held[1]));
    close_held();
    return 0;
}

/* So that their frames fit data. */
static bool belongs_here(uint8_t type)
{
    return type == FRAME_AGENT_OPEN || type == FRAME_AGENT_OP_SIGNAL;
}

/* All whole frames of data; -1 when it makes no sense. */
static int handle_frames(void)
{
    for (;;) {
        struct frame frame;
        size_t used;
        enum frame_status status = frame_parse(data, data_len, &frame, &used);
        if (status == FRAME_BAD || (data_len >= FRAME_HEADER_LEN && !belongs_here(frame.type)))
            return -1;
        if (status == FRAME_MORE)
            return 0;
        if ((frame.type == FRAME_AGENT_OPEN ? handle_open(&frame) : handle_signal(&frame)) != 0)
            return -1;
        data_len -= used;
        memmove(data, data + used, data_len);
    }
}

/* Descriptors come with the read that ends with their frame's first bytes: the kernel never joins
 * what follows to them. So there is one set at most until its frame has been handled.
 */
static int receive(void)
{
    int fds[FD_SEND_MAX];
    ssize_t got = fd_recv(connection.fd, data + data_len, sizeof(data) - data_len, fds);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        return -1;
    data_len += (size_t)got;
    if (fds[0] >= 0) {
        bool unclaimed = held[0] >= 0;
        close_held();
        memcpy(held, fds, sizeof(held));
        if (unclaimed)
            return -1;
    }
    return handle_frames();
}

void control_event(uint32_t events)
{
    (void)events; /* a hang-up is found by reading, behind what was sent before it */
    if (receive() < 0)
        disconnect();
}

mono_us control_deadline(void)
{
    return retry_at;
}

void control_retry(mono_us now)
{
    if (retry_at != 0 && now >= retry_at)
        try_connect();
}
