#include "worker.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"

#include <string.h>

/* How it works. There is one WATCH connection, or a timer that runs until the next is tried. The
 * same timer, while the WATCH is open, ends one that has gone silent. Up and down are told to the
 * listeners when they change, from the loop, never inside a call of theirs.
 */
struct worker {
    char name[NAME_MAX_LEN + 1];
    struct link *link;
    struct link_conn *watch;
    uv_timer_t *timer; /* frees itself when it is closed */
    unsigned backoff_ms;
    bool up, has_figures;
    mono_us since;
    char last_error[240];
    struct worker_figures figures;
    struct registry *runners;
    struct worker_listener *listeners;
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
    struct worker_listener *next;
    for (struct worker_listener *listener = worker->listeners; listener; listener = next) {
        next = listener->next;
        listener->changed(listener);
    }
}

static void on_retry(uv_timer_t *timer)
{
    start_watch(timer->data);
}

static void watch_failed(struct worker *worker, const struct err *why)
{
    link_conn_destroy(worker->watch);
    worker->watch = NULL;
    memcpy(worker->last_error, why->msg, sizeof(why->msg));
    uv_timer_start(worker->timer, on_retry, worker->backoff_ms, 0);
    worker->backoff_ms *= 2;
    if (worker->backoff_ms > WORKER_BACKOFF_MAX_MS)
        worker->backoff_ms = WORKER_BACKOFF_MAX_MS;
    set_up(worker, false);
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
    if (!worker->up)
        registry_clear(worker->runners); /* the first of a WATCH resets all */
    if (put_runners(worker, runners, err) != 0)
        return -1;
    worker->figures = figures;
    worker->has_figures = true;
    worker->backoff_ms = WORKER_BACKOFF_MIN_MS;
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
    worker->since = clock_now(&clock_system);
    worker->timer = mem_new(uv_timer_t);
    uv_timer_init(loop, worker->timer);
    worker->timer->data = worker;
    uv_timer_start(worker->timer, on_retry, 0, 0);
    return worker;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void worker_destroy(struct worker *worker)
{
    if (!worker)
        return;
    link_conn_destroy(worker->watch);
    uv_close((uv_handle_t *)worker->timer, free_handle);
    link_destroy(worker->link);
    registry_destroy(worker->runners);
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

const char *worker_last_error(const struct worker *worker)
{
    return worker->last_error;
}

const struct worker_figures *worker_get_figures(const struct worker *worker)
{
    return worker->has_figures ? &worker->figures : NULL;
}

const struct registry *worker_runners(const struct worker *worker)
{
    return worker->runners;
}

void worker_note_kept(struct worker *worker, const char *name, const char *owner)
{
    const struct runner_info *known = registry_find(worker->runners, name);
    if (known && known->kept)
        return;
    struct runner_info info = {.kept = true, .since_ms = clock_wall_ms()};
    strncpy(info.name, name, sizeof(info.name) - 1);
    strncpy(info.owner, owner, sizeof(info.owner) - 1);
    strcpy(info.state, "inUse");
    if (worker->has_figures)
        strcpy(info.template_name, worker->figures.oven.template_name);
    registry_put(worker->runners, &info);
}

void worker_note_gone(struct worker *worker, const char *name)
{
    registry_remove(worker->runners, name);
}

void worker_listen(struct worker *worker, struct worker_listener *listener)
{
    listener->prev = NULL;
    listener->next = worker->listeners;
    if (listener->next)
        listener->next->prev = listener;
    worker->listeners = listener;
}

void worker_unlisten(struct worker *worker, struct worker_listener *listener)
{
    *(listener->prev ? &listener->prev->next : &worker->listeners) = listener->next;
    if (listener->next)
        listener->next->prev = listener->prev;
}
