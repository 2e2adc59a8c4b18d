/* The network's process: a small one beside the worker, which does what blocks (the kernel takes
 * its time to add and remove interfaces) and what enters a runner's network namespace.
 *
 * How it works. The worker forks it while it is small. Requests and answers are messages on a
 * SEQPACKET socket, one answer for each request, in order. When the worker dies it sees the end of
 * the socket and exits; what it made stays, as the containers do, and the next worker's process
 * takes it over.
 */
#ifndef WORKER_NETWORK_HELPER_H
#define WORKER_NETWORK_HELPER_H

#include "../common/network_plan.h"

#include <sys/types.h>

enum network_verb {
    NETWORK_ATTACH, /* a pidfd comes with it */
    NETWORK_DETACH,
    NETWORK_ADOPT,
    NETWORK_SETTLE, /* after the last ADOPT */
    NETWORK_CLEAR,
};

struct network_request {
    enum network_verb verb;
    unsigned slot;
    pid_t init;
    uid_t owner;
};

/* ERR_NONE: it is done. */
struct network_answer {
    struct err err;
};

/* Forks it. Returns the worker's end of the socket and its pid; -1 on failure. notes: see
 * network_ground.h.
 */
int network_helper_spawn(const struct network_plan *plan, const char *notes, pid_t *pid,
                         struct err *err);

#endif
