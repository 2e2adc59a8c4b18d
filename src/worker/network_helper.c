#include "network_helper.h"

#include "network_ground.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

static int attach(struct network_ground *ground, const struct network_request *request, int pidfd,
                  struct err *err)
{
    const struct network_target target = {
        .slot = request->slot,
        .init = request->init,
        .pidfd = pidfd,
        .owner = request->owner,
    };
    return network_ground_attach(ground, &target, err);
}

static int answer(struct network_ground *ground, const struct network_request *request, int pidfd,
                  struct err *err)
{
    switch (request->verb) {
    case NETWORK_ATTACH:
        return attach(ground, request, pidfd, err);
    case NETWORK_DETACH:
        return network_ground_detach(ground, request->slot, err);
    case NETWORK_ADOPT:
        network_ground_adopt(ground, request->slot);
        return 0;
    case NETWORK_SETTLE:
        return network_ground_settle(ground, err);
    case NETWORK_CLEAR:
        return network_ground_clear(ground, err);
    }
    return err_set(err, ERR_INTERNAL, "the network's process does not know that request");
}

/* The kernel may have no memory for it just now; without an answer the worker would end. */
static int send_answer(int socket, const struct network_answer *reply)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    while (FAULT(NETWORK_ANSWER, -1, fd_send(socket, reply, sizeof(*reply), NULL, 0)) != 0) {
        if (errno != ENOBUFS && errno != ENOMEM)
            return -1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static void serve(struct network_ground *ground, int socket)
{
    for (;;) {
        struct network_request request;
        struct network_answer reply = {.err = {.code = ERR_NONE}};
        int fds[FD_SEND_MAX];
        ssize_t len = fd_recv(socket, &request, sizeof(request), fds);
        if (len < 0 && errno == EINTR)
            continue;
        if (len != (ssize_t)sizeof(request))
            return;
        if (answer(ground, &request, fds[0], &reply.err) == 0)
            reply.err.code = ERR_NONE;
        for (int i = 0; i < FD_SEND_MAX; i++)
            fd_close(&fds[i]);
        if (send_answer(socket, &reply) != 0)
            return;
    }
}

/* Nothing of the worker's: its lock, above all. */
static int keep_only_socket(int *socket)
{
    if (*socket != 3 && dup3(*socket, 3, O_CLOEXEC) != 3)
        return -1;
    *socket = 3;
    return close_range(4, ~0U, 0);
}

_Noreturn static void helper_main(const struct network_plan *plan, const char *notes, int socket)
{
    struct err err;
    prctl(PR_SET_NAME, "codeland-network");
    /* The worker decides when all ends, not the terminal from which it was started. */
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    struct network_ground *ground = NULL;
    if (keep_only_socket(&socket) != 0)
        err_sys(&err, ERR_INTERNAL, errno, "cannot arrange descriptors");
    else
        ground = network_ground_create(plan, notes, &err);
    if (!ground) {
        log_error("the network's process cannot start", LOG_ERR(&err));
        _exit(1);
    }
    serve(ground, socket);
    _exit(0);
}

int network_helper_spawn(const struct network_plan *plan, const char *notes, pid_t *pid,
                         struct err *err)
{
    int pair[2];
    if (FAULT(NETWORK_PAIR, -1, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "socketpair");
    *pid = FAULT(NETWORK_FORK, -1, fork());
    if (*pid < 0) {
        err_sys(err, ERR_INTERNAL, errno, "cannot fork");
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    if (*pid == 0) {
        close(pair[0]);
        helper_main(plan, notes, pair[1]);
    }
    close(pair[1]);
    return pair[0];
}
