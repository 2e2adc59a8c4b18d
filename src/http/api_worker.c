#include "../common/mem.h"
#include "../manager/calls.h"
#include "api.h"

#include <stdio.h>
#include <string.h>

static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part * 100 / (double)whole : 0;
}

static void put_worker(struct json_writer *json, const struct worker *worker,
                       const struct worker_figures *figures)
{
    char environment[120];
    const struct link_status *link = link_get_status(worker_link(worker));
    snprintf(environment, sizeof(environment), "Linux %s, cgroup %s", figures->kernel,
             figures->cgroup);
    json_put_open(json, "worker", '{');
    json_put_text(json, "name", worker_name(worker));
    json_put_text(json, "location", link_location(worker_link(worker)));
    json_put_text(json, "user", figures->user);
    json_put_bool(json, "userHasKey", false); /* of SSH; a local link needs none */
    json_put_int(json, "startedAt", figures->started_ms);
    json_put_text(json, "environment", environment);
    json_put_text(json, "version", figures->version);
    json_put_open(json, "link", '{');
    json_put_text(json, "state", worker_up(worker) ? "up" : "down");
    json_put_int(json, "since", link->since_ms);
    json_put_text_or_null(json, "lastError", worker_last_error(worker));
    json_close(json, '}');
    json_put_open(json, "load", '[');
    for (size_t i = 0; i < 3; i++)
        json_put_ms(json, NULL, figures->load[i]);
    json_close(json, ']');
    json_close(json, '}');
}

static void put_oven(struct json_writer *json, const struct worker_figures *figures)
{
    json_put_open(json, "oven", '{');
    json_put_text(json, "status", figures->oven.status);
    json_put_text(json, "message", figures->oven.message);
    json_put_int(json, "cooking", figures->oven.cooking);
    json_put_int(json, "count", figures->oven.count);
    json_put_int(json, "available", figures->oven.available);
    json_put_int(json, "inUse", figures->oven.in_use);
    json_put_int(json, "freeing", figures->oven.freeing);
    json_put_int(json, "waiting", figures->oven.waiting);
    json_put_text(json, "template", figures->oven.template_name);
    json_put_int(json, "minAvailable", figures->oven.min_available);
    json_put_int(json, "memTarget", figures->oven.mem_target);
    json_put_int(json, "memCeiling", figures->oven.mem_ceiling);
    json_put_int(json, "maxRunners", figures->oven.max_runners);
    json_put_ms(json, "cookMs", figures->oven.cook_ms);
    json_close(json, '}');
}

static void put_memory(struct json_writer *json, const struct worker_figures *figures)
{
    int64_t total = figures->memory.total;
    json_put_open(json, "memory", '{');
    json_put_int(json, "total", total);
    json_put_int(json, "free", figures->memory.free);
    json_put_int(json, "available", figures->memory.available);
    json_put_int(json, "used", figures->memory.used);
    json_put_int(json, "swapTotal", figures->memory.swap_total);
    json_put_int(json, "swapFree", figures->memory.swap_free);
    json_put_ms(json, "percentUsed", percent(figures->memory.used, total));
    json_put_ms(json, "percentFree", percent(figures->memory.free, total));
    json_put_ms(json, "percentAvailable", percent(figures->memory.available, total));
    json_close(json, '}');
}

static void put_df(struct json_writer *json, const struct worker_figures *figures)
{
    char use[16];
    /* As df(1) has it: of what a user could have, rounded up. */
    int64_t whole = figures->disk.used + figures->disk.available;
    int64_t used = whole > 0 ? (figures->disk.used * 100 + whole - 1) / whole : 0;
    snprintf(use, sizeof(use), "%d%%", (int)used);
    json_put_open(json, "df", '{');
    json_put_text(json, "filesystem", figures->disk.filesystem);
    json_put_text(json, "path", figures->disk.path);
    json_put_int(json, "total", figures->disk.total);
    json_put_int(json, "used", figures->disk.used);
    json_put_int(json, "available", figures->disk.available);
    json_put_text(json, "use%", use);
    json_close(json, '}');
}

void api_worker_get(struct exchange *exchange)
{
    const struct fleet *fleet = exchange->app->fleet;
    struct worker *worker = fleet_count(fleet) ? fleet_at(fleet, 0) : NULL;
    const struct worker_figures *figures = worker ? worker_get_figures(worker) : NULL;
    if (!figures) {
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
    put_worker(&json, worker, figures);
    put_oven(&json, figures);
    put_memory(&json, figures);
    put_df(&json, figures);
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}

struct zombies {
    struct exchange *exchange;
    struct call *call;
    bool remove;
};

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    struct zombies *zombies = data;
    call_cancel(zombies->call);
    free(zombies);
}

/* `res` is a map by name, as it always was, and "success" once they are removed. */
static void answer_zombies(struct exchange *exchange, const json_t *names, bool removed)
{
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    size_t i;
    json_t *name;
    json_open(&json, '{');
    if (removed) {
        json_put_text(&json, "res", "success");
    } else {
        json_put_open(&json, "res", '{');
        json_array_foreach((json_t *)names, i, name)
        {
            json_put_open(&json, json_string_value(name), '{');
            json_put_text(&json, "name", json_string_value(name));
            json_close(&json, '}');
        }
        json_close(&json, '}');
    }
    json_put_open(&json, "zombies", '[');
    json_array_foreach((json_t *)names, i, name)
        json_put_text(&json, NULL, json_string_value(name));
    json_close(&json, ']');
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}

static bool are_strings(const json_t *names)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!json_is_string(json_array_get(names, i)))
            return false;
    return json_is_array(names);
}

static void on_zombies(const json_t *result, const struct failure *failure, void *data)
{
    struct zombies *zombies = data;
    struct exchange *exchange = zombies->exchange;
    bool removed = zombies->remove;
    free(zombies);
    const json_t *names = json_object_get(result, "zombies");
    if (failure) {
        exchange_fail_with(exchange, failure);
    } else if (!are_strings(names)) {
        struct err err;
        err_set(&err, ERR_BAD_GATEWAY, "RESULT of the worker: zombies: must be a list of names");
        exchange_fail(exchange, &err);
    } else {
        answer_zombies(exchange, names, removed);
    }
}

static void call(struct exchange *exchange, bool remove)
{
    struct failure failure = {0};
    struct worker *worker =
        fleet_count(exchange->app->fleet) ? fleet_at(exchange->app->fleet, 0) : NULL;
    struct zombies *zombies = mem_new(struct zombies);
    zombies->exchange = exchange;
    zombies->remove = remove;
    if (worker)
        zombies->call =
            call_zombies(exchange->app->loop, worker, remove, on_zombies, zombies, &failure);
    else
        err_set(&failure.err, ERR_NOT_AVAILABLE, "there is no worker");
    if (zombies->call) {
        exchange_on_gone(exchange, on_gone, zombies);
        return;
    }
    free(zombies);
    exchange_fail_with(exchange, &failure);
}

void api_worker_zombies_list(struct exchange *exchange)
{
    call(exchange, false);
}

void api_worker_zombies_remove(struct exchange *exchange)
{
    call(exchange, true);
}
