/* An agent as it is when a program has taken it over: PID 1 of a runner that does what it should,
 * until it is given a program whose text holds "evil:WAY". It is made of the agent's own sources;
 * this file has their op_open and control_start, and calls theirs (honest_*).
 */
#include "../../../src/agent/control.h"
#include "../../../src/agent/op.h"
#include "../../../src/common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

__typeof__(op_open) honest_op_open;
__typeof__(control_start) honest_control_start;

static int folder = -1; /* that holds the worker's socket */

void control_start(int take_folder)
{
    folder = take_folder;
    honest_control_start(take_folder);
}

/* ---- frames ---- */

struct message {
    unsigned char bytes[FRAME_HEADER_LEN + 256];
    size_t len;
};

static struct message frame(enum frame_type type, const void *payload, size_t len)
{
    struct message message = {.len = FRAME_HEADER_LEN + len};
    frame_put_header(message.bytes, (uint8_t)type, 0, (uint32_t)len);
    memcpy(message.bytes + FRAME_HEADER_LEN, payload, len);
    return message;
}

static struct message started(void)
{
    const struct agent_started started = {.pid = 2};
    unsigned char payload[64];
    return frame(FRAME_AGENT_STARTED, payload,
                 agent_started_encode(&started, payload, sizeof(payload)));
}

static struct message hello(void)
{
    const struct agent_hello hello = {.version = AGENT_PROTOCOL};
    unsigned char payload[64];
    return frame(FRAME_AGENT_HELLO, payload, agent_hello_encode(&hello, payload, sizeof(payload)));
}

/* A program's end that no kernel reports. */
static struct message impossible_exit(void)
{
    unsigned char payload[64];
    const struct agent_exit end = {.exit = 0};
    size_t len = agent_exit_encode(&end, payload, sizeof(payload));
    memset(payload, 0xff, len);
    return frame(FRAME_AGENT_EXIT, payload, len);
}

/* One that a kernel might report, of a program that never ran and used everything. */
static struct message false_exit(void)
{
    unsigned char payload[64];
    const struct agent_exit end = {
        .user_us = INT64_MAX, .system_us = INT64_MAX, .max_rss_bytes = UINT64_MAX, .wall_us = 1};
    return frame(FRAME_AGENT_EXIT, payload, agent_exit_encode(&end, payload, sizeof(payload)));
}

/* Waits while the worker does not read; false when it has hung up. */
static bool say(int fd, const void *bytes, size_t len)
{
    for (const char *at = bytes; len > 0;) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        poll(&ready, 1, -1);
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (sent > 0) {
            at += sent;
            len -= (size_t)sent;
        }
    }
    return true;
}

static bool say_message(int fd, struct message message)
{
    return say(fd, message.bytes, message.len);
}

static void hang(void)
{
    for (;;)
        pause();
}

/* The same over and over, many at a time. */
static void flood(int fd, struct message message)
{
    static unsigned char many[65536];
    size_t len = 0;
    for (; len + message.len <= sizeof(many); len += message.len)
        memcpy(many + len, message.bytes, message.len);
    while (say(fd, many, len))
        ;
    hang();
}

/* ---- ways ---- */

static int connect_again(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = AGENT_SOCKET_NAME};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && fchdir(folder) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void tiny(int op)
{
    say_message(op, started());
    flood(op, frame(FRAME_STDOUT, "x", 1));
}

static void empty(int op)
{
    say_message(op, started());
    flood(op, frame(FRAME_STDOUT, "", 0));
}

static void too_long(int op)
{
    unsigned char header[FRAME_HEADER_LEN];
    say_message(op, started());
    frame_put_header(header, FRAME_STDOUT, 0, UINT32_MAX);
    say(op, header, sizeof(header));
    flood(op, frame(FRAME_STDOUT, "x", 1));
}

static void half(int op)
{
    unsigned char header[FRAME_HEADER_LEN];
    say_message(op, started());
    frame_put_header(header, FRAME_STDOUT, 0, FRAME_DATA_MAX);
    say(op, header, sizeof(header));
    hang();
}

static void early(int op)
{
    flood(op, frame(FRAME_STDOUT, "x", 1));
}

static void twice(int op)
{
    flood(op, started());
}

static void foreign(int op)
{
    say_message(op, started());
    flood(op, frame(FRAME_RESULT, "{\"status\":\"ok\"}", 15));
}

static void garbage(int op)
{
    say(op, "GET / HTTP/1.1\r\nHost: worker\r\n\r\n", 32);
    hang();
}

static void lies(int op)
{
    say_message(op, started());
    say_message(op, impossible_exit());
    hang();
}

static void false_end(int op)
{
    say_message(op, started());
    say_message(op, false_exit());
    hang();
}

static void silent(int op)
{
    (void)op;
    hang();
}

static void leaves(int op)
{
    say_message(op, started());
    _exit(0);
}

static void reconnects(int op)
{
    (void)op;
    for (;;) {
        int fd = connect_again();
        if (fd >= 0)
            close(fd);
    }
}

static void greets(int op)
{
    (void)op;
    for (int fd; (fd = connect_again()) >= 0;) {
        say_message(fd, hello());
        close(fd);
    }
    hang();
}

static void holds(int op)
{
    (void)op;
    while (connect_again() >= 0)
        ;
    hang();
}

static void hello_flood(int op)
{
    (void)op;
    flood(connect_again(), hello());
}

static void control_garbage(int op)
{
    (void)op;
    flood(connect_again(), frame(FRAME_STDOUT, "garbage", 7));
}

static void control_half(int op)
{
    (void)op;
    say(connect_again(), hello().bytes, 5);
    hang();
}

static const struct {
    const char *name;
    void (*do_it)(int op);
} ways[] = {
    {"tiny", tiny},
    {"empty", empty},
    {"too-long", too_long},
    {"half", half},
    {"early", early},
    {"twice", twice},
    {"foreign", foreign},
    {"garbage", garbage},
    {"lies", lies},
    {"false-end", false_end},
    {"silent", silent},
    {"leaves", leaves},
    {"reconnects", reconnects},
    {"greets", greets},
    {"holds", holds},
    {"hello-flood", hello_flood},
    {"control-garbage", control_garbage},
    {"control-half", control_half},
};

/* The name behind "evil:" in what the operation is about to be sent, "" when there is none. Its
 * file comes in one piece with the order to execute it, or is short.
 */
static void peek(int op, char name[32])
{
    static char text[65536];
    struct pollfd ready = {.fd = op, .events = POLLIN};
    name[0] = '\0';
    for (int i = 0; i < 100; i++) {
        ssize_t len = poll(&ready, 1, 10) > 0 ? recv(op, text, sizeof(text), MSG_PEEK) : 0;
        const char *at = len > 0 ? memmem(text, (size_t)len, "evil:", 5) : NULL;
        if (at && memchr(at, '\n', (size_t)(text + len - at))) {
            at += strlen("evil:");
            size_t name_len = strcspn(at, "\n ");
            memcpy(name, at, name_len < 31 ? name_len : 31);
            name[name_len < 31 ? name_len : 31] = '\0';
            return;
        }
        if (len > 0 && memmem(text, (size_t)len, "PATH=", 5))
            return; /* the environment is there, so the file was */
        if (len > 0)
            usleep(1000);
    }
}

void op_open(const struct agent_open *open, int take_socket, int take_cgroup)
{
    char name[32];
    peek(take_socket, name);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(ways[i].name, name) == 0)
            ways[i].do_it(take_socket);
    honest_op_open(open, take_socket, take_cgroup);
}
