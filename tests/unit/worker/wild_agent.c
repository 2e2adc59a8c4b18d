/* PID 1 of a runner that does not do what an agent should, or what one of an earlier version did:
 * which, its host's name says. Static, so that it runs in any root.
 */
#include "../../../src/agent/init.h"
#include "../../../src/common/agent_wire.h"
#include "../../../src/common/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_now(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                        .sun_path = AGENT_SOCKET_DIR "/" AGENT_SOCKET_NAME};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool say(int fd, enum frame_type type, const void *payload, size_t len)
{
    unsigned char frame[FRAME_HEADER_LEN + 64];
    frame_put_header(frame, (uint8_t)type, 0, (uint32_t)len);
    memcpy(frame + FRAME_HEADER_LEN, payload, len);
    return send(fd, frame, FRAME_HEADER_LEN + len, MSG_NOSIGNAL) >= 0;
}

static bool say_hello(int fd, uint32_t version)
{
    const struct agent_hello hello = {.version = version};
    unsigned char payload[64];
    return say(fd, FRAME_AGENT_HELLO, payload, agent_hello_encode(&hello, payload, 64));
}

/* ---- an agent of protocol 1 ---- */

static bool read_all(int fd, unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t got = read(fd, data, len);
        if (got <= 0)
            return false;
        data += got;
        len -= (size_t)got;
    }
    return true;
}

/* Valid until the next. */
static bool read_frame(int fd, struct frame *frame)
{
    static unsigned char data[FRAME_HEADER_LEN + FRAME_DATA_MAX];
    size_t used = 0;
    if (!read_all(fd, data, FRAME_HEADER_LEN))
        return false;
    if (frame_parse(data, FRAME_HEADER_LEN, frame, &used) == FRAME_OK)
        return true;
    return used <= sizeof(data) && read_all(fd, data + FRAME_HEADER_LEN, used - FRAME_HEADER_LEN) &&
           frame_parse(data, used, frame, &used) == FRAME_OK;
}

/* Its program lives until a signal comes behind its input, whatever that is, and dies of it. */
static void do_operation(int fd)
{
    const struct agent_started started = {.pid = 2};
    struct agent_signal signal;
    unsigned char payload[64];
    struct frame frame;
    while (read_frame(fd, &frame)) {
        if (frame.type == FRAME_AGENT_EXEC)
            say(fd, FRAME_AGENT_STARTED, payload, agent_started_encode(&started, payload, 64));
        if (frame.type != FRAME_AGENT_SIGNAL)
            continue;
        if (!agent_signal_decode(frame.payload, frame.len, &signal))
            exit(1);
        const struct agent_exit end = {.signal = signal.signal};
        say(fd, FRAME_AGENT_EXIT, payload, agent_exit_encode(&end, payload, 64));
        break;
    }
    close(fd);
}

/* The socket of the operation that the worker opens; -1 when the worker has gone. There is no other
 * frame here; that it came is seen by the runner's end.
 */
static int next_operation(int control)
{
    unsigned char message[64];
    int fds[FD_SEND_MAX];
    struct frame frame;
    struct agent_open open;
    size_t used;
    ssize_t len = fd_recv(control, message, sizeof(message), fds);
    if (len <= 0)
        return -1;
    if (frame_parse(message, (size_t)len, &frame, &used) != FRAME_OK || used != (size_t)len ||
        frame.type != FRAME_AGENT_OPEN || !agent_open_decode(frame.payload, frame.len, &open) ||
        open.output_bytes != AGENT_OUTPUT_ALL || fds[0] < 0)
        exit(1);
    return fds[0];
}

/* One operation after the other, for one worker after the other. */
static void serve(void)
{
    for (;; usleep(10000)) {
        int control = connect_now(), operation;
        if (control < 0)
            continue;
        if (say_hello(control, 1))
            while ((operation = next_operation(control)) >= 0)
                do_operation(operation);
        close(control);
    }
}

/* ---- */

int main(int argc, char **argv)
{
    char name[64] = "";
    uint32_t version;
    gethostname(name, sizeof(name) - 1);
    if (argc > 2 && init_join_groups(argv + 2) != 0)
        return 2;
    if (strcmp(name, "ends-at-once") == 0)
        return 1;
    if (strcmp(name, "first-protocol") == 0)
        serve();
    int fd = strcmp(name, "silent") == 0 ? -1 : connect_now();
    if (fd < 0 && strcmp(name, "silent") != 0)
        return 1;
    if (sscanf(name, "version-%" SCNu32, &version) == 1 && !say_hello(fd, version))
        return 1;
    if (strcmp(name, "garbage") == 0 && write(fd, "GET / HTTP/1.1\r\n", 16) < 0)
        return 1;
    if (strcmp(name, "hello-twice") == 0) {
        say_hello(fd, AGENT_PROTOCOL);
        say_hello(fd, AGENT_PROTOCOL);
    }
    if (strcmp(name, "hello-then-leaves") == 0) {
        say_hello(fd, AGENT_PROTOCOL);
        close(fd);
    }
    if (strcmp(name, "hello-then-mute") == 0) { /* once it is known that it was heard */
        say_hello(fd, AGENT_PROTOCOL);
        next_operation(fd);
        connect_now();
    }
    for (;;)
        pause();
}
