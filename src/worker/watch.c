#include "watch.h"

#include "answer.h"
#include "hostinfo.h"
#include "oven_json.h"

#include "../common/mem.h"
#include "../common/str.h"

#include <string.h>

/* How it works. Every watcher has the names of the runners that changed for it in `changed` or
 * `gone`; their records are made when they are sent, so that a runner that changes five times in
 * 20 ms costs one. A watcher hears of its manager's runners and of those that are nobody's, and of
 * no other: neither in a record nor among those gone, where the name could be one of its own.
 */

#define WATCHERS_MAX 64

/* Records and names in one frame; more go in the next. A record has less than 1.2 KiB, even when
 * every byte of its owner's name must be escaped.
 */
#define CHANGES_MAX 800

struct watcher {
    struct watch *watch;
    struct chan *chan;
    char manager[MANAGER_ID_LEN + 1];
    json_t *changed, *gone; /* names, as keys */
};

struct watch {
    const struct services *services;
    json_t *description;
    struct watcher *watchers[WATCHERS_MAX];
    unsigned watchers_len;
    uv_timer_t delay, tick;
    int open_handles;
};

static json_t *describe_history(const struct runner *runner)
{
    json_t *history = json_array();
    for (unsigned i = 0; i < runner->history_len; i++)
        json_array_append_new(history,
                              json_pack("[s, I]", runner_state_name(runner->history[i].state),
                                        (json_int_t)runner->history[i].wall_ms));
    return history;
}

static json_t *describe_runner(const struct runner *runner)
{
    const struct engine *engine = roster_engine(runner->roster);
    pid_t pid = runner->handle ? engine->ops->init_pid(runner->handle) : 0;
    return json_pack(
        "{s:s, s:s, s:s, s:s?, s:b, s:I, s:I, s:I, s:I, s:s?, s:I, s:o}", "name", runner->name,
        "state", runner_state_name(runner->state), "template", runner->template_name, "owner",
        runner->kept ? runner->owner : NULL, "kept", runner->kept, "pid", (json_int_t)pid, "memory",
        (json_int_t)runner->memory_bytes, "since", (json_int_t)runner->since_wall_ms, "startedAt",
        (json_int_t)runner->started_wall_ms, "lastStatus", runner->last_status, "runs",
        (json_int_t)runner->operations, "history", describe_history(runner));
}

static json_t *describe_all(const struct watch *watch)
{
    json_t *snapshot = json_object();
    json_object_set(snapshot, "worker", watch->description);
    hostinfo_describe(snapshot, watch->services->config->paths_state_dir);
    json_object_set_new(snapshot, "oven", oven_json_default(watch->services));
    json_object_set_new(snapshot, "templates", oven_json_list(watch->services));
    return snapshot;
}

static void sample_memory(struct runner *runner, void *data)
{
    struct engine *engine = roster_engine(runner->roster);
    struct engine_stats stats;
    struct err err;
    if (runner->state != RUNNER_IN_USE || !runner->handle ||
        engine->ops->stats(engine, runner->handle, &stats, &err) != 0)
        return;
    if (stats.memory_bytes != runner->memory_bytes) {
        runner->memory_bytes = stats.memory_bytes;
        watch_touch(data, runner);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct watch *watch = timer->data;
    if (watch->watchers_len == 0)
        return;
    roster_each(watch->services->roster, sample_memory, watch);
    cleanup_free char *text = answer_text(describe_all(watch));
    for (unsigned i = 0; i < watch->watchers_len; i++)
        chan_send(watch->watchers[i]->chan, FRAME_SNAPSHOT, text, strlen(text));
}

static json_t *take_gone(struct watcher *watcher)
{
    json_t *names = json_array();
    void *at;
    while (json_array_size(names) < CHANGES_MAX && (at = json_object_iter(watcher->gone))) {
        json_array_append_new(names, json_string(json_object_iter_key(at)));
        json_object_del(watcher->gone, json_object_iter_key(at));
    }
    return names;
}

static json_t *take_changed(struct watcher *watcher)
{
    const struct roster *roster = watcher->watch->services->roster;
    json_t *records = json_array();
    void *at;
    while (json_array_size(records) < CHANGES_MAX && (at = json_object_iter(watcher->changed))) {
        const struct runner *runner =
            roster_find(roster, watcher->manager, json_object_iter_key(at));
        if (runner)
            json_array_append_new(records, describe_runner(runner));
        json_object_del(watcher->changed, json_object_iter_key(at));
    }
    return records;
}

static void flush(struct watcher *watcher)
{
    while (json_object_size(watcher->changed) > 0 || json_object_size(watcher->gone) > 0) {
        json_t *records = take_changed(watcher);
        answer_send(watcher->chan, FRAME_CHANGES,
                    json_pack("{s:o, s:o}", "runners", records, "gone", take_gone(watcher)));
    }
}

void watch_flush(struct watch *watch)
{
    for (unsigned i = 0; i < watch->watchers_len; i++)
        flush(watch->watchers[i]);
    uv_timer_stop(&watch->delay);
}

static void on_delay(uv_timer_t *timer)
{
    watch_flush(timer->data);
}

static void flush_soon(struct watch *watch)
{
    if (watch->watchers_len > 0 && !uv_is_active((uv_handle_t *)&watch->delay))
        uv_timer_start(&watch->delay, on_delay, WATCH_DELAY_MS, 0);
}

static void note_changed(struct watcher *watcher, const struct runner *runner)
{
    json_object_set_new(watcher->changed, runner->name, json_true());
    json_object_del(watcher->gone, runner->name);
}

static void note_gone(struct watcher *watcher, const char *name)
{
    json_object_del(watcher->changed, name);
    json_object_set_new(watcher->gone, name, json_true());
}

void watch_touch(struct watch *watch, const struct runner *runner)
{
    for (unsigned i = 0; i < watch->watchers_len; i++)
        if (runner_seen_by(runner, watch->watchers[i]->manager))
            note_changed(watch->watchers[i], runner);
    flush_soon(watch);
}

void watch_renamed(struct watch *watch, const struct runner *runner, const char *earlier)
{
    for (unsigned i = 0; i < watch->watchers_len; i++)
        if (runner_seen_by(runner, watch->watchers[i]->manager))
            note_gone(watch->watchers[i], earlier);
    flush_soon(watch);
}

void watch_given(struct watch *watch, const struct runner *runner)
{
    for (unsigned i = 0; i < watch->watchers_len; i++)
        if (!runner_seen_by(runner, watch->watchers[i]->manager))
            note_gone(watch->watchers[i], runner->name);
    flush_soon(watch);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    (void)from;
    if (runner->state == RUNNER_GONE)
        watch_renamed(data, runner, runner->name);
    else
        watch_touch(data, runner);
}

static void watcher_free(struct watcher *watcher)
{
    chan_destroy(watcher->chan, false);
    json_decref(watcher->changed);
    json_decref(watcher->gone);
    free(watcher);
}

static void on_watcher_closed(struct chan *chan, const struct err *why, void *data)
{
    struct watcher *watcher = data;
    struct watch *watch = watcher->watch;
    (void)chan, (void)why;
    for (unsigned i = 0; i < watch->watchers_len; i++) {
        if (watch->watchers[i] != watcher)
            continue;
        watch->watchers[i] = watch->watchers[--watch->watchers_len];
        break;
    }
    watcher_free(watcher);
}

/* A manager that watches has nothing more to say. */
static void on_watcher_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)frame;
    on_watcher_closed(chan, NULL, data);
}

