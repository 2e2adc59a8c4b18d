#include "server.h"

#include "../common/log.h"
#include "../common/mem.h"
#include "conn.h"

#include <errno.h>
#include <libwebsockets.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How it works. We accept; libwebsockets has every socket (polling on the loop, sending, what the
 * kernel did not take, closing, and TLS when there is some) in its raw role; conn.c speaks HTTP.
 *
 * libwebsockets 4.1's own HTTP/1 server is not used, because it cannot do what the API promises: it
 * knows no chunked request bodies (their bytes become the next request), reads a pipelined request
 * into the one that is being answered, closes without an answer on a head that is malformed or too
 * long, and sees no hang-up while it is told not to read. A connection that becomes a WebSocket
 * stays in the raw role too (ws.c): handing it to the HTTP role needs a duplicate of the
 * descriptor, which has no way to take a TLS session along, and a second way to wait for a slow
 * socket.
 *
 * A socket is closed from its callback's return value, or, when nobody is in its callback, from the
 * reaper; never inside a call that conn.c makes. One coarse timer looks after all time-outs; it
 * runs while there are connections.
 */
struct sock {
    struct http_server *server;
    struct lws *wsi;
    struct conn *conn;
    bool in_callback, closing;
    struct sock *prev, *next;
    struct sock *next_doomed;
};

struct http_server {
    struct conn_shared shared;
    uv_loop_t *loop;
    int listen_fd;
    struct lws_context *context;
    struct lws_vhost *vhost;
    uv_poll_t listener;
    uv_timer_t ticker;
    uv_timer_t reaper;
    int open_handles;
    bool listening, ended;
    struct sock *socks, *doomed;
    unsigned count;
};

#define ACCEPTS_A_TURN 64
#define TICK_MS 500

static void on_acceptable(uv_poll_t *poll, int status, int events);
static void on_tick(uv_timer_t *timer);

/* Accepts while there is room; a full house waits in the kernel's backlog. */
static void set_listening(struct http_server *server)
{
    bool room = server->count < (unsigned)server->shared.app.config->http_connections_max;
    bool want = server->listen_fd >= 0 && room;
    if (want == server->listening || server->ended)
        return;
    server->listening = want;
    if (want)
        uv_poll_start(&server->listener, UV_READABLE, on_acceptable);
    else
        uv_poll_stop(&server->listener);
}

static void on_reap(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    while (server->doomed) {
        struct sock *sock = server->doomed;
        server->doomed = sock->next_doomed;
        lws_set_timeout(sock->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
    }
}

static int sock_write(void *socket, const char *data, size_t len, bool *clear)
{
    struct sock *sock = socket;
    if (lws_write(sock->wsi, (unsigned char *)data, len, LWS_WRITE_RAW) < 0)
        return -1;
    *clear = !lws_partial_buffered(sock->wsi);
    return 0;
}

static void sock_want_writable(void *socket)
{
    struct sock *sock = socket;
    lws_callback_on_writable(sock->wsi);
}

static void sock_want_read(void *socket, bool on)
{
    struct sock *sock = socket;
    lws_rx_flow_control(sock->wsi, on ? 1 : 0);
}

static void sock_shut(void *socket)
{
    struct sock *sock = socket;
    shutdown(lws_get_socket_fd(sock->wsi), SHUT_WR);
}

static bool sock_peer_left(void *socket)
{
    struct sock *sock = socket;
    struct pollfd fd = {.fd = lws_get_socket_fd(sock->wsi), .events = POLLRDHUP};
    return poll(&fd, 1, 0) > 0;
}

static void sock_close(void *socket)
{
    struct sock *sock = socket;
    sock->closing = true;
    if (sock->in_callback)
        return;
    sock->next_doomed = sock->server->doomed;
    sock->server->doomed = sock;
    uv_timer_start(&sock->server->reaper, on_reap, 0, 0);
}

static const struct conn_io sock_io = {
    .write = sock_write,
    .want_writable = sock_want_writable,
    .want_read = sock_want_read,
    .shut = sock_shut,
    .peer_left = sock_peer_left,
    .close = sock_close,
};

static void forget_doomed(struct sock *sock)
{
    struct sock **at = &sock->server->doomed;
    while (*at && *at != sock)
        at = &(*at)->next_doomed;
    if (*at)
        *at = sock->next_doomed;
}

static void sock_gone(struct sock *sock)
{
    struct http_server *server = sock->server;
    if (sock->closing)
        forget_doomed(sock);
    *(sock->prev ? &sock->prev->next : &server->socks) = sock->next;
    if (sock->next)
        sock->next->prev = sock->prev;
    server->count--;
    conn_closed(sock->conn);
    free(sock);
    if (server->count == 0 && !server->ended)
        uv_timer_stop(&server->ticker);
    set_listening(server);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    (void)user;
    struct sock *sock = lws_get_opaque_user_data(wsi);
    if (!sock)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_RAW_RX:
    case LWS_CALLBACK_RAW_WRITEABLE:
        sock->in_callback = true;
        if (reason == LWS_CALLBACK_RAW_RX)
            conn_readable(sock->conn, in, len);
        else
            conn_writable(sock->conn);
        sock->in_callback = false;
        return sock->closing ? -1 : 0;
    case LWS_CALLBACK_RAW_CLOSE:
        lws_set_opaque_user_data(wsi, NULL);
        sock_gone(sock);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = on_lws, .rx_buffer_size = CONN_PIECE},
    {0},
};

