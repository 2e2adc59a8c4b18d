#include "probe.h"

#include "../common/mem.h"
#include "../loop/timer.h"
#include "calls.h"

#include <stddef.h>
#include <string.h>

struct probe {
    uv_loop_t *loop;
    struct worker *worker;
    struct listener listener;
    uv_timer_t *timer;
    struct call *call; /* NULL between two tries */
};

static void consider(struct probe *probe);

static void on_answer(const json_t *result, const struct failure *failure, void *data)
{
    struct probe *probe = data;
    struct err err;
    const char *status = json_string_value(json_object_get(result, "status"));
    bool well = status && strcmp(status, "ok") == 0;
    probe->call = NULL;
    if (!well && failure)
        err = failure->err;
    else if (!well)
        err_set(&err, ERR_BAD_GATEWAY, "the probe ended with the status \"%.20s\"",
                status ? status : "");
    worker_probed(probe->worker, well ? NULL : &err);
    consider(probe);
}

static void on_due(uv_timer_t *timer)
{
    struct probe *probe = timer->data;
    struct failure failure;
    if (!worker_up(probe->worker))
        return; /* it will be considered when it is up */
    probe->call = call_probe(probe->loop, probe->worker, on_answer, probe, &failure);
    if (!probe->call) {
        worker_probed(probe->worker, &failure.err);
        consider(probe);
    }
}

static void consider(struct probe *probe)
{
    const struct health *health = worker_health(probe->worker);
    if (health->failing && worker_up(probe->worker) && !probe->call &&
        !uv_is_active((uv_handle_t *)probe->timer))
        uv_timer_start(probe->timer, on_due, health_probe_in_ms(health), 0);
}

static void on_changed(struct listener *listener)
{
    consider((struct probe *)((char *)listener - offsetof(struct probe, listener)));
}

struct probe *probe_create(uv_loop_t *loop, struct worker *worker)
{
    struct probe *probe = mem_new(struct probe);
    probe->loop = loop;
    probe->worker = worker;
    probe->timer = loop_timer_create(loop, probe);
    probe->listener.changed = on_changed;
    worker_listen(worker, &probe->listener);
    return probe;
}

void probe_destroy(struct probe *probe)
{
    if (!probe)
        return;
    if (probe->call)
        call_cancel(probe->call);
    worker_unlisten(probe->worker, &probe->listener);
    loop_timer_destroy(probe->timer);
    free(probe);
}
