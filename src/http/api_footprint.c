#include "../common/json.h"
#include "../common/mem.h"
#include "../manager/calls.h"
#include "api.h"

#include <dirent.h>
#include <string.h>

struct pending {
    struct exchange *exchange;
    struct call *call;
};

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    struct pending *pending = data;
    call_cancel(pending->call);
    free(pending);
}

/* This process's own, but for the one that looks. */
static json_int_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    json_int_t count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 3 ? count - 3 : 0;
}

static void on_answer(const json_t *result, const struct failure *failure, void *data)
{
    struct pending *pending = data;
    struct exchange *exchange = pending->exchange;
    free(pending);
    if (failure) {
        exchange_fail_with(exchange, failure);
        return;
    }
    size_t resident = 0;
    uv_resident_set_memory(&resident);
    cleanup_json json_t *whole =
        json_pack("{s:O, s:{s:I, s:I}}", "worker", result, "manager", "descriptors",
                  count_descriptors(), "memory", (json_int_t)resident);
    cleanup_free char *text = json_dumps(whole, JSON_COMPACT);
    struct buf body;
    if (!text)
        mem_exhausted();
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    buf_append_str(&body, text);
    exchange_answer(exchange, 200, &body);
}

void api_footprint_get(struct exchange *exchange)
{
    struct failure failure = {0};
    struct worker *worker = fleet_worker(exchange->app->fleet, exchange->worker);
    if (!worker) {
        err_set(&failure.err, ERR_NOT_FOUND, "there is no worker \"%s\"", exchange->worker);
        exchange_fail_with(exchange, &failure);
        return;
    }
    struct pending *pending = mem_new(struct pending);
    pending->exchange = exchange;
    pending->call = call_footprint(exchange->app->loop, worker, on_answer, pending, &failure);
    if (pending->call) {
        exchange_on_gone(exchange, on_gone, pending);
        return;
    }
    free(pending);
    exchange_fail_with(exchange, &failure);
}
