#include "exec_client.h"

#include "http_client.h"

#include "../common/base64.h"
#include "../common/buf.h"
#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../common/ws_frame.h"

#include <errno.h>
#include <libwebsockets.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

/* How it works. One loop over the socket, our stdin and stdout, and the signals. Nothing is read
 * from the socket while output waits for our stdout, and nothing from our stdin while input waits
 * for the socket: whoever is slow slows the one at the other end.
 */
struct client {
    const struct exec_request *request;
    int fd, signals;
    struct buf out;     /* frames for the server */
    struct buf in;      /* read, not parsed */
    struct buf text;    /* of the message that is coming */
    struct buf show[2]; /* for our stdout, stderr */
    struct ws_reader reader;
    int channel; /* of the binary message that is coming; -1: its first byte is still to come */
    bool input_over, started, over;
    int last_signal, interrupted;
    json_t *result;
    char close_reason[WS_CONTROL_MAX + 1];
};

#define QUEUE_MAX (256 * 1024)
#define READ_MAX 65536
#define MESSAGE_MAX (128 * 1024 * 1024)
#define HEAD_MAX 16384
#define GREETING_MS 10000

/* ---- to the server ---- */

static void queue_frame(struct client *client, enum ws_opcode opcode, int channel, const void *data,
                        size_t len)
{
    unsigned char head[WS_HEAD_MAX], mask[4];
    char first = (char)channel;
    size_t extra = channel >= 0;
    char piece[4096];
    if (getrandom(mask, sizeof(mask), 0) != sizeof(mask))
        abort(); /* it cannot fail for so few bytes */
    buf_append(&client->out, head, ws_head_put(head, opcode, true, len + extra, mask));
    ws_mask(piece, &first, extra, mask, 0);
    buf_append(&client->out, piece, extra);
    for (size_t at = 0; at < len;) {
        size_t step = len - at < sizeof(piece) ? len - at : sizeof(piece);
        ws_mask(piece, (const char *)data + at, step, mask, at + extra);
        buf_append(&client->out, piece, step);
        at += step;
    }
}

static void queue_json(struct client *client, const json_t *json)
{
    cleanup_free char *text = json_dumps(json, JSON_COMPACT);
    if (!text)
        mem_exhausted();
    queue_frame(client, WS_TEXT, -1, text, strlen(text));
}

static int lost(const struct client *client, int sys_errno, struct err *err)
{
    return err_sys(err, ERR_BAD_GATEWAY, sys_errno, "the connection to %s",
                   client->request->address);
}

/* A server that takes no more may have said why: that is still to be read. */
static void send_some(struct client *client)
{
    ssize_t sent = send(client->fd, client->out.data, client->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        buf_drop(&client->out, (size_t)sent);
    } else if (errno != EAGAIN && errno != EINTR) {
        client->input_over = true;
        buf_clear(&client->out);
    }
}

static void read_input(struct client *client)
{
    char bytes[READ_MAX];
    ssize_t got = read(client->request->stdio[0], bytes, sizeof(bytes));
    if (got > 0) {
        queue_frame(client, WS_BINARY, 0, bytes, (size_t)got);
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        client->input_over = true;
        cleanup_json json_t *eof = json_pack("{s:b}", "eof", 1);
        queue_json(client, eof);
    }
}

static void on_signal(struct client *client)
{
    struct signalfd_siginfo info;
    char name[32];
    if (read(client->signals, &info, sizeof(info)) != sizeof(info))
        return;
    int number = (int)info.ssi_signo;
    if (!client->started || client->last_signal == number) {
        client->interrupted = number;
        return;
    }
    client->last_signal = number;
    str_format(name, sizeof(name), "SIG%s", sigabbrev_np(number));
    cleanup_json json_t *message = json_pack("{s:s}", "signal", name);
    queue_json(client, message);
}

/* ---- from the server ---- */

static int on_error(const json_t *error, struct err *err)
{
    const char *name = "", *message = "";
    struct err ignored;
    json_get_string(error, "name", false, &name, NULL, &ignored);
    json_get_string(error, "message", false, &message, NULL, &ignored);
    return err_set(err, err_from_name(name), "%s", message);
}

static int on_text(struct client *client, struct err *err)
{
    cleanup_json json_t *message =
        json_parse_object(client->text.data ? client->text.data : "", client->text.len, true, err);
    buf_clear(&client->text);
    if (!message) {
        err_context(err, "a message of the server");
        return -1;
    }
    const json_t *error = json_object_get(message, "error");
    if (json_is_object(error))
        return on_error(error, err);
    client->started |= json_object_get(message, "started") != NULL;
    json_t *end = json_object_get(message, "end");
    if (json_is_object(end) && !client->result) {
        client->result = json_incref(end);
        client->over = true;
    }
    return 0;
}

static int on_binary(struct client *client, const struct ws_piece *piece, struct err *err)
{
    const char *data = piece->data;
    size_t len = piece->len;
    if (piece->first)
        client->channel = -1;
    if (client->channel < 0 && len > 0) {
        client->channel = (unsigned char)*data++;
        len--;
    }
    if (client->channel > 2 || client->channel == 0)
        return err_set(err, ERR_BAD_GATEWAY, "the server sent a channel %d", client->channel);
    if (len > 0)
        buf_append(&client->show[client->channel - 1], data, len);
    return 0;
}

