#include "../common/mem.h"
#include "../manager/calls.h"
#include "../manager/templates.h"
#include "api.h"
#include "auth.h"
#include "inquiry.h"
#include "result_json.h"
#include "run_body.h"
#include "run_events.h"

#include <string.h>

/* What a handler waits for: a run. */
struct pending {
    struct exchange *exchange;
    bool base64; /* how its output is wanted */
    struct run *run;
};

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    struct pending *pending = data;
    run_cancel(pending->run);
    free(pending);
}

static size_t read_result(void *self, char *to, size_t room)
{
    return result_json_read(self, to, room);
}

static void destroy_result(void *self)
{
    result_json_destroy(self);
}

static void on_run_done(struct run_result *take_result, const struct failure *failure, void *data)
{
    struct pending *pending = data;
    struct exchange *exchange = pending->exchange;
    bool base64 = pending->base64;
    free(pending);
    if (failure) {
        exchange_fail_with(exchange, failure);
        return;
    }
    char runner[NAME_MAX_LEN + 1];
    memcpy(runner, take_result->runner, sizeof(runner));
    struct result_json *json = result_json_create(take_result, exchange_ms(exchange), exchange->id,
                                                  base64 ? RESULT_BASE64 : 0);
    struct answer_source source = {
        .self = json,
        .read = read_result,
        .destroy = destroy_result,
    };
    exchange_stream(exchange, result_json_status(json), runner, &source);
}

/* ?encoding= */
static int parse_encoding(const struct exchange *exchange, bool *base64, struct err *err)
{
    char encoding[16] = "utf8";
    bool valid = true;
    exchange_query(exchange, "encoding", encoding, sizeof(encoding), &valid);
    *base64 = valid && strcmp(encoding, "base64") == 0;
    if (!valid || (!*base64 && strcmp(encoding, "utf8") != 0))
        return err_set(err, ERR_BAD_REQUEST, "encoding: must be utf8 or base64");
    return 0;
}

int api_run_parse(struct exchange *exchange, enum run_body_kind kind, const char *text, size_t len,
                  bool streamed, struct run_request *request, struct err *err)
{
    const struct config *config = exchange->app->config;
    const struct run_limits limits = {
        .time_ms = config->run_time,
        .time_max_ms = config->run_time_max,
        .memory_bytes = config->run_memory,
        .memory_max_bytes = config->run_memory_max,
        .cpu_max_ms = config->run_cpu_time_max,
        .processes_max = config->run_processes_max,
        .disk_max_bytes = config->run_disk_max,
        .output_max_bytes = config->run_output_max,
        .queue_max_ms = config->run_queue_max,
        .languages = exchange->app->languages,
        .nat = config->network_nat,
        .admin = exchange->admin,
    };
    char time[32];
    bool valid = true;
    bool base64;
    if (parse_encoding(exchange, &base64, err) != 0)
        return -1;
    bool has_time = exchange_query(exchange, "time", time, sizeof(time), &valid);
    if (!valid)
        return err_set(err, ERR_BAD_REQUEST, "time: is not a number of seconds");
    *request = (struct run_request){
        .owner = exchange->owner,
        .output_bytes = streamed ? config->run_stream_output : config->run_output,
        .queue_ms = config->run_queue,
        .cpu_ms = config->run_cpu_time,
        .compile_ms = config->run_compile_time,
        .compile_output_bytes = config->run_compile_output,
        .collect_bytes = config->run_collect,
        .collect_files = config->run_collect_files,
        .runner = kind == RUN_BODY_NAMED ? exchange->runner : NULL,
    };
    memcpy(request->id, exchange->id, sizeof(request->id));
    if (run_body_parse(text, len, has_time ? time : NULL, kind, &limits, request, err) != 0)
        return -1;
    if (request->worker_name && !fleet_worker(exchange->app->fleet, request->worker_name)) {
        err_set(err, ERR_NOT_FOUND, "worker: there is no worker \"%s\"", request->worker_name);
        json_decref(request->hold);
        return -1;
    }
    if (request->language->compile_ms > request->compile_ms)
        request->compile_ms = request->language->compile_ms;
    if (kind == RUN_BODY_NAMED || request->template_name)
        return 0;
    request->template_name = templates_choose(exchange->app->fleet, request->language, err);
    if (request->template_name)
        return 0;
    json_decref(request->hold);
    return -1;
}

