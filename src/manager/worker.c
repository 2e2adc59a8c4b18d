#include "worker.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/timer.h"

#include <string.h>

/* How it works. There is one WATCH connection, or a timer that runs until the next is tried. The
 * same timer, while the WATCH is open, ends one that has gone silent. A WATCH that is lost counts
 * as one failure, however many operations go down with it: they count none of their own then.
 */
struct worker {
    char name[NAME_MAX_LEN + 1];
    struct link *link;
    struct link_conn *watch;
    uv_timer_t *timer;
    unsigned backoff_ms;
    bool up, has_figures;
    mono_us since, asked; /* asked: when the WATCH was begun */
    double latency_ms;
    char last_error[ERR_MSG_SIZE];
    struct worker_figures figures;
    json_t *templates; /* of the last SNAPSHOT, checked */
    struct registry *runners;
    struct listeners listeners;
    struct worker_load load;
    struct health health;
    enum link_fit fit;           /* as the listeners were told */
    enum worker_upgrade upgrade; /* while it is outdated */
    char upgrade_why[ERR_MSG_SIZE];
    bool draining, evicting, removed;
};

static void start_watch(struct worker *worker);

static void set_up(struct worker *worker, bool up)
{
    if (worker->up == up)
        return;
    worker->up = up;
    worker->since = clock_now(&clock_system);
    if (up)
        log_info("worker up", LOG_S("worker", worker->name));
    else
        log_warn("worker down", LOG_S("worker", worker->name), LOG_S("error", worker->last_error));
    listeners_tell(&worker->listeners);
}

/* After a hello, and once it is known whether the worker is up. */
static void note_fit(struct worker *worker)
{
    enum link_fit fit = link_get_status(worker->link)->fit;
    if (worker->fit == fit)
        return;
    worker->fit = fit;
    worker->upgrade = WORKER_UPGRADE_NONE;
    worker->upgrade_why[0] = '\0';
    if (fit != LINK_FITS)
        log_warn("worker of another version: not used", LOG_S("worker", worker->name),
                 LOG_S("program", link_get_status(worker->link)->program));
    listeners_tell(&worker->listeners);
}

static bool count_failure(struct worker *worker, const struct err *why)
{
    if (!health_failed(&worker->health, why, clock_wall_ms()))
        return false;
    log_warn("worker fails again and again: not used until a probe goes well",
             LOG_S("worker", worker->name), LOG_ERR(why));
    return true;
}

static void on_retry(uv_timer_t *timer)
{
    start_watch(timer->data);
}

static void watch_failed(struct worker *worker, const struct err *why)
{
    link_conn_destroy(worker->watch);
    worker->watch = NULL;
    memcpy(worker->last_error, why->msg, sizeof(worker->last_error));
    uv_timer_start(worker->timer, on_retry, worker->backoff_ms, 0);
    worker->backoff_ms *= 2;
    if (worker->backoff_ms > WORKER_BACKOFF_MAX_MS)
        worker->backoff_ms = WORKER_BACKOFF_MAX_MS;
    if (worker->up)
        count_failure(worker, why);
    set_up(worker, false);
    note_fit(worker);
}

static void on_silence(uv_timer_t *timer)
{
    struct err err;
    err_set(&err, ERR_BAD_GATEWAY, "the worker has said nothing for %d s",
            WORKER_SILENCE_MS / 1000);
    watch_failed(timer->data, &err);
}

static int put_runners(struct worker *worker, const json_t *records, struct err *err)
{
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)records, i, record)
    {
        struct runner_info info;
        if (registry_parse(record, &info, err) != 0)
            return err_context(err, "runners");
        registry_put(worker->runners, &info);
    }
    return 0;
}

static int on_snapshot(struct worker *worker, const json_t *json, struct err *err)
{
    struct worker_figures figures;
    json_t *runners;
    if (worker_parse_figures(json, &figures, &runners, err) != 0)
        return -1;
    if (worker->up) {
        registry_drop_doubtful(worker->runners);
    } else { /* the first of a WATCH; until the second all runners that there are have been told */
        registry_doubt(worker->runners);
        worker->latency_ms = (double)(clock_now(&clock_system) - worker->asked) / US_PER_MS;
    }
    if (put_runners(worker, runners, err) != 0)
        return -1;
    worker->figures = figures;
    worker->has_figures = true;
    json_decref(worker->templates);
    worker->templates = json_incref(json_object_get(json, "templates"));
    worker->backoff_ms = WORKER_BACKOFF_MIN_MS;
    note_fit(worker);
    set_up(worker, true);
    return 0;
}

static int on_changes(struct worker *worker, const json_t *json, struct err *err)
{
    static const char *const keys[] = {"runners", "gone", NULL};
    json_t *runners = NULL, *gone = NULL;
    if (json_only_keys(json, keys, err) != 0 ||
        json_get_array(json, "runners", false, &runners, err) != 0 ||
        json_get_array(json, "gone", false, &gone, err) != 0 ||
        put_runners(worker, runners, err) != 0)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(gone, i, name)
    {
        if (!json_is_string(name))
            return err_set(err, ERR_BAD_REQUEST, "gone: must hold names");
        registry_remove(worker->runners, json_string_value(name));
    }
    return 0;
}

