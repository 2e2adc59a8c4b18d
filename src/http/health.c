#include "api.h"

#include <stdio.h>
#include <string.h>

void health_alive(struct exchange *exchange)
{
    struct buf body;
    buf_init(&body, 64);
    buf_append_str(&body, "{\"status\":\"ok\"}");
    exchange_answer(exchange, 200, &body);
}

/* Ready: a worker takes runs, and its oven gives runners. A full house is ready all the same; it
 * would help nobody to be taken out of a balancer because there is work.
 */
static int check(const struct fleet *fleet, struct err *err)
{
    err_set(err, ERR_NOT_AVAILABLE, "there is no worker");
    for (size_t i = 0; i < fleet_count(fleet); i++) {
        const struct worker *worker = fleet_at(fleet, i);
        const struct worker_figures *figures = worker_get_figures(worker);
        if (!worker_up(worker)) {
            const char *why = worker_last_error(worker);
            err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" is out of reach: %s",
                    worker_name(worker), why[0] ? why : "it has not answered yet");
        } else if (worker_draining(worker)) {
            err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" is draining", worker_name(worker));
        } else if (worker_health(worker)->failing) {
            err_set(err, ERR_NOT_AVAILABLE, "the worker \"%s\" fails again and again: %.120s",
                    worker_name(worker), worker_health(worker)->why);
        } else if (figures->oven.available + figures->oven.in_use > 0 ||
                   figures->oven.min_available == 0) {
            return 0;
        } else {
            err_set(err, ERR_NOT_AVAILABLE, "the oven of \"%s\" is cold: %s%s%s",
                    worker_name(worker), figures->oven.status, figures->oven.message[0] ? ": " : "",
                    figures->oven.message);
        }
    }
    return -1;
}

void health_ready(struct exchange *exchange)
{
    struct failure failure = {.retry_after_ms = 1000};
    if (check(exchange->app->fleet, &failure.err) == 0)
        health_alive(exchange);
    else
        exchange_fail_with(exchange, &failure);
}