static const struct chan_ops watcher_ops = {
    .on_frame = on_watcher_frame,
    .on_closed = on_watcher_closed,
};

static void add_runner(struct runner *runner, void *data)
{
    struct watcher *watcher = data;
    if (runner_seen_by(runner, watcher->manager))
        note_changed(watcher, runner);
}

/* A snapshot that begins anew, then every runner as if it had just changed, and another snapshot:
 * that was all.
 */
static void greet(struct watch *watch, struct watcher *watcher)
{
    json_t *snapshot = describe_all(watch);
    json_t *end = json_copy(snapshot);
    json_object_set_new(snapshot, "runners", json_array());
    answer_send(watcher->chan, FRAME_SNAPSHOT, snapshot);
    roster_each(watch->services->roster, add_runner, watcher);
    flush(watcher);
    answer_send(watcher->chan, FRAME_SNAPSHOT, end);
}

void watch_add(struct watch *watch, const char *manager, struct chan *take_chan)
{
    struct err err;
    if (watch->watchers_len == WATCHERS_MAX) {
        err_set(&err, ERR_NOT_AVAILABLE, "%d managers watch this worker already", WATCHERS_MAX);
        answer_error(take_chan, &err, NULL, 1000);
        return;
    }
    struct watcher *watcher = mem_new(struct watcher);
    watcher->watch = watch;
    watcher->chan = take_chan;
    str_format(watcher->manager, sizeof(watcher->manager), "%s", manager);
    watcher->changed = json_object();
    watcher->gone = json_object();
    watch->watchers[watch->watchers_len++] = watcher;
    chan_set_ops(take_chan, &watcher_ops, watcher);
    greet(watch, watcher);
}

struct watch *watch_create(const struct services *services, json_t *take_description)
{
    struct watch *watch = mem_new(struct watch);
    watch->services = services;
    watch->description = take_description;
    uv_timer_init(services->loop, &watch->delay);
    uv_timer_init(services->loop, &watch->tick);
    watch->delay.data = watch;
    watch->tick.data = watch;
    watch->open_handles = 2;
    uv_timer_start(&watch->tick, on_tick, WATCH_SNAPSHOT_MS, WATCH_SNAPSHOT_MS);
    roster_observe(services->roster, on_change, watch);
    return watch;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    if (--watch->open_handles > 0)
        return;
    json_decref(watch->description);
    free(watch);
}

void watch_destroy(struct watch *watch)
{
    if (!watch)
        return;
    roster_unobserve(watch->services->roster, on_change, watch);
    while (watch->watchers_len > 0)
        watcher_free(watch->watchers[--watch->watchers_len]);
    uv_close((uv_handle_t *)&watch->delay, on_handle_closed);
    uv_close((uv_handle_t *)&watch->tick, on_handle_closed);
}