static int on_piece(struct client *client, const struct ws_piece *piece, struct err *err)
{
    switch (piece->opcode) {
    case WS_TEXT:
        if (!buf_append(&client->text, piece->data, piece->len))
            return err_set(err, ERR_BAD_GATEWAY, "the result is longer than %d bytes", MESSAGE_MAX);
        return piece->last ? on_text(client, err) : 0;
    case WS_BINARY:
        return on_binary(client, piece, err);
    case WS_PING:
        queue_frame(client, WS_PONG, -1, piece->data, piece->len);
        return 0;
    case WS_CLOSE:
        return err_set(err, ERR_BAD_GATEWAY, "the server closed (%d) without a result",
                       piece->code);
    default:
        return 0;
    }
}

/* What has been read, up to output that our stdout must take first. */
static int take_frames(struct client *client, struct err *err)
{
    static char scratch[READ_MAX];
    while (client->in.len > 0 && !client->over && client->show[0].len + client->show[1].len == 0) {
        struct ws_piece piece;
        const char *why;
        long used = ws_read(&client->reader, client->in.data, client->in.len, scratch,
                            sizeof(scratch), &piece, &why);
        if (used < 0)
            return err_set(err, ERR_BAD_GATEWAY, "the server sent %s", why);
        if (on_piece(client, &piece, err) != 0)
            return -1;
        buf_drop(&client->in, (size_t)used);
    }
    return 0;
}

static int receive(struct client *client, struct err *err)
{
    char bytes[READ_MAX];
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got > 0) {
        buf_append(&client->in, bytes, (size_t)got);
        return 0;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        return lost(client, errno, err);
    return err_set(err, ERR_BAD_GATEWAY, "%s closed the connection", client->request->address);
}

/* A pipe that poll calls writable has room for PIPE_BUF bytes. False: nobody reads it any more. */
static bool show_some(struct client *client, int which)
{
    struct buf *show = &client->show[which];
    size_t len = show->len < PIPE_BUF ? show->len : PIPE_BUF;
    ssize_t written = write(client->request->stdio[1 + which], show->data, len);
    if (written >= 0)
        buf_drop(show, (size_t)written);
    return written >= 0 || errno == EINTR || errno == EAGAIN;
}

/* ---- the loop ---- */

enum { POLL_SOCKET, POLL_SIGNALS, POLL_STDIN, POLL_STDOUT, POLL_STDERR, POLL_COUNT };

static void choose(const struct client *client, struct pollfd fds[POLL_COUNT])
{
    bool showing = client->show[0].len + client->show[1].len > 0;
    bool feeding = client->started && !client->input_over && client->out.len < QUEUE_MAX;
    const int *stdio = client->request->stdio;
    fds[POLL_SOCKET] = (struct pollfd){
        .fd = showing && client->out.len == 0 ? -1 : client->fd,
        .events = (short)((showing ? 0 : POLLIN) | (client->out.len > 0 ? POLLOUT : 0)),
    };
    fds[POLL_SIGNALS] = (struct pollfd){.fd = client->signals, .events = POLLIN};
    fds[POLL_STDIN] = (struct pollfd){.fd = feeding ? stdio[0] : -1, .events = POLLIN};
    for (int i = 0; i < 2; i++)
        fds[POLL_STDOUT + i] = (struct pollfd){
            .fd = client->show[i].len > 0 ? stdio[1 + i] : -1,
            .events = POLLOUT,
        };
}

static int turn(struct client *client, struct err *err)
{
    struct pollfd fds[POLL_COUNT];
    choose(client, fds);
    if (poll(fds, POLL_COUNT, -1) < 0)
        return errno == EINTR ? 0 : err_sys(err, ERR_INTERNAL, errno, "poll");
    if (fds[POLL_SIGNALS].revents)
        on_signal(client);
    if (fds[POLL_STDIN].revents)
        read_input(client);
    for (int i = 0; i < 2; i++)
        if (fds[POLL_STDOUT + i].revents && !show_some(client, i)) {
            client->interrupted = SIGPIPE;
            return 0;
        }
    if (fds[POLL_SOCKET].revents & POLLOUT)
        send_some(client);
    if (fds[POLL_SOCKET].revents & (POLLIN | POLLHUP | POLLERR) &&
        fds[POLL_SOCKET].events & POLLIN && receive(client, err) != 0)
        return -1;
    return take_frames(client, err);
}

static int converse(struct client *client, struct err *err)
{
    cleanup_json json_t *start = json_pack("{s:O}", "start", client->request->start);
    queue_json(client, start);
    while (!client->over || client->show[0].len + client->show[1].len > 0) {
        if (turn(client, err) != 0)
            return -1;
        if (client->interrupted)
            return 0;
    }
    return 0;
}

/* ---- the greeting ---- */

