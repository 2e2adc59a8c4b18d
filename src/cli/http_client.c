#include "http_client.h"

#include "../common/buf.h"
#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

int http_client_address(const char *text, bool connecting, struct http_address *address,
                        struct err *err)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    int64_t port;
    bool bracketed = text[0] == '[' && colon && colon > text + 1 && colon[-1] == ']';
    memset(address, 0, sizeof(*address));
    if (!colon || !str_to_int(colon + 1, 1, 65535, &port) ||
        !str_format(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * bracketed,
                    text + bracketed))
        goto bad;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->addr;
    if (bracketed && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        if (connecting && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
            v6->sin6_addr = in6addr_loopback;
        address->len = sizeof(*v6);
        return 0;
    }
    if (!bracketed && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        if (connecting && v4->sin_addr.s_addr == htonl(INADDR_ANY))
            v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->len = sizeof(*v4);
        return 0;
    }
bad:
    return err_set(err, ERR_BAD_REQUEST,
                   "http.listen: \"%s\" is not an address and a port (1..65535), like "
                   "127.0.0.1:8080 or [::1]:8080",
                   text);
}

struct exchange {
    const struct http_request *request;
    mono_us deadline;
    int fd;
};

/* Waits until the socket is ready for what is wanted. */
static int await(const struct exchange *exchange, short events, struct err *err)
{
    for (;;) {
        int64_t left_us = exchange->deadline - clock_now(&clock_system);
        struct pollfd fds[] = {{.fd = exchange->fd, .events = events},
                               {.fd = exchange->request->cancel_fd, .events = POLLIN}};
        int ready = left_us > 0 ? poll(fds, 2, (int)(left_us / US_PER_MS) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return err_sys(err, ERR_INTERNAL, errno, "poll");
        if (ready == 0)
            return err_set(err, ERR_TIMED_OUT, "no answer from %s within %d ms",
                           exchange->request->address, exchange->request->timeout_ms);
        if (fds[1].revents)
            return err_set(err, ERR_TIMED_OUT, "interrupted");
        return 0;
    }
}

static int lost(const struct exchange *exchange, int sys_errno, struct err *err)
{
    return err_sys(err, ERR_BAD_GATEWAY, sys_errno, "%s %s%s", exchange->request->method,
                   exchange->request->address, exchange->request->path);
}

static int open_connection(struct exchange *exchange, struct err *err)
{
    struct http_address address;
    if (http_client_address(exchange->request->address, true, &address, err) != 0)
        return -1;
    exchange->fd = socket(address.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (exchange->fd < 0)
        return lost(exchange, errno, err);
    if (connect(exchange->fd, (struct sockaddr *)&address.addr, address.len) != 0) {
        if (errno != EINPROGRESS)
            return lost(exchange, errno, err);
        int failure = 0;
        socklen_t len = sizeof(failure);
        if (await(exchange, POLLOUT, err) != 0)
            return -1;
        getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &failure, &len);
        if (failure != 0)
            return lost(exchange, failure, err);
    }
    return 0;
}

static int send_request(const struct exchange *exchange, struct err *err)
{
    const struct http_request *request = exchange->request;
    struct buf text;
    buf_init(&text, HTTP_CLIENT_ANSWER_MAX);
    buf_printf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", request->method,
               request->path, request->address);
    if (request->token)
        buf_printf(&text, "Authorization: Bearer %s\r\n", request->token);
    if (request->body)
        buf_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   strlen(request->body));
    buf_printf(&text, "\r\n%s", request->body ? request->body : "");
    int rc = 0;
    while (text.len > 0 && rc == 0) {
        ssize_t sent = send(exchange->fd, text.data, text.len, MSG_NOSIGNAL);
        if (sent > 0)
            buf_drop(&text, (size_t)sent);
        else if (errno == EAGAIN)
            rc = await(exchange, POLLOUT, err);
        else if (errno != EINTR)
            rc = lost(exchange, errno, err);
    }
    buf_finish(&text);
    return rc;
}

/* Up to the end: the request asked for the connection to be closed. */
static int receive(const struct exchange *exchange, struct buf *text, struct err *err)
{
    for (;;) {
        char bytes[16384];
        ssize_t got = recv(exchange->fd, bytes, sizeof(bytes), 0);
        if (got == 0)
            return 0;
        if (got > 0) {
            if (!buf_append(text, bytes, (size_t)got))
                return err_set(err, ERR_BAD_GATEWAY, "the answer is longer than %d bytes",
                               HTTP_CLIENT_ANSWER_MAX);
        } else if (errno == EAGAIN) {
            if (await(exchange, POLLIN, err) != 0)
                return -1;
        } else if (errno != EINTR) {
            return lost(exchange, errno, err);
        }
    }
}

/* The body out of its chunks, in place (RFC 9112, section 7.1); -1 when it is cut short. Our server
 * sends neither extensions nor trailers.
 */
static int join_chunks(struct buf *text)
{
    char *from = text->data, *to = text->data, *end = text->data + text->len;
    for (;;) {
        char *after;
        if (from == end || !isxdigit((unsigned char)*from))
            return -1;
        unsigned long len = strtoul(from, &after, 16);
        if (end - after < 4 || memcmp(after, "\r\n", 2) != 0 || len > (size_t)(end - after) - 4 ||
            memcmp(after + 2 + len, "\r\n", 2) != 0)
            return -1;
        memmove(to, after + 2, len);
        to += len;
        from = after + 4 + len;
        if (len > 0)
            continue;
        text->len = (size_t)(to - text->data);
        *to = '\0';
        return 0;
    }
}

/* "HTTP/1.1 200 OK", headers, an empty line, the body. */
static int parse(struct buf *text, struct http_answer *answer, struct err *err)
{
    char *end = text->data ? strstr(text->data, "\r\n\r\n") : NULL;
    int64_t status;
    char digits[4] = "";
    if (!end || !str_starts_with(text->data, "HTTP/1.") ||
        !str_format(digits, sizeof(digits), "%.3s", text->data + strlen("HTTP/1.1 ")) ||
        !str_to_int(digits, 100, 999, &status))
        return err_set(err, ERR_BAD_GATEWAY, "the answer is no HTTP");
    *end = '\0';
    bool chunked = strcasestr(text->data, "\r\ntransfer-encoding: chunked") != NULL;
    buf_drop(text, (size_t)(end - text->data) + 4);
    if (chunked && (text->len == 0 || join_chunks(text) != 0))
        return err_set(err, ERR_BAD_GATEWAY, "the answer ends too early");
    answer->status = (int)status;
    answer->len = text->len;
    answer->body = buf_steal(text);
    return 0;
}

int http_client_ask(const struct http_request *request, struct http_answer *answer, struct err *err)
{
    struct exchange exchange = {
        .request = request,
        .deadline = clock_now(&clock_system) + (mono_us)request->timeout_ms * US_PER_MS,
        .fd = -1,
    };
    struct buf text;
    buf_init(&text, HTTP_CLIENT_ANSWER_MAX);
    *answer = (struct http_answer){0};
    int rc = open_connection(&exchange, err);
    if (rc == 0)
        rc = send_request(&exchange, err);
    if (rc == 0)
        rc = receive(&exchange, &text, err);
    if (rc == 0)
        rc = parse(&text, answer, err);
    buf_finish(&text);
    fd_close(&exchange.fd);
    return rc;
}