static int handle_frame(struct worker *worker, const struct frame *frame, struct err *err)
{
    cleanup_json json_t *json = json_parse_object(frame->payload, frame->len, false, err);
    if (!json)
        return -1;
    switch (frame->type) {
    case FRAME_SNAPSHOT:
        return on_snapshot(worker, json, err);
    case FRAME_CHANGES:
        if (!worker->up)
            return err_set(err, ERR_BAD_GATEWAY, "came before the first SNAPSHOT");
        return on_changes(worker, json, err);
    case FRAME_LINK_ERROR: {
        const char *message = "no reason given";
        json_get_string(json, "message", false, &message, NULL, err);
        return err_set(err, ERR_BAD_GATEWAY, "%.150s", message);
    }
    default:
        return err_set(err, ERR_BAD_GATEWAY, "is no answer to WATCH");
    }
}

static void on_watch_frame(struct link_conn *conn, const struct frame *frame, void *data)
{
    (void)conn;
    struct worker *worker = data;
    uv_timer_start(worker->timer, on_silence, WORKER_SILENCE_MS, 0);
    struct err err;
    if (handle_frame(worker, frame, &err) != 0) {
        err_context(&err, "%s of the worker", frame_name(frame->type));
        watch_failed(worker, &err);
    }
}

static void on_watch_closed(struct link_conn *conn, const struct err *why, void *data)
{
    (void)conn;
    struct err err = *why;
    if (err.code == ERR_NONE)
        err_set(&err, ERR_BAD_GATEWAY, "the worker closed the connection");
    watch_failed(data, &err);
}

static const struct link_conn_ops watch_ops = {
    .on_frame = on_watch_frame,
    .on_closed = on_watch_closed,
};

static void start_watch(struct worker *worker)
{
    struct err err;
    worker->watch = link_open(worker->link, &watch_ops, worker, &err);
    if (!worker->watch) {
        watch_failed(worker, &err);
        return;
    }
    worker->asked = clock_now(&clock_system);
    uv_timer_start(worker->timer, on_silence, WORKER_SILENCE_MS, 0);
    link_conn_send(worker->watch, FRAME_WATCH, "{}", 2);
}

struct worker *worker_create(uv_loop_t *loop, const char *name, struct link *take_link)
{
    struct worker *worker = mem_new(struct worker);
    strncpy(worker->name, name, sizeof(worker->name) - 1);
    worker->link = take_link;
    worker->runners = registry_create();
    worker->backoff_ms = WORKER_BACKOFF_MIN_MS;
    worker->latency_ms = -1;
    worker->since = clock_now(&clock_system);
    worker->timer = loop_timer_create(loop, worker);
    uv_timer_start(worker->timer, on_retry, 0, 0);
    return worker;
}

void worker_join(struct worker *worker, struct names *names)
{
    registry_join(worker->runners, names, worker);
}

void worker_destroy(struct worker *worker)
{
    if (!worker)
        return;
    link_conn_destroy(worker->watch);
    loop_timer_destroy(worker->timer);
    link_destroy(worker->link);
    registry_destroy(worker->runners);
    json_decref(worker->templates);
    free(worker);
}

const char *worker_name(const struct worker *worker)
{
    return worker->name;
}

struct link *worker_link(const struct worker *worker)
{
    return worker->link;
}

bool worker_up(const struct worker *worker)
{
    return worker->up;
}

int64_t worker_since_us(const struct worker *worker)
{
    return worker->since;
}

double worker_latency_ms(const struct worker *worker)
{
    return worker->latency_ms;
}

const char *worker_last_error(const struct worker *worker)
{
    return worker->upgrade_why[0] ? worker->upgrade_why : worker->last_error;
}

bool worker_outdated(const struct worker *worker)
{
    return worker->fit == LINK_OLDER;
}

bool worker_too_new(const struct worker *worker)
{
    return worker->fit == LINK_NEWER;
}

void worker_set_upgrade(struct worker *worker, enum worker_upgrade upgrade, const char *why)
{
    if (!worker_outdated(worker))
        return;
    worker->upgrade = upgrade;
    str_format(worker->upgrade_why, sizeof(worker->upgrade_why), "%s", why);
}

enum worker_upgrade worker_get_upgrade(const struct worker *worker)
{
    return worker->upgrade;
}

const struct worker_figures *worker_get_figures(const struct worker *worker)
{
    return worker->has_figures ? &worker->figures : NULL;
}

const json_t *worker_languages(const struct worker *worker, size_t index)
{
    return json_object_get(json_array_get(worker->templates, index), "languages");
}

const struct registry *worker_runners(const struct worker *worker)
{
    return worker->runners;
}