static void make_accept(const char *key, char accept[32])
{
    unsigned char digest[20];
    char text[64];
    str_format(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    lws_SHA1((const unsigned char *)text, strlen(text), digest);
    accept[base64_encode(digest, sizeof(digest), accept)] = '\0';
}

static void queue_request(struct client *client, const char *key)
{
    buf_printf(&client->out,
               "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
               "Authorization: Bearer %s\r\n\r\n",
               client->request->path, client->request->address, key, client->request->token);
}

/* An answer that is no 101 carries an error as JSON, or nothing that we know. */
static int on_refusal(const char *head, const struct buf *body, struct err *err)
{
    cleanup_json json_t *error =
        json_parse_object(body->data ? body->data : "", body->len, true, err);
    if (error)
        return on_error(error, err);
    return err_set(err, ERR_BAD_GATEWAY, "the server answered \"%.60s\"", head);
}

static int check_answer(struct client *client, const char *key, struct err *err)
{
    char accept[32], line[80];
    char *end = strstr(client->in.data, "\r\n\r\n");
    *end = '\0';
    cleanup_free char *head = mem_strdup(client->in.data);
    buf_drop(&client->in, (size_t)(end - client->in.data) + 4);
    make_accept(key, accept);
    str_format(line, sizeof(line), "\r\nSec-WebSocket-Accept: %s", accept);
    if (!str_starts_with(head, "HTTP/1.1 101 ")) {
        head[strcspn(head, "\r")] = '\0';
        return on_refusal(head, &client->in, err);
    }
    if (!strcasestr(head, line))
        return err_set(err, ERR_BAD_GATEWAY, "the server's Sec-WebSocket-Accept is wrong");
    return 0;
}

/* The head, and of a refusal what follows until the server closes or falls silent. */
static int await_answer(struct client *client, struct err *err)
{
    for (mono_us until = clock_now(&clock_system) + GREETING_MS * US_PER_MS;;) {
        const char *end = client->in.data ? strstr(client->in.data, "\r\n\r\n") : NULL;
        if (end && (str_starts_with(client->in.data, "HTTP/1.1 101 ") || end[4] != '\0'))
            return 0;
        if (client->in.len > HEAD_MAX)
            return err_set(err, ERR_BAD_GATEWAY, "the answer is no HTTP");
        struct pollfd fds[] = {
            {.fd = client->fd, .events = (short)(POLLIN | (client->out.len ? POLLOUT : 0))},
            {.fd = client->signals, .events = POLLIN}};
        int64_t left_us = until - clock_now(&clock_system);
        int ready = left_us > 0 ? poll(fds, 2, (int)(left_us / US_PER_MS) + 1) : 0;
        if (ready == 0)
            return err_set(err, ERR_TIMED_OUT, "no answer from %s within %d ms",
                           client->request->address, GREETING_MS);
        if (ready > 0 && fds[1].revents) {
            on_signal(client);
            return 0;
        }
        if (ready > 0 && fds[0].revents & POLLOUT)
            send_some(client);
        if (ready > 0 && fds[0].revents & (POLLIN | POLLHUP | POLLERR) && receive(client, err) != 0)
            return -1;
    }
}

static int greet(struct client *client, struct err *err)
{
    unsigned char nonce[16];
    char key[32];
    struct http_address address;
    if (http_client_address(client->request->address, true, &address, err) != 0)
        return -1;
    client->fd = socket(address.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 ||
        connect(client->fd, (const struct sockaddr *)&address.addr, address.len) != 0)
        return lost(client, errno, err);
    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
        return err_sys(err, ERR_INTERNAL, errno, "getrandom");
    key[base64_encode(nonce, sizeof(nonce), key)] = '\0';
    queue_request(client, key);
    if (await_answer(client, err) != 0)
        return -1;
    return client->interrupted ? 0 : check_answer(client, key, err);
}

/* ---- its life ---- */

static void client_init(struct client *client, const struct exec_request *request)
{
    *client = (struct client){.request = request, .fd = -1, .signals = -1, .channel = -1};
    buf_init(&client->out, MESSAGE_MAX);
    buf_init(&client->in, MESSAGE_MAX);
    buf_init(&client->text, MESSAGE_MAX);
    buf_init(&client->show[0], MESSAGE_MAX);
    buf_init(&client->show[1], MESSAGE_MAX);
}

static void client_finish(struct client *client)
{
    fd_close(&client->fd);
    fd_close(&client->signals);
    buf_finish(&client->out);
    buf_finish(&client->in);
    buf_finish(&client->text);
    buf_finish(&client->show[0]);
    buf_finish(&client->show[1]);
}

int exec_client_run(const struct exec_request *request, json_t **result, int *interrupted,
                    struct err *err)
{
    static const int ours[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP};
    struct client client;
    sigset_t set, before;
    client_init(&client, request);
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        sigaddset(&set, ours[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    client.signals = signalfd(-1, &set, SFD_CLOEXEC);
    int rc = greet(&client, err);
    if (rc == 0 && !client.interrupted)
        rc = converse(&client, err);
    *result = client.result;
    *interrupted = client.interrupted;
    client_finish(&client);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rc;
}
