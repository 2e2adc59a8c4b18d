#include "peer.h"

#include "../../../src/common/clock.h"
#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WAIT_US (60 * (mono_us)US_PER_SEC)

void peer_init(struct peer *peer, int take_fd, void (*turn)(void *data), void *data)
{
    *peer = (struct peer){.fd = take_fd, .turn = turn, .data = data};
    buf_init(&peer->in, 64 * 1024 * 1024);
    assert_int_equal(fd_set_nonblock(take_fd, true), 0);
    signal(SIGPIPE, SIG_IGN); /* as programs with channels do */
}

int peer_pair(struct peer *peer, void (*turn)(void *data), void *data)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer_init(peer, pair[0], turn, data);
    return pair[1];
}

void peer_connect(struct peer *peer, const char *path, void (*turn)(void *data), void *data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail_msg("connect %s: %s", path, strerror(errno));
    peer_init(peer, fd, turn, data);
}

void peer_close(struct peer *peer)
{
    fd_close(&peer->fd);
    buf_finish(&peer->in);
    peer->used = 0;
}

static void wait_a_moment(struct peer *peer, mono_us deadline, const char *what)
{
    if (clock_now(&clock_system) > deadline)
        fail_msg("waited in vain %s", what);
    peer->turn(peer->data);
}

void peer_send_bytes(struct peer *peer, const void *data, size_t len)
{
    const char *at = data;
    mono_us deadline = clock_now(&clock_system) + WAIT_US;
    while (len > 0) {
        ssize_t sent = send(peer->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return; /* the other side has closed, as what comes next will show */
        if (sent < 0) {
            wait_a_moment(peer, deadline, "to send");
            continue;
        }
        at += sent;
        len -= (size_t)sent;
    }
}

void peer_send(struct peer *peer, enum frame_type type, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    peer_send_bytes(peer, header, sizeof(header));
    peer_send_bytes(peer, payload, len);
}

void peer_send_text(struct peer *peer, enum frame_type type, const char *text)
{
    peer_send(peer, type, text, strlen(text));
}

size_t peer_flood(struct peer *peer, enum frame_type type, size_t most)
{
    static char bytes[FRAME_HEADER_LEN + FRAME_DATA_MAX];
    size_t total = 0, at = 0;
    unsigned idle = 0;
    frame_put_header((unsigned char *)bytes, (uint8_t)type, 0, FRAME_DATA_MAX);
    while (total < most && idle < 10) {
        ssize_t sent = send(peer->fd, bytes + at, sizeof(bytes) - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            break;
        idle = sent < 0 ? idle + 1 : 0;
        if (sent < 0)
            peer->turn(peer->data);
        else
            at = (at + (size_t)sent) % sizeof(bytes);
        total += sent > 0 ? (size_t)sent : 0;
    }
    return total;
}

static enum frame_status parse(struct peer *peer, struct frame *frame)
{
    size_t used;
    enum frame_status status = frame_parse(peer->in.data, peer->in.len, frame, &used);
    if (status == FRAME_BAD)
        fail_msg("a malformed frame came: type %u, %u bytes", frame->type, frame->len);
    if (status == FRAME_OK)
        peer->used = used;
    return status;
}

static bool receive(struct peer *peer)
{
    static char bytes[256 * 1024];
    ssize_t got = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0)
        peer->over = true;
    else
        assert_true(buf_append(&peer->in, bytes, (size_t)got));
    return true;
}

static void drop_present(struct peer *peer)
{
    buf_drop(&peer->in, peer->used);
    peer->used = 0;
}

bool peer_next(struct peer *peer, struct frame *frame)
{
    mono_us deadline = clock_now(&clock_system) + WAIT_US;
    drop_present(peer);
    while (parse(peer, frame) != FRAME_OK) {
        if (peer->over) {
            assert_int_equal(peer->in.len, 0);
            return false;
        }
        if (!receive(peer))
            wait_a_moment(peer, deadline, "for a frame");
    }
    return true;
}

bool peer_has_frame(struct peer *peer)
{
    struct frame frame;
    drop_present(peer);
    while (!peer->over && receive(peer))
        ;
    bool has = parse(peer, &frame) == FRAME_OK;
    peer->used = 0;
    return has;
}

void peer_expect(struct peer *peer, enum frame_type type, struct frame *frame)
{
    if (!peer_next(peer, frame))
        fail_msg("the connection ended in place of %s", frame_name((uint8_t)type));
    if (frame->type != type)
        fail_msg("%s came in place of %s: %.*s", frame_name(frame->type), frame_name((uint8_t)type),
                 frame->len < 200 ? (int)frame->len : 200, frame->payload);
}

json_t *peer_expect_json(struct peer *peer, enum frame_type type)
{
    struct frame frame;
    json_error_t problem;
    peer_expect(peer, type, &frame);
    json_t *json = json_loadb(frame.payload, frame.len, 0, &problem);
    if (!json)
        fail_msg("%s is not JSON: %s", frame_name((uint8_t)type), problem.text);
    return json;
}

void peer_expect_end(struct peer *peer)
{
    struct frame frame;
    if (peer_next(peer, &frame))
        fail_msg("%s came in place of the end: %.*s", frame_name(frame.type),
                 frame.len < 200 ? (int)frame.len : 200, frame.payload);
}
