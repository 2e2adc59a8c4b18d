#include "inquiry.h"

#include "../common/mem.h"

#include <stdlib.h>

struct inquiry {
    struct exchange *exchange;
    void (*tell)(struct exchange *exchange, const json_t *result);
    struct call *call;
};

struct worker *inquiry_worker(struct exchange *exchange)
{
    struct err err;
    struct worker *worker = fleet_worker(exchange->app->fleet, exchange->worker);
    if (!worker) {
        err_set(&err, ERR_NOT_FOUND, "there is no worker \"%s\"", exchange->worker);
        exchange_fail(exchange, &err);
    }
    return worker;
}

struct inquiry *inquiry_create(struct exchange *exchange,
                               void (*tell)(struct exchange *exchange, const json_t *result))
{
    struct inquiry *inquiry = mem_new(struct inquiry);
    inquiry->exchange = exchange;
    inquiry->tell = tell;
    return inquiry;
}

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    struct inquiry *inquiry = data;
    call_cancel(inquiry->call);
    free(inquiry);
}

void inquiry_done(const json_t *result, const struct failure *failure, void *data)
{
    struct inquiry inquiry = *(struct inquiry *)data;
    free(data);
    if (failure)
        exchange_fail_with(inquiry.exchange, failure);
    else
        inquiry.tell(inquiry.exchange, result);
}

void inquiry_begin(struct inquiry *take_inquiry, struct call *take_call,
                   const struct failure *failure)
{
    struct exchange *exchange = take_inquiry->exchange;
    take_inquiry->call = take_call;
    if (take_call) {
        exchange_on_gone(exchange, on_gone, take_inquiry);
        return;
    }
    free(take_inquiry);
    exchange_fail_with(exchange, failure);
}
