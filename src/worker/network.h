/* The worker's side of its network: asks the network's process (network_helper.h), one request
 * after the other, without waiting for it.
 */
#ifndef WORKER_NETWORK_H
#define WORKER_NETWORK_H

#include "../common/err.h"

#include <sys/types.h>
#include <uv.h>

struct network;

struct network_config {
    uv_loop_t *loop;
    int socket;   /* of network_helper_spawn; taken */
    pid_t helper; /* its process, which somebody else reaps */

    /* It died, or does not answer: what was asked for has failed, nothing else will be done. */
    void (*died)(void *data);
    void *data;
};

/* NULL on failure; the socket is closed then. */
struct network *network_create(const struct network_config *config, struct err *err);

/* Asks for a last time, and waits for the answer: without runners that are attached all is removed
 * that was made. No callback of an earlier request fires any more. Its memory goes with the loop's
 * next turns. NULL is fine.
 */
void network_destroy(struct network *network);

/* Exactly once, from the loop, unless the network is destroyed before. why is NULL when it is done.
 */
typedef void (*network_done)(const struct err *why, void *data);

/* pidfd (of init, the container's first process) is copied; owner is the container's root. */
void network_attach(struct network *network, unsigned slot, pid_t init, int pidfd, uid_t owner,
                    network_done done, void *data);
void network_detach(struct network *network, unsigned slot, network_done done, void *data);

/* The slot's runner, an earlier worker's, has its network already. */
void network_adopt(struct network *network, unsigned slot);

/* After the last adopt: what else an earlier worker left is removed. */
void network_settle(struct network *network);

#endif
