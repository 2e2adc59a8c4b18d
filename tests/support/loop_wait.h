/* Runs a uv loop until something has come true; a test that waits in vain fails after a while. */
#ifndef SUPPORT_LOOP_WAIT_H
#define SUPPORT_LOOP_WAIT_H

#include "../../src/common/clock.h"
#include "cm.h"

#include <poll.h>
#include <uv.h>

#define LOOP_WAIT_US (60 * (mono_us)US_PER_SEC)

/* One turn of the loop, and a short sleep when nothing was ready. */
static inline void loop_turn(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_NOWAIT);
    int timeout = uv_backend_timeout(loop);
    struct pollfd ready = {.fd = uv_backend_fd(loop), .events = POLLIN};
    poll(&ready, 1, timeout < 0 || timeout > 20 ? 20 : timeout);
}

#define loop_wait(loop, condition)                                                                 \
    do {                                                                                           \
        mono_us deadline_ = clock_now(&clock_system) + LOOP_WAIT_US;                               \
        while (!(condition)) {                                                                     \
            if (clock_now(&clock_system) > deadline_)                                              \
                fail_msg("waited in vain for: %s", #condition);                                    \
            loop_turn(loop);                                                                       \
        }                                                                                          \
    } while (0)

/* Runs what is left, e.g. close callbacks, and checks that no handle stays behind. */
static inline void loop_finish(uv_loop_t *loop)
{
    loop_wait(loop, !uv_loop_alive(loop));
    assert_int_equal(uv_loop_close(loop), 0);
}

#endif
