#include "../common/mem.h"
#include "../manager/calls.h"
#include "api.h"
#include "worker_json.h"

#include <string.h>

/* What a handler waits for: the worker's word on one of its ovens. */
struct question {
    struct exchange *exchange;
    struct call *call;
};

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    struct question *question = data;
    call_cancel(question->call);
    free(question);
}

static void answer(struct exchange *exchange, const struct worker_oven *oven)
{
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    json_put_text(&json, "worker", exchange->worker);
    json_put_open(&json, "oven", '{');
    worker_json_put_template(&json, oven);
    json_close(&json, '}');
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}

static void on_answer(const json_t *result, const struct failure *failure, void *data)
{
    struct question *question = data;
    struct exchange *exchange = question->exchange;
    struct worker_oven oven = {0};
    struct err err;
    free(question);
    if (failure) {
        exchange_fail_with(exchange, failure);
    } else if (worker_parse_oven(json_object_get(result, "oven"), &oven, &err) != 0) {
        err_context(&err, "RESULT of the worker: oven");
        err.code = ERR_BAD_GATEWAY;
        exchange_fail(exchange, &err);
    } else {
        answer(exchange, &oven);
    }
}

static void ask(struct exchange *exchange, const struct oven_change *change)
{
    struct failure failure = {0};
    struct worker *worker = fleet_worker(exchange->app->fleet, exchange->worker);
    if (!worker) {
        err_set(&failure.err, ERR_NOT_FOUND, "there is no worker \"%s\"", exchange->worker);
        exchange_fail_with(exchange, &failure);
        return;
    }
    struct question *question = mem_new(struct question);
    question->exchange = exchange;
    question->call = call_oven(exchange->app->loop, worker, change, on_answer, question, &failure);
    if (!question->call) {
        free(question);
        exchange_fail_with(exchange, &failure);
        return;
    }
    exchange_on_gone(exchange, on_gone, question);
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