static int parse_body(struct exchange *exchange, enum run_body_kind kind,
                      struct run_request *request, struct err *err)
{
    return api_run_parse(exchange, kind, exchange->body, exchange->body_len, exchange->event_stream,
                         request, err);
}

static void start_events(struct exchange *exchange, struct worker *worker,
                         const struct run_request *request)
{
    struct err err;
    bool base64;
    if (parse_encoding(exchange, &base64, &err) == 0) {
        run_events_start(exchange, worker, request, base64);
        return;
    }
    json_decref(request->hold);
    exchange_fail(exchange, &err);
}

/* worker: of a named runner; NULL for a fresh one. Takes request->hold. */
static void start_run(struct exchange *exchange, struct worker *worker,
                      const struct run_request *request)
{
    if (exchange->event_stream) {
        start_events(exchange, worker, request);
        return;
    }
    struct failure failure;
    struct pending *pending = mem_new(struct pending);
    pending->exchange = exchange;
    parse_encoding(exchange, &pending->base64, &failure.err); /* which it has passed before */
    pending->run = run_start(exchange->app->loop, exchange->app->fleet, worker, request,
                             on_run_done, pending, &failure);
    if (pending->run) {
        exchange_on_gone(exchange, on_gone, pending);
        return;
    }
    free(pending);
    exchange_fail_with(exchange, &failure);
}

static void run_fresh(struct exchange *exchange, enum run_body_kind kind)
{
    struct err err;
    struct run_request request;
    if (parse_body(exchange, kind, &request, &err) != 0) {
        exchange_fail(exchange, &err);
        return;
    }
    request.keep = kind == RUN_BODY_NEW;
    start_run(exchange, NULL, &request);
}

void api_runner_run(struct exchange *exchange)
{
    run_fresh(exchange, RUN_BODY_FRESH);
}

void api_runner_new(struct exchange *exchange)
{
    run_fresh(exchange, RUN_BODY_NEW);
}

/* The named runner and its worker, when the caller may touch it. A worker that is down is believed
 * to have what it had. One that has never been up may have the runner: it will know.
 */
struct worker *api_runner_find(struct exchange *exchange, const struct runner_info **info,
                               struct failure *failure)
{
    const struct fleet *fleet = exchange->app->fleet;
    *failure = (struct failure){0};
    struct worker *worker = fleet_find(fleet, exchange->runner, info);
    if (!worker) {
        bool unknown = false;
        for (size_t i = 0; i < fleet_count(fleet); i++)
            unknown |= !worker_get_figures(fleet_at(fleet, i));
        if (unknown) {
            failure->retry_after_ms = 1000;
            err_set(&failure->err, ERR_NOT_AVAILABLE, "the worker has not been reached yet");
        } else {
            err_set(&failure->err, ERR_RUNNER_NOT_FOUND, "there is no runner \"%s\"",
                    exchange->runner);
        }
        return NULL;
    }
    if (auth_owns(exchange, (*info)->owner))
        return worker;
    err_set(&failure->err, ERR_FORBIDDEN, "the runner \"%s\" is not yours", exchange->runner);
    return NULL;
}

void api_runner_exec(struct exchange *exchange)
{
    struct failure failure;
    struct run_request request;
    const struct runner_info *info;
    struct worker *worker = api_runner_find(exchange, &info, &failure);
    if (!worker) {
        exchange_fail_with(exchange, &failure);
        return;
    }
    if (parse_body(exchange, RUN_BODY_NAMED, &request, &failure.err) != 0) {
        exchange_fail(exchange, &failure.err);
        return;
    }
    start_run(exchange, worker, &request);
}