static void adopt(struct http_server *server, int take_fd)
{
    struct sock *sock = mem_new(struct sock);
    const lws_adopt_desc_t description = {
        .vh = server->vhost,
        .type = LWS_ADOPT_SOCKET,
        .fd = {.sockfd = take_fd},
        .vh_prot_name = "http",
        .opaque = sock,
    };
    sock->server = server;
    sock->conn = conn_create(&server->shared, &sock_io, sock);
    sock->next = server->socks;
    if (sock->next)
        sock->next->prev = sock;
    server->socks = sock;
    if (server->count++ == 0)
        uv_timer_start(&server->ticker, on_tick, TICK_MS, TICK_MS);
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&description);
    if (wsi)
        sock->wsi = wsi;
    else /* it has closed the descriptor, without RAW_CLOSE */
        sock_gone(sock);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct http_server *server = poll->data;
    for (int i = 0; i < ACCEPTS_A_TURN && server->listening; i++) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(server, fd);
            set_listening(server);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Out of descriptors; the next connection that ends makes room, or the next tick. */
            log_warn("cannot accept", LOG_S("error", strerror(errno)));
            server->listening = false;
            uv_poll_stop(&server->listener);
            uv_timer_start(&server->ticker, on_tick, TICK_MS, TICK_MS);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    mono_us now = clock_now(&clock_system);
    struct sock *next;
    for (struct sock *sock = server->socks; sock; sock = next) {
        next = sock->next; /* a close comes later, from the reaper */
        conn_check_time(sock->conn, now);
    }
    if (server->count == 0)
        uv_timer_stop(timer);
    set_listening(server);
}

static void on_lws_log(int level, const char *line)
{
    char text[240];
    size_t len = strcspn(line, "\n");
    snprintf(text, sizeof(text), "%.*s", (int)len, line);
    if (level == LLL_ERR)
        log_error("libwebsockets", LOG_S("text", text));
    else
        log_warn("libwebsockets", LOG_S("text", text));
}

static int create_context(struct http_server *server, struct err *err)
{
    void *loops[] = {server->loop};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN,
        .foreign_loops = loops,
        .pt_serv_buf_size = CONN_PIECE,
        .gid = -1,
        .uid = -1,
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .vhost_name = "http",
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    server->context = lws_create_context(&info);
    if (!server->context)
        return err_set(err, ERR_INTERNAL,
                       "libwebsockets does not start (is libwebsockets-evlib-uv installed?)");
    server->vhost = lws_create_vhost(server->context, &info);
    if (!server->vhost)
        return err_set(err, ERR_INTERNAL, "libwebsockets makes no vhost");
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;
    if (--server->open_handles > 0)
        return;
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    free(server->shared.piece);
    free(server);
}

struct http_server *http_server_create(const struct app *app, int take_listen_fd,
                                       const struct http_timeouts *timeouts, struct err *err)
{
    struct http_server *server = mem_new(struct http_server);
    server->shared.app = *app;
    server->shared.timeouts = *timeouts;
    server->shared.piece = mem_calloc(1, CONN_PIECE);
    server->loop = app->loop;
    server->listen_fd = take_listen_fd;
    uv_poll_init(app->loop, &server->listener, take_listen_fd);
    uv_timer_init(app->loop, &server->ticker);
    uv_timer_init(app->loop, &server->reaper);
    server->listener.data = server->ticker.data = server->reaper.data = server;
    server->open_handles = 3;
    if (create_context(server, err) != 0) {
        http_server_destroy(server);
        return NULL;
    }
    set_listening(server);
    return server;
}

void http_server_stop_listening(struct http_server *server)
{
    if (server->listen_fd < 0)
        return;
    uv_poll_stop(&server->listener);
    server->listening = false;
    close(server->listen_fd);
    server->listen_fd = -1;
}

unsigned http_server_busy(const struct http_server *server)
{
    return server->shared.busy;
}

struct search {
    const void *data;
    bool found;
};

static void on_walk(uv_handle_t *handle, void *data)
{
    struct search *search = data;
    search->found |= handle->data == search->data;
}

static void close_handles(struct http_server *server)
{
    uv_close((uv_handle_t *)&server->listener, on_handle_closed);
    uv_close((uv_handle_t *)&server->ticker, on_handle_closed);
    uv_close((uv_handle_t *)&server->reaper, on_handle_closed);
}

/* On a loop that is not its own, libwebsockets closes its handles over some turns and then wants to
 * be destroyed a second time. Nothing tells when; its last handles carry the context.
 */
static void on_ending(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    struct search search = {.data = server->context};
    uv_walk(server->loop, on_walk, &search);
    if (search.found)
        return;
    lws_context_destroy(server->context);
    close_handles(server);
}

void http_server_destroy(struct http_server *server)
{
    if (!server)
        return;
    server->ended = true;
    uv_poll_stop(&server->listener);
    uv_timer_stop(&server->reaper);
    while (server->socks)
        lws_set_timeout(server->socks->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
    if (!server->context) {
        close_handles(server);
        return;
    }
    lws_context_destroy(server->context);
    uv_timer_start(&server->ticker, on_ending, 0, 1);
}
