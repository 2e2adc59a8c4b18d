#include "workers.h"

#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/timer.h"

#include <string.h>

/* How it works. What is asked for is a task: it is checked, written to the store, and then done to
 * the fleet. A task answers from the loop, also when its check failed.
 */
enum task_kind { TASK_ADD, TASK_REMOVE, TASK_DRAIN, TASK_RESUME };

struct task {
    struct workers *workers;
    enum task_kind kind;
    struct worker_spec spec; /* of TASK_ADD; else its name alone counts */
    struct link *link;       /* of TASK_ADD, until the worker has it */
    int64_t wait_ms;
    workers_done_cb done; /* NULL: nobody listens any more */
    void *data;
    uv_timer_t *timer; /* for an answer that must wait for the loop */
    struct err err;
    struct task *prev, *next;
};

struct entry {
    struct worker_spec spec;
    enum workers_source source;
};

struct workers {
    uv_loop_t *loop;
    struct fleet *fleet;
    struct store *store;
    workers_link_cb make_link;
    void *data;
    struct entry **entries;
    size_t count;
    struct task *tasks;
    struct err load_err; /* of workers_load */
};

struct workers *workers_create(uv_loop_t *loop, struct fleet *fleet, struct store *store,
                               workers_link_cb make_link, void *data)
{
    struct workers *workers = mem_new(struct workers);
    workers->loop = loop;
    workers->fleet = fleet;
    workers->store = store;
    workers->make_link = make_link;
    workers->data = data;
    return workers;
}

static void task_free(struct task *task)
{
    *(task->prev ? &task->prev->next : &task->workers->tasks) = task->next;
    if (task->next)
        task->next->prev = task->prev;
    link_destroy(task->link);
    loop_timer_destroy(task->timer);
    free(task);
}

void workers_destroy(struct workers *workers)
{
    if (!workers)
        return;
    while (workers->tasks)
        task_free(workers->tasks);
    for (size_t i = 0; i < workers->count; i++)
        free(workers->entries[i]);
    free(workers->entries);
    free(workers);
}

static struct entry **find(const struct workers *workers, const char *name)
{
    for (size_t i = 0; i < workers->count; i++)
        if (strcmp(workers->entries[i]->spec.name, name) == 0)
            return &workers->entries[i];
    return NULL;
}

const struct worker_spec *workers_spec(const struct workers *workers, const char *name,
                                       enum workers_source *source)
{
    struct entry **entry = find(workers, name);
    if (!entry)
        return NULL;
    *source = (*entry)->source;
    return &(*entry)->spec;
}

/* Takes link. */
static void enter(struct workers *workers, const struct worker_spec *spec,
                  enum workers_source source, struct link *take_link)
{
    workers->entries =
        mem_realloc(workers->entries, (workers->count + 1) * sizeof(*workers->entries));
    struct entry *entry = workers->entries[workers->count++] = mem_new(struct entry);
    entry->spec = *spec;
    entry->source = source;
    fleet_add(workers->fleet, worker_create(workers->loop, spec->name, take_link));
}

static void strike(struct workers *workers, const char *name)
{
    struct entry **entry = find(workers, name);
    if (!entry)
        return;
    free(*entry);
    workers->count--;
    memmove(entry, entry + 1, (size_t)(workers->entries + workers->count - entry) * sizeof(*entry));
}

/* ---- at the start ---- */

static int load(struct workers *workers, const struct worker_spec *spec, enum workers_source source,
                struct err *err)
{
    if (find(workers, spec->name))
        return err_set(err, ERR_NAME_TAKEN, "there is a worker \"%s\" already", spec->name);
    struct link *link = workers->make_link(workers->loop, spec, workers->data, err);
    if (!link)
        return err_context(err, "worker \"%s\"", spec->name);
    enter(workers, spec, source, link);
    return 0;
}