static void put_history(struct json_writer *json, const struct runner_info *info)
{
    json_put_open(json, "statusHistory", '[');
    for (unsigned i = 0; i < info->history_len; i++) {
        json_put_open(json, NULL, '{');
        json_put_text(json, "status", info->history[i].state);
        json_put_int(json, "time", info->history[i].time_ms);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* ip, link, tx, rx and total are of the network, which a runner has none of; kmem is in memory. */
static void put_detail(struct json_writer *json, const struct runner_info *info)
{
    static const char *const nothing[] = {"ip", "kmem", "link", "tx", "rx", "total"};
    json_put_text(json, "state", info->state);
    json_put_int(json, "pid", info->pid);
    json_put_int(json, "memory", info->memory_bytes);
    for (size_t i = 0; i < ARRAY_LEN(nothing); i++)
        json_put_null(json, nothing[i]);
    json_put_int(json, "since", info->since_ms);
    json_put_int(json, "startedAt", info->started_ms);
    json_put_int(json, "runs", info->runs);
    put_history(json, info);
}

static void put_runner(struct json_writer *json, const struct worker *worker,
                       const struct runner_info *info, bool detail)
{
    json_open(json, '{');
    json_put_text(json, "name", info->name);
    json_put_bool(json, "inUse", strcmp(info->state, "inUse") == 0);
    json_put_null(json, "domain"); /* until there are previews */
    json_put_text_or_null(json, "lastStatus", info->last_status);
    json_put_text(json, "worker", worker_name(worker));
    json_put_text_or_null(json, "template", info->template_name);
    json_put_text_or_null(json, "owner", info->owner);
    json_put_bool(json, "kept", info->kept);
    if (detail)
        put_detail(json, info);
    json_close(json, '}');
}

/* Of all workers together. */
static void put_memory(struct json_writer *json, const struct fleet *fleet)
{
    int64_t total = 0, available = 0, used = 0;
    for (size_t i = 0; i < fleet_count(fleet); i++) {
        const struct worker_figures *figures = worker_get_figures(fleet_at(fleet, i));
        if (!figures)
            continue;
        total += figures->memory.total;
        available += figures->memory.available;
        used += figures->memory.used;
    }
    json_put_open(json, "memory", '{');
    json_put_int(json, "total", total);
    json_put_int(json, "available", available);
    json_put_int(json, "used", used);
    json_put_ms(json, "percent", total > 0 ? (double)used * 100 / (double)total : 0);
    json_close(json, '}');
}

void api_runner_list(struct exchange *exchange)
{
    const struct fleet *fleet = exchange->app->fleet;
    char value[16];
    bool valid;
    bool detail = exchange_query(exchange, "detail", value, sizeof(value), &valid) && valid &&
                  strcmp(value, "false") != 0 && strcmp(value, "0") != 0;
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    put_memory(&json, fleet);
    json_put_open(&json, "runners", '[');
    for (size_t i = 0; i < fleet_count(fleet); i++) {
        const struct worker *worker = fleet_at(fleet, i);
        const struct registry *runners = worker_runners(worker);
        for (size_t k = 0; k < registry_count(runners); k++) {
            const struct runner_info *info = registry_at(runners, k);
            if (auth_owns(exchange, info->owner))
                put_runner(&json, worker, info, detail);
        }
    }
    json_close(&json, ']');
    json_close(&json, '}');
    exchange_answer(exchange, 200, &body);
}

void api_runner_get(struct exchange *exchange)
{
    struct failure failure;
    const struct runner_info *info;
    const struct worker *worker = api_runner_find(exchange, &info, &failure);
    if (!worker) {
        exchange_fail_with(exchange, &failure);
        return;
    }
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    put_runner(&json, worker, info, true);
    exchange_answer(exchange, 200, &body);
}

static void tell_destroyed(struct exchange *exchange, const json_t *result)
{
    (void)result;
    struct buf body;
    buf_init(&body, 64);
    buf_append_str(&body, "{\"res\":\"success\"}");
    exchange_answer(exchange, 200, &body);
}

void api_runner_delete(struct exchange *exchange)
{
    struct failure failure;
    const struct runner_info *info;
    struct worker *worker = api_runner_find(exchange, &info, &failure);
    if (!worker) {
        exchange_fail_with(exchange, &failure);
        return;
    }
    struct inquiry *inquiry = inquiry_create(exchange, tell_destroyed);
    inquiry_begin(inquiry,
                  call_destroy_runner(exchange->app->loop, worker, exchange->runner, inquiry_done,
                                      inquiry, &failure),
                  &failure);
}