static void note_kept(struct worker *worker, const char *name, const char *owner, bool doubtful)
{
    const struct runner_info *known = registry_find(worker->runners, name);
    if (known && known->kept && (doubtful || !known->doubtful))
        return;
    struct runner_info info = {.kept = true, .since_ms = clock_wall_ms(), .doubtful = doubtful};
    strncpy(info.name, name, sizeof(info.name) - 1);
    strncpy(info.owner, owner, sizeof(info.owner) - 1);
    strcpy(info.state, "inUse");
    if (worker->has_figures)
        strcpy(info.template_name, worker->figures.oven.template_name);
    registry_put(worker->runners, &info);
}

void worker_note_kept(struct worker *worker, const char *name, const char *owner)
{
    note_kept(worker, name, owner, false);
}

void worker_note_perhaps_kept(struct worker *worker, const char *name, const char *owner)
{
    note_kept(worker, name, owner, true);
}

void worker_note_gone(struct worker *worker, const char *name)
{
    registry_remove(worker->runners, name);
}

void worker_note_used(struct worker *worker, const char *name)
{
    const struct runner_info *known = registry_find(worker->runners, name);
    if (!known || strcmp(known->state, "available") != 0)
        return;
    struct runner_info info = *known;
    strcpy(info.state, "inUse");
    info.since_ms = clock_wall_ms();
    registry_put(worker->runners, &info);
}

void worker_listen(struct worker *worker, struct listener *listener)
{
    listeners_add(&worker->listeners, listener);
}

void worker_unlisten(struct worker *worker, struct listener *listener)
{
    listeners_remove(&worker->listeners, listener);
}

const struct worker_load *worker_get_load(const struct worker *worker)
{
    return &worker->load;
}

void worker_begin(struct worker *worker, bool pending)
{
    worker->load.operations++;
    worker->load.pending += pending;
}

void worker_placed(struct worker *worker)
{
    worker->load.pending--;
}

void worker_end(struct worker *worker, bool pending)
{
    worker->load.pending -= pending;
    if (--worker->load.operations == 0 && worker->draining)
        listeners_tell(&worker->listeners);
}

bool worker_has_template(const struct worker *worker, const char *template_name)
{
    return worker_oven(worker, template_name) != NULL;
}

/* Whether its oven makes runners, as far as the last SNAPSHOT tells. Idle runners of other
 * templates give way.
 */
static bool can_cook(const struct worker_figures *figures, const struct worker_oven *oven)
{
    if (!oven)
        return false;
    int64_t others = 0;
    for (size_t i = 0; i < figures->ovens_len; i++)
        if (&figures->ovens[i] != oven)
            others += figures->ovens[i].available;
    return figures->oven.count - others < figures->oven.max_runners &&
           oven->count < oven->max_runners && !oven->paused && !oven->draining &&
           strcmp(oven->status, "backingOff") != 0 && strcmp(oven->status, "memory") != 0;
}

void worker_describe(const struct worker *worker, const char *template_name,
                     struct placement_worker *known)
{
    const struct worker_figures *figures = &worker->figures;
    *known = (struct placement_worker){
        .up = worker->up,
        .draining = worker->draining || worker->removed,
        .failing = worker->health.failing,
        .has_template = worker_has_template(worker, template_name),
        .can_cook = can_cook(figures, worker_oven(worker, template_name)),
        .warm = (int64_t)registry_available(worker->runners, template_name),
        .pending = worker->load.pending,
        .memory_bytes = figures->memory.available,
    };
}

void worker_set_draining(struct worker *worker, bool draining)
{
    if (worker->draining == draining)
        return;
    worker->draining = draining;
    log_info(draining ? "worker drains" : "worker resumes", LOG_S("worker", worker->name));
    listeners_tell(&worker->listeners);
}

bool worker_draining(const struct worker *worker)
{
    return worker->draining;
}

void worker_evict(struct worker *worker)
{
    worker->evicting = true;
    listeners_tell(&worker->listeners);
}

bool worker_evicting(const struct worker *worker)
{
    return worker->evicting;
}

void worker_remove(struct worker *worker)
{
    worker->removed = true;
    listeners_tell(&worker->listeners);
}

bool worker_removed(const struct worker *worker)
{
    return worker->removed;
}

void worker_failed(struct worker *worker, const struct err *why)
{
    if (worker->up && count_failure(worker, why)) /* one that is down has been counted */
        listeners_tell(&worker->listeners);
}

void worker_went_well(struct worker *worker)
{
    health_went_well(&worker->health);
}

void worker_probed(struct worker *worker, const struct err *why)
{
    if (why) {
        health_probe_failed(&worker->health, why);
        return;
    }
    health_probed_well(&worker->health, clock_wall_ms());
    log_info("worker probed and taken back", LOG_S("worker", worker->name));
    listeners_tell(&worker->listeners);
}

const struct health *worker_health(const struct worker *worker)
{
    return &worker->health;
}
