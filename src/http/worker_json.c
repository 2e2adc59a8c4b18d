#include "worker_json.h"

#include "../common/clock.h"

#include <stdio.h>

static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part * 100 / (double)whole : 0;
}

static const char *link_state(const struct worker *worker)
{
    if (worker_up(worker))
        return "up";
    if (worker_get_upgrade(worker) == WORKER_UPGRADING)
        return "upgrading";
    return worker_outdated(worker) || worker_too_new(worker) ? "refused" : "down";
}

static void put_link(struct json_writer *json, const struct worker *worker, bool admin)
{
    const struct link_status *link = link_get_status(worker_link(worker));
    int64_t since_us = clock_now(&clock_system) - worker_since_us(worker);
    json_put_open(json, "link", '{');
    json_put_text(json, "state", link_state(worker));
    json_put_int(json, "since", clock_wall_ms() - since_us / US_PER_MS);
    if (link->latency_us > 0)
        json_put_ms(json, "latency", (double)link->latency_us / US_PER_MS);
    else
        json_put_null(json, "latency");
    json_put_text_or_null(json, "lastError", worker_last_error(worker));
    if (admin) /* it names hosts, users and files of keys */
        json_put_text_or_null(json, "lastLine", link->last_line);
    json_close(json, '}');
}

static void put_load(struct json_writer *json, const struct worker_figures *figures)
{
    json_put_open(json, "load", '[');
    for (size_t i = 0; i < 3; i++)
        json_put_ms(json, NULL, figures->load[i]);
    json_close(json, ']');
}

static void put_worker(struct json_writer *json, const struct worker *worker, bool admin)
{
    char environment[120];
    const struct worker_figures *figures = worker_get_figures(worker);
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
    put_link(json, worker, admin);
    put_load(json, figures);
    json_close(json, '}');
}

void worker_json_put_worker(struct json_writer *json, const struct worker *worker)
{
    put_worker(json, worker, false);
}

void worker_json_put_oven(struct json_writer *json, const struct worker *worker)
{
    const struct worker_figures *figures = worker_get_figures(worker);
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

void worker_json_put_template(struct json_writer *json, const struct worker_oven *oven)
{
    json_put_text(json, "template", oven->name);
    json_put_text(json, "made", oven->made);
    json_put_int(json, "bytes", oven->bytes);
    json_put_text(json, "status", oven->status);
    json_put_text(json, "message", oven->message);
    json_put_int(json, "cooking", oven->cooking);
    json_put_int(json, "count", oven->count);
    json_put_int(json, "available", oven->available);
    json_put_int(json, "inUse", oven->in_use);
    json_put_int(json, "freeing", oven->freeing);
    json_put_int(json, "waiting", oven->waiting);
    json_put_int(json, "target", oven->target);
    json_put_int(json, "minAvailable", oven->min_available);
    json_put_int(json, "memTarget", oven->mem_target);
    json_put_int(json, "maxRunners", oven->max_runners);
    json_put_bool(json, "paused", oven->paused);
    json_put_bool(json, "draining", oven->draining);
    json_put_ms(json, "cookMs", oven->cook_ms);
}

static void put_ovens(struct json_writer *json, const struct worker_figures *figures)
{
    json_put_open(json, "ovens", '[');
    for (size_t i = 0; i < figures->ovens_len; i++) {
        json_open(json, '{');
        worker_json_put_template(json, &figures->ovens[i]);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void worker_json_put_memory(struct json_writer *json, const struct worker *worker)
{
    const struct worker_figures *figures = worker_get_figures(worker);
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

void worker_json_put_df(struct json_writer *json, const struct worker *worker)
{
    const struct worker_figures *figures = worker_get_figures(worker);
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

static const char *status_of(const struct worker_view *view)
{
    if (view->leaving)
        return "leaving";
    if (worker_draining(view->worker))
        return "draining";
    return worker_health(view->worker)->failing ? "failing" : "active";
}

static void put_runners(struct json_writer *json, const struct worker *worker)
{
    const struct registry *runners = worker_runners(worker);
    const struct registry_counts *counts = registry_get_counts(runners);
    json_put_open(json, "runners", '{');
    json_put_int(json, "total", (int64_t)registry_count(runners));
    json_put_int(json, "available", (int64_t)counts->available);
    json_put_int(json, "inUse", (int64_t)counts->in_use);
    json_put_int(json, "kept", (int64_t)counts->kept);
    json_close(json, '}');
}

static void put_spec(struct json_writer *json, const struct worker_spec *spec)
{
    char target[WORKER_TARGET_MAX];
    json_put_open(json, "spec", '{');
    worker_spec_target(spec, target);
    if (spec->host[0])
        json_put_text(json, "ssh", target);
    if (spec->identity[0])
        json_put_text(json, "identity", spec->identity);
    if (spec->jump[0])
        json_put_text(json, "jump", spec->jump);
    if (spec->host_key[0])
        json_put_text(json, "hostKey", spec->host_key);
    json_put_text(json, "socket", spec->socket);
    json_close(json, '}');
}

/* While its host is looked at or installed. */
static void put_provision(struct json_writer *json, const struct provision *at)
{
    if (!at || at->state != PROVISION_RUNNING) {
        json_put_null(json, "provision");
        return;
    }
    json_put_open(json, "provision", '{');
    json_put_bool(json, "install", at->install);
    json_put_text(json, "step", at->step);
    if (at->percent >= 0)
        json_put_int(json, "percent", at->percent);
    else
        json_put_null(json, "percent");
    json_close(json, '}');
}

void worker_json_put_view(struct json_writer *json, const struct worker_view *view)
{
    static const char *const sources[] = {
        [WORKERS_DEFAULT] = "default", [WORKERS_CONFIG] = "config", [WORKERS_API] = "api"};
    const struct worker *worker = view->worker;
    const struct health *health = worker_health(worker);
    json_open(json, '{');
    json_put_text(json, "name", worker_name(worker));
    json_put_text(json, "status", status_of(view));
    json_put_text_or_null(json, "why", health->failing ? health->why : "");
    json_put_text(json, "location", link_location(worker_link(worker)));
    put_link(json, worker, view->admin);
    json_put_int(json, "operations", worker_get_load(worker)->operations);
    json_put_int(json, "failures", (int64_t)health->total);
    json_put_text_or_null(json, "lastFailure", health->why);
    put_runners(json, worker);
    if (worker_get_figures(worker)) {
        put_worker(json, worker, view->admin);
        worker_json_put_oven(json, worker);
        put_ovens(json, worker_get_figures(worker));
        worker_json_put_memory(json, worker);
        worker_json_put_df(json, worker);
    } else { /* it has never been reached */
        json_put_null(json, "worker");
    }
    if (view->spec) {
        json_put_text(json, "source", sources[view->source]);
        put_spec(json, view->spec);
    }
    if (view->admin)
        put_provision(json, view->provision);
    json_close(json, '}');
}

void worker_json_put_provision(struct json_writer *json, const struct provision *at)
{
    json_open(json, '{');
    json_put_text(json, "name", at->spec.name);
    json_put_text(json, "status", "provisioning");
    put_spec(json, &at->spec);
    put_provision(json, at);
    json_close(json, '}');
}