static int load_stored(struct workers *workers, const struct store_worker *stored, struct err *err)
{
    struct worker_spec spec;
    cleanup_json json_t *json = json_parse_object(stored->spec, strlen(stored->spec), false, err);
    if (!json || worker_spec_parse(json, NULL, &spec, err) != 0)
        return -1;
    return load(workers, &spec, WORKERS_API, err);
}

static void on_stored(const struct store_worker *stored, size_t count, const struct err *err,
                      void *data)
{
    struct workers *workers = data;
    if (err) {
        workers->load_err = *err;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct err why;
        if (stored[i].spec[0] && load_stored(workers, &stored[i], &why) != 0)
            log_error("a worker of the store is left out", LOG_S("worker", stored[i].name),
                      LOG_ERR(&why));
        struct worker *worker = fleet_worker(workers->fleet, stored[i].name);
        if (worker && stored[i].draining)
            worker_set_draining(worker, true);
    }
}

int workers_load(struct workers *workers, const struct worker_specs *configured,
                 const struct worker_spec *local, struct err *err)
{
    for (size_t i = 0; i < configured->count; i++)
        if (load(workers, &configured->items[i], WORKERS_CONFIG, err) != 0)
            return -1;
    if (configured->count == 0 && load(workers, local, WORKERS_DEFAULT, err) != 0)
        return -1;
    store_list_workers(workers->store, on_stored, workers);
    store_wait(workers->store);
    if (workers->load_err.code == ERR_NONE)
        return 0;
    *err = workers->load_err;
    return -1;
}

/* ---- tasks ---- */

static void answer(struct task *task, const struct err *err)
{
    workers_done_cb done = task->done;
    void *data = task->data;
    struct err copy;
    if (err)
        copy = *err;
    task_free(task);
    if (done)
        done(err ? &copy : NULL, data);
}

static void on_refused(uv_timer_t *timer)
{
    struct task *task = timer->data;
    answer(task, &task->err);
}

/* Its err says why; the caller of the verb is still on the stack. */
static void refuse(struct task *task)
{
    uv_timer_start(task->timer, on_refused, 0, 0);
}

static struct task *create(struct workers *workers, enum task_kind kind, const char *name,
                           workers_done_cb done, void *data)
{
    struct task *task = mem_new(struct task);
    task->workers = workers;
    task->kind = kind;
    str_format(task->spec.name, sizeof(task->spec.name), "%s", name);
    task->done = done;
    task->data = data;
    task->timer = loop_timer_create(workers->loop, task);
    task->next = workers->tasks;
    if (task->next)
        task->next->prev = task;
    workers->tasks = task;
    return task;
}

static void on_removed(void *data)
{
    struct task *task = data;
    strike(task->workers, task->spec.name);
    log_info("worker removed", LOG_S("worker", task->spec.name));
    answer(task, NULL);
}

/* What the store now has is done to the fleet; false when an answer is still to come. */
static bool carry_out(struct task *task, struct err *err)
{
    struct workers *workers = task->workers;
    struct worker *worker = fleet_worker(workers->fleet, task->spec.name);
    err->code = ERR_NONE;
    switch (task->kind) {
    case TASK_ADD:
        enter(workers, &task->spec, WORKERS_API, steal_ptr(task->link));
        log_info("worker added", LOG_S("worker", task->spec.name));
        return true;
    case TASK_REMOVE:
        return fleet_remove(workers->fleet, worker, task->wait_ms, on_removed, task, err) != 0;
    case TASK_DRAIN:
    case TASK_RESUME:
        if (worker && !fleet_leaving(workers->fleet, worker))
            worker_set_draining(worker, task->kind == TASK_DRAIN);
        return true;
    }
    return true;
}

