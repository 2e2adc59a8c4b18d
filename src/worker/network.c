#include "network.h"

#include "network_helper.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* How it works. Requests are in a list; the first is with the helper, and its answer brings the
 * next on its way. A helper that is silent for longer than the kernel ever takes is killed, which
 * looks like its death.
 */
#define ANSWER_MS 30000
#define RETRY_MS 20 /* the kernel had no memory for the request */

struct request {
    struct network_request message;
    int pidfd; /* -1: none */
    network_done done;
    void *data;
    struct request *next;
};

struct network {
    struct network_config config;
    struct request *first, *last;
    bool sent; /* the first was */
    bool dead;
    uv_poll_t poll;
    uv_timer_t timer;
    int open_handles;
};

static void send_next(struct network *network);

static void request_free(struct request *request)
{
    fd_close(&request->pidfd);
    free(request);
}

/* The first is answered. */
static void answer_first(struct network *network, const struct err *why)
{
    struct request *request = network->first;
    network->first = request->next;
    if (!network->first)
        network->last = NULL;
    network->sent = false;
    if (why && request->message.verb != NETWORK_ATTACH) /* there the owner says so */
        log_error("the network is not as it should be", LOG_ERR(why));
    if (request->done)
        request->done(why, request->data);
    request_free(request);
}

static void bury(struct network *network)
{
    struct err why;
    uv_poll_stop(&network->poll);
    uv_timer_stop(&network->timer);
    network->dead = true;
    log_error("the network's process died");
    err_set(&why, ERR_NOT_AVAILABLE, "the network's process died");
    while (network->first)
        answer_first(network, &why);
    network->config.died(network->config.data);
}

static void on_silence(uv_timer_t *timer)
{
    struct network *network = timer->data;
    if (!network->sent) {
        send_next(network);
        return;
    }
    log_error("the network's process does not answer");
    kill(network->config.helper, SIGKILL);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
    struct network *network = poll->data;
    struct network_answer answer;
    (void)status, (void)events;
    ssize_t len = recv(network->config.socket, &answer, sizeof(answer), MSG_DONTWAIT);
    if (len < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (len != (ssize_t)sizeof(answer) || !network->sent) {
        bury(network);
        return;
    }
    uv_timer_stop(&network->timer);
    answer_first(network, answer.err.code == ERR_NONE ? NULL : &answer.err);
    send_next(network);
}

/* Its own death is seen by on_answer. */
static void send_next(struct network *network)
{
    struct request *request = network->first;
    if (!request || network->sent || network->dead)
        return;
    int sent = FAULT(NETWORK_ASK, -1,
                     fd_send(network->config.socket, &request->message, sizeof(request->message),
                             &request->pidfd, request->pidfd >= 0 ? 1 : 0));
    if (sent != 0 && errno != EPIPE && errno != ECONNRESET) {
        uv_timer_start(&network->timer, on_silence, RETRY_MS, 0);
        return;
    }
    fd_close(&request->pidfd);
    network->sent = true;
    uv_timer_start(&network->timer, on_silence, ANSWER_MS, 0);
}

/* Those that are asked of a dead one fail from the loop, by way of the timer. */
static void on_refuse(uv_timer_t *timer)
{
    struct network *network = timer->data;
    struct err why;
    err_set(&why, ERR_NOT_AVAILABLE, "the network's process died");
    while (network->first)
        answer_first(network, &why);
}

static void ask(struct network *network, const struct network_request *message, int pidfd,
                network_done done, void *data)
{
    struct request *request = mem_new(struct request);
    request->message = *message;
    request->pidfd = pidfd >= 0 ? fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : -1;
    request->done = done;
    request->data = data;
    *(network->last ? &network->last->next : &network->first) = request;
    network->last = request;
    if (network->dead)
        uv_timer_start(&network->timer, on_refuse, 0, 0);
    else
        send_next(network);
}

void network_attach(struct network *network, unsigned slot, pid_t init, int pidfd, uid_t owner,
                    network_done done, void *data)
{
    const struct network_request message = {NETWORK_ATTACH, slot, init, owner};
    ask(network, &message, pidfd, done, data);
}

void network_detach(struct network *network, unsigned slot, network_done done, void *data)
{
    const struct network_request message = {.verb = NETWORK_DETACH, .slot = slot};
    ask(network, &message, -1, done, data);
}

void network_adopt(struct network *network, unsigned slot)
{
    const struct network_request message = {.verb = NETWORK_ADOPT, .slot = slot};
    ask(network, &message, -1, NULL, NULL);
}

void network_settle(struct network *network)
{
    const struct network_request message = {.verb = NETWORK_SETTLE};
    ask(network, &message, -1, NULL, NULL);
}

struct network *network_create(const struct network_config *config, struct err *err)
{
    struct network *network = mem_new(struct network);
    network->config = *config;
    int failed = uv_poll_init(config->loop, &network->poll, config->socket);
    if (failed) {
        err_set(err, ERR_INTERNAL, "cannot watch the network's process: %s", uv_strerror(failed));
        fd_close(&network->config.socket);
        free(network);
        return NULL;
    }
    uv_timer_init(config->loop, &network->timer);
    network->poll.data = network;
    network->timer.data = network;
    network->open_handles = 2;
    uv_poll_start(&network->poll, UV_READABLE, on_answer);
    return network;
}

/* Waits for the answer to the first request. */
static bool wait_answer(struct network *network, struct network_answer *answer)
{
    struct pollfd ready = {.fd = network->config.socket, .events = POLLIN};
    return poll(&ready, 1, ANSWER_MS) > 0 &&
           recv(network->config.socket, answer, sizeof(*answer), 0) == (ssize_t)sizeof(*answer);
}

/* What was asked for comes first: a runner that is detached only now counts no more. */
static void clear(struct network *network)
{
    static const struct network_request wish = {.verb = NETWORK_CLEAR};
    struct network_answer answer;
    ask(network, &wish, -1, NULL, NULL);
    while (network->first) {
        struct request *request = network->first;
        if (!wait_answer(network, &answer))
            return;
        if (answer.err.code != ERR_NONE)
            log_error("the network could not be removed", LOG_ERR(&answer.err));
        network->first = request->next;
        network->sent = false;
        request_free(request);
        send_next(network);
    }
    network->last = NULL;
}

static void on_handle_closed(uv_handle_t *closed)
{
    struct network *network = closed->data;
    if (--network->open_handles > 0)
        return;
    fd_close(&network->config.socket);
    free(network);
}

void network_destroy(struct network *network)
{
    if (!network)
        return;
    if (!network->dead)
        clear(network);
    while (network->first) {
        struct request *request = network->first;
        network->first = request->next;
        request_free(request);
    }
    uv_close((uv_handle_t *)&network->poll, on_handle_closed);
    uv_close((uv_handle_t *)&network->timer, on_handle_closed);
}
