#include "server.h"

#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 4096

/* "host:port", "[host]:port" */
static int split(const char *address, char *host, size_t room, char *port, size_t port_room,
                 struct err *err)
{
    const char *colon = strrchr(address, ':');
    int64_t number;
    bool bracketed = address[0] == '[';
    const char *host_end = bracketed ? strchr(address, ']') : colon;
    if (!colon || !host_end || (bracketed && host_end + 1 != colon) ||
        (!bracketed && memchr(address, ':', (size_t)(colon - address))))
        return err_set(err, ERR_BAD_REQUEST,
                       "http.listen: \"%s\" is not ADDRESS:PORT (IPv6 in brackets)", address);
    const char *host_start = address + (bracketed ? 1 : 0);
    if (!str_format(host, room, "%.*s", (int)(host_end - host_start), host_start) ||
        !str_format(port, port_room, "%s", colon + 1) || !str_to_int(port, 0, 65535, &number))
        return err_set(err, ERR_BAD_REQUEST, "http.listen: \"%s\" has no port 0..65535", address);
    return 0;
}

/* Accepted sockets inherit these: an answer leaves at once, and a client that vanished without a
 * word is noticed within a minute, so that its run does not go on.
 */
static void set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1},    {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_NODELAY, 1},    {IPPROTO_TCP, TCP_KEEPIDLE, 30},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 3},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

int http_listen(const char *address, struct err *err)
{
    char host[128], port[8];
    if (split(address, host, sizeof(host), port, sizeof(port), err) != 0)
        return -1;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list;
    int status = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
    if (status != 0)
        return err_set(err, ERR_INTERNAL, "http.listen: %s: %s", address, gai_strerror(status));
    err_set(err, ERR_INTERNAL, "http.listen: %s: no address", address);
    cleanup_close int fd = -1;
    for (const struct addrinfo *info = list; info && fd < 0; info = info->ai_next) {
        fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            err_sys(err, ERR_INTERNAL, errno, "http.listen: %s", address);
            continue;
        }
        set_options(fd);
        if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
            break;
        err_sys(err, ERR_INTERNAL, errno, "http.listen: %s", address);
        fd_close(&fd);
    }
    freeaddrinfo(list);
    return steal_fd(&fd);
}
