/* The worker's parts, wired together: what main.c starts and ends. */
#ifndef WORKER_KITCHEN_H
#define WORKER_KITCHEN_H

#include "../common/config.h"

#include <uv.h>

struct kitchen;

struct kitchen_config {
    const struct config *config;
    const char *apparmor; /* the profile of runners; NULL where the host has no AppArmor */
    const char *agent;    /* the agent's binary */
    uv_loop_t *loop;      /* not initialised: kitchen_open does that, see there */

    /* The kitchen cannot go on (the starter died): the program should end and be started anew. */
    void (*broken)(void *data);

    /* After kitchen_close: all that was to end has ended. */
    void (*closed)(void *data);
    void *data;
};

/* Forks the starter, then initialises the loop: libuv leaves a fork handler behind (pthread_atfork)
 * that closes descriptors by number in every child, which in the starter's children are others.
 * Adopts what an earlier worker left and removes the rest, then serves. NULL with err on failure.
 */
struct kitchen *kitchen_open(const struct kitchen_config *config, struct err *err);

/* Stops serving, answers those whose operations go on, and destroys every runner, but not kept ones
 * when leave_kept. closed fires once: when all is over, or none has ended for KITCHEN_CLOSE_MS.
 * Called again without leave_kept, kept ones are destroyed after all.
 */
#define KITCHEN_CLOSE_MS 10000
void kitchen_close(struct kitchen *kitchen, bool leave_kept);

/* After closed: removes what is left of folders and cgroups, and frees the kitchen. */
void kitchen_destroy(struct kitchen *kitchen);

#endif
