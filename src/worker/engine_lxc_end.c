#include "engine_lxc_private.h"

#include "network.h"

#include "../common/fd.h"
#include "../common/log.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>

/* Tidying up is tried for a second. The monitor of an adopted runner is not ours and does it by
 * itself, so it gets a quarter of that; in the last half monitors that hang are killed.
 */
#define TIDY_MS 2
#define TIDY_ROUNDS 500

static void on_runner_handle_closed(uv_handle_t *closed)
{
    struct engine_runner *handle = closed->data;
    if (--handle->open_handles > 0)
        return;
    fd_close(&handle->init_pidfd);
    fd_close(&handle->disk);
    free(handle);
}

void engine_runner_close(struct engine_runner *handle)
{
    chan_destroy(handle->control, false);
    handle->control = NULL;
    op_groups_finish(&handle->groups);
    uv_close((uv_handle_t *)&handle->timer, on_runner_handle_closed);
    if (handle->open_handles > 1)
        uv_close((uv_handle_t *)&handle->exit_poll, on_runner_handle_closed);
}

void engine_runner_failed(struct engine_runner *handle, const struct err *why)
{
    if (handle->why.code == ERR_NONE)
        handle->why = *why;
}

/* The last event of a runner. */
static void report_gone(struct engine_runner *handle)
{
    struct engine_lxc *engine = handle->engine;
    engine->by_slot[handle->spec.slot] = NULL;
    if (!handle->ready)
        engine->starts_go_well = false;
    if (handle->why.code == ERR_NONE)
        err_set(&handle->why, ERR_BAD_GATEWAY, "the container ended by itself");
    engine_runner_close(handle);
    engine->engine.events->gone(handle->runner, handle->destroyed ? NULL : &handle->why);
}

static bool is_tidy(struct engine_runner *handle)
{
    const struct cgroup *cgroup = handle->engine->config.cgroup;
    unsigned round = handle->tidy_rounds++;
    if (handle->adopted && round < TIDY_ROUNDS / 4 && cgroup_exists(cgroup, handle->spec.name))
        return false;
    return cgroup_try_remove(cgroup, handle->spec.name, round > TIDY_ROUNDS / 2);
}

static void on_detached(const struct err *why, void *data)
{
    struct engine_runner *handle = data;
    (void)why; /* the network has logged it */
    handle->network = NETWORK_NONE;
    report_gone(handle);
}

void engine_runner_tidy(struct engine_runner *handle)
{
    handle->tidy = true;
    if (handle->network == NETWORK_NONE) {
        report_gone(handle);
    } else if (handle->network == NETWORK_THERE) {
        handle->network = NETWORK_GOING;
        network_detach(handle->engine->config.network, handle->spec.slot, on_detached, handle);
    }
}

void engine_runner_over(struct engine_runner *handle)
{
    handle->over = true;
    if (is_tidy(handle)) {
        engine_runner_tidy(handle);
    } else if (handle->tidy_rounds > TIDY_ROUNDS) {
        log_error("a runner's cgroup cannot be removed", LOG_S("runner", handle->spec.name));
        engine_runner_tidy(handle);
    } else {
        engine_runner_arm(handle, TIDY_MS);
    }
}

void engine_runner_kill(struct engine_runner *handle)
{
    if (handle->over)
        return;
    if (handle->ready)
        cgroup_set_pace(handle->engine->config.cgroup, handle->spec.name, ENGINE_PACE_ENDING,
                        &handle->spec.limits);
    if (handle->init_pidfd >= 0)
        pidfd_send_signal(handle->init_pidfd, SIGKILL, NULL, 0);
    else if (engine_runner_ask(handle, true) != 0)
        engine_runner_arm(handle, TIDY_MS); /* the starter is busy */
}

void engine_runner_condemn(struct engine_runner *handle, const struct err *why)
{
    engine_runner_failed(handle, why);
    chan_destroy(handle->control, false);
    handle->control = NULL;
    engine_runner_kill(handle);
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *timer)
{
    struct engine_runner *handle = timer->data;
    if (handle->over) {
        engine_runner_over(handle);
        return;
    }
    if (handle->adopted && !handle->destroyed) {
        struct err why;
        err_set(&why, ERR_BAD_GATEWAY, "its agent has not come back within %d s",
                ENGINE_LXC_ADOPT_MS / 1000);
        engine_runner_failed(handle, &why);
    }
    if (handle->adopted && handle->init_pidfd < 0) { /* nobody reports its end */
        cgroup_kill(handle->engine->config.cgroup, handle->spec.name);
        engine_runner_over(handle);
        return;
    }
    engine_runner_kill(handle); /* its end is reported */
}

void engine_runner_arm(struct engine_runner *handle, uint64_t delay_ms)
{
    uv_timer_start(&handle->timer, on_timer, delay_ms, 0);
}

void engine_runner_end_soon(struct engine_runner *handle)
{
    handle->over = true;
    engine_runner_arm(handle, 0);
}
