/* A worker without containers and without a process of its own: the real services over engine_fake,
 * on a real loop with real sockets. The fake's clock follows the machine's.
 */
#ifndef TESTS_WORKER_WORKER_RIG_H
#define TESTS_WORKER_WORKER_RIG_H

#include "../../../src/worker/engine_fake.h"
#include "../../../src/worker/services.h"
#include "../../support/cm.h"
#include "peer.h"

#include <limits.h>

/* Whose operations a test's are. */
#define RIG_MANAGER "0123456789abcdef0123456789abcdef"

struct worker_rig {
    uv_loop_t loop;
    struct engine_fake *fake;
    struct config config;
    struct ovens_config oven_config;
    struct services services;
    char folder[PATH_MAX]; /* RUN_DIR */
    uv_poll_t fake_poll;
    mono_us last;      /* of the machine's clock, when the fake's was moved */
    bool oven_frozen;  /* tickets are not answered */
    bool keep_zombies; /* worker_rig_open leaves them alone */
};

/* min 1, max 8, 4 at once, 4 may wait; runners cook in 1 ms and are gone after 1 ms. The services
 * are made by worker_rig_open.
 */
void worker_rig_init(struct worker_rig *rig);

/* Like a worker that starts; more than once after worker_rig_close, when containers live on. */
void worker_rig_open(struct worker_rig *rig);
void worker_rig_close(struct worker_rig *rig);

/* worker_rig_close if need be, and the rest; checks that no handle is left. */
void worker_rig_finish(struct worker_rig *rig);

/* One turn of the loop and what is due meanwhile; data is the rig. */
void worker_rig_turn(void *data);

#define worker_rig_wait(rig, condition)                                                            \
    do {                                                                                           \
        mono_us deadline_ = clock_now(&clock_system) + 60 * (mono_us)US_PER_SEC;                   \
        while (!(condition)) {                                                                     \
            if (clock_now(&clock_system) > deadline_)                                              \
                fail_msg("waited in vain for: %s", #condition);                                    \
            worker_rig_turn(rig);                                                                  \
        }                                                                                          \
    } while (0)

unsigned worker_rig_count(const struct worker_rig *rig, enum runner_state state);

/* Waits until so many are warm. */
void worker_rig_warm(struct worker_rig *rig, unsigned count);

/* The script of programs from now on. */
void worker_rig_script(struct worker_rig *rig, const struct fake_script *script);

/* Begins RUN or EXEC over a socket; the message has JSON with ' for ". */
void worker_rig_run(struct worker_rig *rig, struct peer *peer, enum frame_type type,
                    const char *message);

/* Text of JSON in which ' stands for "; valid until the next call but three. */
const char *worker_rig_json(const char *text);

#endif
