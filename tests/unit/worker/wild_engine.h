/* An engine in memory whose runners have an agent that is the test's: it says what it likes, or
 * nothing. What kills and ends operations is counted and does nothing.
 */
#ifndef TESTS_WORKER_WILD_ENGINE_H
#define TESTS_WORKER_WILD_ENGINE_H

#include "worker_rig.h"

extern struct wild {
    struct engine_ops ops;             /* those of engine_fake but for the following */
    struct peer agent;                 /* the agent's end of the operation that was opened last */
    struct engine_operation operation; /* that one */
    unsigned opens, kills, ends;
    unsigned opens_most; /* what is opened then is refused; at first there is no bound */
    bool hears;          /* signals; at first it does not, as one of protocol 1 */
    unsigned signals;    /* that it was to hear */
    uint32_t signal_id;  /* of the last: for which operation, and which */
    int signal;
} wild;

/* The rig's engine from now on; after worker_rig_open. */
void wild_begin(struct worker_rig *rig);

/* The rig may be closed after. */
void wild_finish(void);

void wild_started(void);
void wild_exits(const struct agent_exit *exit);

#endif
