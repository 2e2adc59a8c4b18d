/* A connection beside a run's own, for what must not wait behind its input: signals. */
#ifndef MANAGER_STEER_H
#define MANAGER_STEER_H

#include "worker.h"

struct steer;

/* What is sent is lost when the connection is: then the run's own is as well, or soon. */
struct steer_ops {
    /* It takes more, after steer_signal said no, or what it had is lost. Never inside a call; the
     * steer may be destroyed inside it.
     */
    void (*drain)(void *data);
};

/* key is the run's, and copied. Nothing is connected yet. It is an operation of the worker's, which
 * stays until it is destroyed; ops must outlive it.
 */
struct steer *steer_create(struct worker *worker, const char *key, const struct steer_ops *ops,
                           void *data);

/* Signals arrive in the order in which they are sent. name is one that signals_number knows. False:
 * it is sent, but enough is queued now.
 */
bool steer_signal(struct steer *steer, const char *name);
bool steer_has_room(const struct steer *steer);

/* NULL is fine. */
void steer_destroy(struct steer *steer);

#endif
