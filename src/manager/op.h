/* One operation on a worker: its connection, and what happens when there is none.
 *
 * An operation waits for a worker that is down, tries again when its connection is lost before it
 * was committed, and ends by itself when nothing is heard for too long. See op_start for how long.
 * One that must not be done twice is tried again only when the worker has said that it did not
 * begin and never will; if that cannot be learned within OP_ASK_MS it fails with ERR_BAD_GATEWAY.
 * One that op_place started is bound to no worker before it is committed: what one refuses, loses
 * or cannot do is tried on another.
 */
#ifndef MANAGER_OP_H
#define MANAGER_OP_H

#include "fleet.h"

#define OP_WORKER_GRACE_MS FLEET_GRACE_MS

#define OP_ASK_MS 10000

/* Added to the time that an operation may take by its own limits before it is given up. */
#define OP_GUARD_MS 30000

struct op;

struct failure {
    struct err err;
    int64_t retry_after_ms;        /* 0: trying again is of no use */
    char runner[NAME_MAX_LEN + 1]; /* "" when none was reached */
};

/* All may destroy the operation. */
struct op_ops {
    /* There is a new connection: send the operation, from its start. */
    void (*send)(struct link_conn *conn, void *data);

    /* Any frame but LINK_ERROR. */
    void (*frame)(const struct frame *frame, void *data);

    void (*drain)(void *data); /* as in link_conn_ops; may be NULL */

    /* What the last send called itself: the worker can be told never to begin it, and says whether
     * it has. NULL: it may be done twice.
     */
    const char *(*key)(void *data);

    /* It fails, and what it may have done on the worker was not heard; may be NULL. */
    void (*lost)(struct worker *worker, void *data);

    /* The operation is over, without what it wanted: LINK_ERROR, a lost connection, no worker. At
     * most once, not after op_destroy, never inside op_start.
     */
    void (*failed)(const struct failure *failure, void *data);
};

/* reach_ms: how long it may take to reach the worker, all tries together. last_ms: how long an
 * answer may take after that; OP_GUARD_MS is added. NULL when the worker is not worth waiting for.
 */
struct op *op_start(uv_loop_t *loop, struct worker *worker, int64_t reach_ms, int64_t last_ms,
                    const struct op_ops *ops, void *data, struct failure *failure);

/* The same on any worker of the fleet that has the template, or, unless `only` is NULL, on the one
 * of that name (both are copied).
 */
struct op *op_place(uv_loop_t *loop, struct fleet *fleet, const char *template_name,
                    const char *only, int64_t reach_ms, int64_t last_ms, const struct op_ops *ops,
                    void *data, struct failure *failure);

/* The worker that has it; NULL while op_place's looks for one, and after it failed. */
struct worker *op_worker(const struct op *op);

/* The worker's answer was nonsense: it counts as a failure of the worker. */
void op_blame(struct op *op, const struct err *err);

/* It has had an effect: from here a lost connection is ERR_BAD_GATEWAY, never a second try. runner
 * (may be NULL) is named in that failure.
 */
void op_commit(struct op *op, const char *runner);

/* What is left of reach_ms. */
int64_t op_reach_left_ms(const struct op *op);

/* How often it was sent. */
unsigned op_tries(const struct op *op);

/* Ends it; the worker abandons what is not over. NULL is fine. */
void op_destroy(struct op *op);

#endif
