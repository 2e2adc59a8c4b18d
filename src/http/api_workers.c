#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "api.h"
#include "worker_json.h"

#include <string.h>

/* What DELETE gives to what goes on on the worker. */
#define REMOVE_WAIT_S 60
#define REMOVE_WAIT_MAX_S 86400

static struct worker_view view_of(const struct exchange *exchange, const struct worker *worker)
{
    const struct app *app = exchange->app;
    struct worker_view view = {
        .worker = worker,
        .leaving = fleet_leaving(app->fleet, worker),
        .admin = exchange->admin,
    };
    if (!exchange->admin) /* it names hosts, users and files of keys */
        return view;
    view.spec = workers_spec(app->workers, worker_name(worker), &view.source);
    view.provision = provisioner_find(app->provisioner, worker_name(worker));
    return view;
}

static void put_worker(struct json_writer *json, const struct exchange *exchange,
                       const struct worker *worker)
{
    struct worker_view view = view_of(exchange, worker);
    worker_json_put_view(json, &view);
}

void api_workers_list(struct exchange *exchange)
{
    const struct fleet *fleet = exchange->app->fleet;
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    json_put_open(&json, "workers", '[');
    for (size_t i = 0; i < fleet_count(fleet); i++)
        put_worker(&json, exchange, fleet_at(fleet, i));
    json_close(&json, ']');
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}

static void answer_worker(struct exchange *exchange, int status, const char *name)
{
    const struct app *app = exchange->app;
    const struct worker *worker = fleet_worker(app->fleet, name);
    const struct provision *at = worker ? NULL : provisioner_find(app->provisioner, name);
    if (!worker && !(exchange->admin && at && at->state == PROVISION_RUNNING)) {
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "there is no worker \"%s\"", name);
        exchange_fail(exchange, &err);
        return;
    }
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    if (worker)
        put_worker(&json, exchange, worker);
    else
        worker_json_put_provision(&json, at);
    exchange_answer(exchange, status, &body);
}

void api_workers_get(struct exchange *exchange)
{
    answer_worker(exchange, 200, exchange->worker);
}

/* What a handler waits for: that a worker is added, removed, drained. */
struct pending {
    struct exchange *exchange;
    char name[NAME_MAX_LEN + 1];
    int status;   /* of the answer */
    bool removed; /* there is no worker to tell of in it */
};

static void on_gone(struct exchange *exchange, void *data)
{
    workers_forget(exchange->app->workers, data);
    free(data);
}

static void on_done(const struct err *err, void *data)
{
    struct pending pending = *(struct pending *)data;
    free(data);
    if (err) {
        exchange_fail(pending.exchange, err);
    } else if (pending.removed) {
        struct buf body;
        buf_init(&body, 64);
        buf_append_str(&body, "{\"res\":\"success\"}");
        exchange_answer(pending.exchange, pending.status, &body);
    } else {
        answer_worker(pending.exchange, pending.status, pending.name);
    }
}

static struct pending *wait_for(struct exchange *exchange, const char *name, int status)
{
    struct pending *pending = mem_new(struct pending);
    pending->exchange = exchange;
    pending->status = status;
    memcpy(pending->name, name, strlen(name) + 1);
    exchange_on_gone(exchange, on_gone, pending);
    return pending;
}

void api_workers_add(struct exchange *exchange)
{
    struct err err;
    struct worker_spec spec;
    cleanup_json json_t *json = json_parse_object(exchange->body, exchange->body_len, false, &err);
    if (!json || worker_spec_parse(json, NULL, &spec, &err) != 0) {
        exchange_fail(exchange, &err);
        return;
    }
    workers_add(exchange->app->workers, &spec, on_done, wait_for(exchange, spec.name, 201));
}

/* Query parameters of DELETE: force, and wait in seconds. */
static int parse_removal(const struct exchange *exchange, bool *force, int64_t *wait_ms,
                         struct err *err)
{
    char text[16];
    bool valid = true;
    *force = false;
    *wait_ms = REMOVE_WAIT_S * 1000;
    if (exchange_query(exchange, "force", text, sizeof(text), &valid)) {
        *force = valid && (strcmp(text, "true") == 0 || text[0] == '\0');
        if (!valid || (!*force && strcmp(text, "false") != 0))
            return err_set(err, ERR_BAD_REQUEST, "force: must be true or false");
    }
    if (exchange_query(exchange, "wait", text, sizeof(text), &valid)) {
        int64_t seconds;
        if (!valid || !str_to_int(text, 0, REMOVE_WAIT_MAX_S, &seconds))
            return err_set(err, ERR_BAD_REQUEST, "wait: must be whole seconds from 0 to %d",
                           REMOVE_WAIT_MAX_S);
        *wait_ms = seconds * 1000;
    }
    return 0;
}

void api_workers_remove(struct exchange *exchange)
{
    struct err err;
    bool force;
    int64_t wait_ms;
    if (parse_removal(exchange, &force, &wait_ms, &err) != 0) {
        exchange_fail(exchange, &err);
        return;
    }
    struct pending *pending = wait_for(exchange, exchange->worker, 200);
    pending->removed = true;
    workers_remove(exchange->app->workers, exchange->worker, force, wait_ms, on_done, pending);
}

void api_workers_drain(struct exchange *exchange)
{
    workers_drain(exchange->app->workers, exchange->worker, true, on_done,
                  wait_for(exchange, exchange->worker, 200));
}

void api_workers_resume(struct exchange *exchange)
{
    workers_drain(exchange->app->workers, exchange->worker, false, on_done,
                  wait_for(exchange, exchange->worker, 200));
}