static void on_written(const struct err *err, void *data)
{
    struct task *task = data;
    struct err why;
    if (err && err->code == ERR_NAME_TAKEN) {
        err_set(&why, ERR_NAME_TAKEN, "name: there is a worker \"%s\" already", task->spec.name);
        answer(task, &why);
    } else if (err) {
        answer(task, err);
    } else if (carry_out(task, &why)) {
        answer(task, why.code == ERR_NONE ? NULL : &why);
    }
}

static int check_add(struct task *task, struct err *err)
{
    struct workers *workers = task->workers;
    if (find(workers, task->spec.name))
        return err_set(err, ERR_NAME_TAKEN, "name: there is a worker \"%s\" already",
                       task->spec.name);
    if (fleet_count(workers->fleet) >= FLEET_WORKERS_MAX)
        return err_set(err, ERR_NOT_AVAILABLE, "there are %d workers already, which is the most",
                       FLEET_WORKERS_MAX);
    task->link = workers->make_link(workers->loop, &task->spec, workers->data, err);
    return task->link ? 0 : -1;
}

void workers_add(struct workers *workers, const struct worker_spec *spec, workers_done_cb done,
                 void *data)
{
    struct task *task = create(workers, TASK_ADD, spec->name, done, data);
    struct store_worker stored = {.created_ms = clock_wall_ms()};
    cleanup_json json_t *json = worker_spec_json(spec);
    task->spec = *spec;
    str_format(stored.name, sizeof(stored.name), "%s", spec->name);
    if (json_dumpb(json, stored.spec, STORE_WORKER_SPEC_MAX, JSON_COMPACT) > STORE_WORKER_SPEC_MAX)
        err_set(&task->err, ERR_BAD_REQUEST, "the worker's description has more than %d bytes",
                STORE_WORKER_SPEC_MAX);
    else if (check_add(task, &task->err) == 0) {
        store_add_worker(workers->store, &stored, on_written, task);
        return;
    }
    refuse(task);
}

static int check_known(const struct workers *workers, const char *name, struct err *err)
{
    if (find(workers, name))
        return 0;
    return err_set(err, ERR_NOT_FOUND, "there is no worker \"%s\"", name);
}

static int check_remove(const struct workers *workers, const char *name, bool force,
                        struct err *err)
{
    if (check_known(workers, name, err) != 0)
        return -1;
    if ((*find(workers, name))->source != WORKERS_API)
        return err_set(err, ERR_RUNNER_BUSY,
                       "the worker \"%s\" stands in the settings: it goes when it is taken out of "
                       "them; until then it can be drained",
                       name);
    const struct worker *worker = fleet_worker(workers->fleet, name);
    if (fleet_leaving(workers->fleet, worker))
        return err_set(err, ERR_NOT_FOUND, "the worker \"%s\" is being removed already", name);
    size_t kept = registry_get_counts(worker_runners(worker))->kept;
    if (kept > 0 && !force)
        return err_set(err, ERR_RUNNER_BUSY,
                       "the worker \"%s\" has %zu named runners, which would be out of reach: "
                       "delete them, or say force=true",
                       name, kept);
    return 0;
}

void workers_remove(struct workers *workers, const char *name, bool force, int64_t wait_ms,
                    workers_done_cb done, void *data)
{
    struct task *task = create(workers, TASK_REMOVE, name, done, data);
    task->wait_ms = wait_ms;
    if (check_remove(workers, name, force, &task->err) == 0)
        store_delete_worker(workers->store, name, on_written, task);
    else
        refuse(task);
}

void workers_drain(struct workers *workers, const char *name, bool draining, workers_done_cb done,
                   void *data)
{
    struct task *task = create(workers, draining ? TASK_DRAIN : TASK_RESUME, name, done, data);
    if (check_known(workers, name, &task->err) == 0)
        store_drain_worker(workers->store, name, draining, on_written, task);
    else
        refuse(task);
}

void workers_forget(struct workers *workers, void *data)
{
    for (struct task *task = workers->tasks; task; task = task->next)
        if (task->data == data)
            task->done = NULL;
}
