#include "api.h"
#include "worker_json.h"

void api_worker_get(struct exchange *exchange)
{
    const struct fleet *fleet = exchange->app->fleet;
    struct worker *worker = fleet_count(fleet) ? fleet_at(fleet, 0) : NULL;
    if (!worker || !worker_get_figures(worker)) {
        struct failure failure = {.retry_after_ms = 1000};
        err_set(&failure.err, ERR_NOT_AVAILABLE, "the worker has not been reached yet: %.150s",
                worker ? worker_last_error(worker) : "there is none");
        exchange_fail_with(exchange, &failure);
        return;
    }
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    worker_json_put_worker(&json, worker);
    worker_json_put_oven(&json, worker);
    worker_json_put_memory(&json, worker);
    worker_json_put_df(&json, worker);
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}
