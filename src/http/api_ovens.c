#include "api.h"
#include "inquiry.h"
#include "worker_json.h"

#include <string.h>

static void tell(struct exchange *exchange, const json_t *result)
{
    struct worker_oven oven = {0};
    struct err err;
    if (worker_parse_oven(json_object_get(result, "oven"), &oven, &err) != 0) {
        err_context(&err, "RESULT of the worker: oven");
        err.code = ERR_BAD_GATEWAY;
        exchange_fail(exchange, &err);
        return;
    }
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    json_put_text(&json, "worker", exchange->worker);
    json_put_open(&json, "oven", '{');
    worker_json_put_template(&json, &oven);
    json_close(&json, '}');
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}

static void ask(struct exchange *exchange, const struct oven_change *change)
{
    struct failure failure = {0};
    struct worker *worker = inquiry_worker(exchange);
    if (!worker)
        return;
    struct inquiry *inquiry = inquiry_create(exchange, tell);
    inquiry_begin(inquiry,
                  call_oven(exchange->app->loop, worker, change, inquiry_done, inquiry, &failure),
                  &failure);
}

void api_ovens_get(struct exchange *exchange)
{
    struct err err;
    struct oven_change look;
    char name[NAME_MAX_LEN + 2] = ""; /* one that is too long is no name either */
    bool valid = true;
    oven_change_none(&look);
    exchange_query(exchange, "template", name, sizeof(name), &valid);
    if (!valid)
        strcpy(name, "?");
    if (oven_change_set_template(&look, name, &err) != 0)
        exchange_fail(exchange, &err);
    else
        ask(exchange, &look);
}

void api_ovens_change(struct exchange *exchange)
{
    struct err err;
    struct oven_change change;
    if (oven_change_parse(exchange->body, exchange->body_len, &change, &err) != 0)
        exchange_fail(exchange, &err);
    else
        ask(exchange, &change);
}
