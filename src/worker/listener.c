#include "listener.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Without descriptors the connection that cannot be accepted stays readable: looking at it again
 * only after a while keeps the loop from spinning.
 */
#define PAUSE_MS 100

/* At one turn of the loop, so that who connects over and over cannot hold it up. */
#define ACCEPTS_MOST 64

#define BACKLOG 1024

struct listener {
    struct sockaddr_un address;
    int fd;
    uv_poll_t poll;
    uv_timer_t pause;
    listener_accepted accepted;
    void *data;
    bool complained, closing;
    int open_handles;
};

static void on_connections(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct listener *listener = timer->data;
    uv_poll_start(&listener->poll, UV_READABLE, on_connections);
}

static void pause_listening(struct listener *listener)
{
    if (!listener->complained)
        log_error("cannot accept connections", LOG_S("path", listener->address.sun_path),
                  LOG_S("error", strerror(errno)));
    listener->complained = true;
    uv_poll_stop(&listener->poll);
    uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_connections(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)status, (void)events;
    for (int i = 0; i < ACCEPTS_MOST && !listener->closing; i++) {
        int fd = FAULT(ACCEPT, -1, accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd >= 0) {
            listener->complained = false;
            listener->accepted(fd, listener->data);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            pause_listening(listener);
            return;
        }
    }
}

/* Nobody reaches it between bind and the end: it does not listen yet. */
static int bind_and_listen(struct listener *listener, mode_t mode, gid_t group, struct err *err)
{
    const char *path = listener->address.sun_path;
    if (unlink(path) != 0 && errno != ENOENT)
        return err_sys(err, ERR_INTERNAL, errno, "cannot replace %s", path);
    listener->fd =
        FAULT(LISTEN_SOCKET, -1, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (listener->fd < 0 || FAULT(LISTEN_BIND, -1,
                                  bind(listener->fd, (struct sockaddr *)&listener->address,
                                       sizeof(listener->address))) != 0)
        return err_sys(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, errno,
                       "cannot listen on %s", path);
    if (FAULT(LISTEN_MODE, -1, chown(path, (uid_t)-1, group)) != 0 || chmod(path, mode) != 0 ||
        FAULT(LISTEN, -1, listen(listener->fd, BACKLOG)) != 0) {
        err_sys(err, ERR_INTERNAL, errno, "cannot listen on %s", path);
        unlink(path);
        return -1;
    }
    return 0;
}

struct listener *listener_create(uv_loop_t *loop, const char *path, mode_t mode, gid_t group,
                                 listener_accepted accepted, void *data, struct err *err)
{
    struct listener *listener = mem_new(struct listener);
    listener->address.sun_family = AF_UNIX;
    listener->fd = -1;
    listener->accepted = accepted;
    listener->data = data;
    if (!str_format(listener->address.sun_path, sizeof(listener->address.sun_path), "%s", path)) {
        err_set(err, ERR_INTERNAL, "longer than a socket's path may be: %s", path);
    } else if (bind_and_listen(listener, mode, group, err) == 0) {
        uv_poll_init(loop, &listener->poll, listener->fd);
        uv_timer_init(loop, &listener->pause);
        listener->poll.data = listener;
        listener->pause.data = listener;
        listener->open_handles = 2;
        uv_poll_start(&listener->poll, UV_READABLE, on_connections);
        return listener;
    }
    fd_close(&listener->fd);
    free(listener);
    return NULL;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    if (--listener->open_handles > 0)
        return;
    fd_close(&listener->fd);
    free(listener);
}

void listener_destroy(struct listener *listener)
{
    if (!listener || listener->closing)
        return;
    listener->closing = true;
    unlink(listener->address.sun_path);
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    uv_close((uv_handle_t *)&listener->pause, on_handle_closed);
}
