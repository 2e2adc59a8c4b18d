#include "server.h"

#include "answer.h"
#include "footprint.h"
#include "journal.h"
#include "ledger.h"
#include "listener.h"
#include "op_parse.h"
#include "oven_json.h"
#include "pantry.h"
#include "run.h"
#include "watch.h"

#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/chan.h"

#include <grp.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

/* How it works. A connection is a `client` until its operation is known; the operation then takes
 * the channel. A client that waits for a runner's end, or for work on a thread, stays one.
 */

struct client {
    struct server *server;
    struct chan *chan;
    struct client *prev, *next;
    bool greeted;
    char manager[MANAGER_ID_LEN + 1]; /* once it has greeted */
    bool waits;                       /* it has nothing more to say */
    char waits_for[NAME_MAX_LEN + 1]; /* container name; "" when it waits for no runner */
    char name[NAME_MAX_LEN + 1];      /* as the caller called it */
    uint64_t steers;                  /* the run of that key; 0: none */
};

struct server {
    struct services *services;
    struct listener *listener;
    struct client *clients;
    bool claimed;        /* what an earlier worker left without a manager has one */
    unsigned jobs;       /* on threads */
    atomic_bool stopped; /* they read it */
};

static void client_free(struct client *client)
{
    *(client->prev ? &client->prev->next : &client->server->clients) = client->next;
    if (client->next)
        client->next->prev = client->prev;
    free(client);
}

static struct chan *client_release(struct client *client)
{
    struct chan *chan = client->chan;
    client_free(client);
    return chan;
}

static void refuse(struct client *client, const struct err *err)
{
    answer_error(client_release(client), err, NULL, 0);
}

/* ---- operations that are not runs ---- */

static void begin_destroy(struct client *client, const struct frame *frame)
{
    struct server *server = client->server;
    struct err err;
    if (op_destroy_parse(frame->payload, frame->len, client->name, &err) != 0) {
        refuse(client, &err);
        return;
    }
    struct runner *runner = roster_find(server->services->roster, client->manager, client->name);
    if (!runner) {
        err_set(&err, ERR_RUNNER_NOT_FOUND, "there is no runner %s", client->name);
        refuse(client, &err);
        return;
    }
    strcpy(client->waits_for, runner->spec.name);
    client->waits = true;
    runner_destroy(runner);
}

static void on_runner_change(struct runner *runner, enum runner_state from, void *data)
{
    struct server *server = data;
    (void)from;
    if (runner->state != RUNNER_GONE)
        return;
    for (struct client *client = server->clients, *next; client; client = next) {
        next = client->next;
        if (strcmp(client->waits_for, runner->spec.name) != 0)
            continue;
        json_t *result = json_pack("{s:s}", "runner", client->name);
        watch_flush(server->services->watch);
        answer_result(client_release(client), result);
    }
}

/* Work that blocks, on a thread. */
struct job {
    uv_work_t work;
    struct server *server;
    struct client *client; /* NULL once its connection has ended */
    void (*todo)(struct job *job);
    unsigned busy;          /* runners that were being made or removed */
    json_t *names, *result; /* of runners; what todo made, NULL: it failed */
    struct err err;
};

static void add_name(const char *name, void *data)
{
    json_array_append_new(data, json_string(name));
}

/* Killing and removing what nobody owns may take a second each. */
static void remove_zombies(struct job *job)
{
    struct engine *engine = roster_engine(job->server->services->roster);
    bool failed = false;
    for (size_t i = 0; i < json_array_size(job->names); i++) {
        const char *name = json_string_value(json_array_get(job->names, i));
        if (atomic_load(&job->server->stopped))
            failed = err_set(&job->err, ERR_NOT_AVAILABLE, "the worker is ending");
        else if (engine->ops->remove_zombie(engine, name, &job->err) != 0)
            failed = true;
    }
    if (!failed)
        job->result = json_pack("{s:O}", "zombies", job->names);
}

static void take_footprint(struct job *job)
{
    job->result = footprint_take(job->server->services->ground, job->names, job->busy);
}

static void on_job(uv_work_t *work)
{
    struct job *job = work->data;
    job->todo(job);
}

static void on_job_done(uv_work_t *work, int status)
{
    struct job *job = work->data;
    (void)status;
    job->server->jobs--;
    if (job->client && !job->result)
        refuse(job->client, &job->err);
    else if (job->client)
        answer_result(client_release(job->client), json_incref(job->result));
    json_decref(job->result);
    json_decref(job->names);
    free(job);
}

static void ignore_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan, (void)frame, (void)data;
}

static void on_closed_during_job(struct chan *chan, const struct err *why, void *data)
{
    struct job *job = data;
    (void)chan, (void)why;
    chan_destroy(client_release(job->client), false);
    job->client = NULL;
}

static const struct chan_ops job_ops = {
    .on_frame = ignore_frame,
    .on_closed = on_closed_during_job,
};

static void start_job(struct client *client, json_t *take_names, void (*todo)(struct job *job))
{
    const struct roster *roster = client->server->services->roster;
    struct job *job = mem_new(struct job);
    job->busy = roster_count(roster, RUNNER_COOKING) + roster_count(roster, RUNNER_FREEING);
    job->server = client->server;
    job->client = client;
    job->todo = todo;
    job->names = take_names;
    job->work.data = job;
    client->waits = true;
    client->server->jobs++;
    chan_set_ops(client->chan, &job_ops, job);
    uv_queue_work(client->server->services->loop, &job->work, on_job, on_job_done);
}

static void begin_zombies(struct client *client, const struct frame *frame)
{
    struct services *services = client->server->services;
    struct engine *engine = roster_engine(services->roster);
    struct err err;
    bool remove;
    if (op_zombies_parse(frame->payload, frame->len, &remove, &err) != 0) {
        refuse(client, &err);
        return;
    }
    json_t *names = json_array();
    engine->ops->zombies(engine, add_name, names);
    if (!remove) {
        answer_result(client_release(client), json_pack("{s:o}", "zombies", names));
        return;
    }
    start_job(client, names, remove_zombies);
}

static void add_runner(struct runner *runner, void *data)
{
    json_array_append_new(data, json_string(runner->spec.name));
}

static void begin_footprint(struct client *client, const struct frame *frame)
{
    struct err err;
    json_t *names = json_array();
    if (op_footprint_parse(frame->payload, frame->len, &err) != 0) {
        json_decref(names);
        refuse(client, &err);
        return;
    }
    roster_each(client->server->services->roster, add_runner, names);
    start_job(client, names, take_footprint);
}

static void do_oven(struct client *client, const struct frame *frame)
{
    struct services *services = client->server->services;
    struct err err;
    struct oven_change change;
    if (oven_change_parse(frame->payload, frame->len, &change, &err) != 0) {
        refuse(client, &err);
        return;
    }
    struct oven *oven = pantry_find(services->pantry, change.template_name, &err);
    if (!oven && err.code == ERR_NOT_AVAILABLE) /* to a run it would be that */
        err.code = ERR_NOT_FOUND;
    if (!oven || oven_json_change(services, oven, &change, &err) != 0) {
        refuse(client, &err);
        return;
    }
    answer_result(client_release(client),
                  json_pack("{s:o}", "oven", oven_json_describe(services, oven)));
}

static void do_withdraw(struct client *client, const struct frame *frame)
{
    struct services *services = client->server->services;
    struct err err;
    uint64_t key;
    if (op_key_parse(frame->payload, frame->len, &key, &err) != 0) {
        refuse(client, &err);
        return;
    }
    struct ledger_word word = ledger_withdraw(services->ledger, key);
    if (!word.started)
        runs_withdraw(services->runs, key);
    answer_result(client_release(client),
                  json_pack("{s:b, s:I}", "started", word.started, "coveredMs",
                            (json_int_t)(word.covered_us / US_PER_MS)));
}

/* It lasts, as long as the manager wants, whether or not the run is still there. */
static void begin_steer(struct client *client, const struct frame *frame)
{
    struct err err;
    if (op_key_parse(frame->payload, frame->len, &client->steers, &err) != 0)
        refuse(client, &err);
}

static void steer(struct client *client, const struct frame *frame)
{
    struct err err;
    int number;
    if (frame->type != FRAME_SIGNAL) {
        err_set(&err, ERR_BAD_REQUEST, "%s steers no run", frame_name(frame->type));
        refuse(client, &err);
    } else if (op_signal_parse(frame->payload, frame->len, &number, &err) != 0) {
        refuse(client, &err);
    } else {
        runs_signal(client->server->services->runs, client->manager, client->steers, number);
    }
}

/* ---- connections ---- */

static void begin_operation(struct client *client, const struct frame *frame)
{
    struct services *services = client->server->services;
    char manager[MANAGER_ID_LEN + 1]; /* the client goes before its operation begins */
    struct err err;
    switch (frame->type) {
    case FRAME_RUN:
    case FRAME_EXEC:
        memcpy(manager, client->manager, sizeof(manager));
        run_begin(services->runs, manager, client_release(client), frame);
        return;
    case FRAME_DESTROY:
        begin_destroy(client, frame);
        return;
    case FRAME_WATCH:
        memcpy(manager, client->manager, sizeof(manager));
        watch_add(services->watch, manager, client_release(client));
        return;
    case FRAME_ZOMBIES:
        begin_zombies(client, frame);
        return;
    case FRAME_FOOTPRINT:
        begin_footprint(client, frame);
        return;
    case FRAME_WITHDRAW:
        do_withdraw(client, frame);
        return;
    case FRAME_STEER:
        begin_steer(client, frame);
        return;
    case FRAME_OVEN:
        do_oven(client, frame);
        return;
    default:
        err_set(&err, ERR_BAD_REQUEST, "%s is not an operation", frame_name(frame->type));
        refuse(client, &err);
    }
}

struct claim {
    const struct services *services;
    const char *manager;
};

static void claim_one(struct runner *runner, void *data)
{
    const struct claim *claim = data;
    struct err err;
    if (!runner->kept || runner->manager[0] ||
        roster_find(claim->services->roster, claim->manager, runner->name))
        return;
    runner_give(runner, claim->manager);
    watch_touch(claim->services->watch, runner);
    log_info("a named runner of an earlier worker has a manager now", LOG_S("runner", runner->name),
             LOG_S("manager", claim->manager));
    if (runner->state == RUNNER_IN_USE && /* else it is noted when it is back */
        journal_update(claim->services->journal, runner, &err) != 0)
        log_error("which manager's a runner is will be forgotten", LOG_S("runner", runner->name),
                  LOG_ERR(&err));
}

/* Workers before protocol 2 had one manager, and did not write down which: the first that greets.
 */
static void claim_unowned(struct server *server, const char *manager)
{
    struct claim claim = {.services = server->services, .manager = manager};
    if (server->claimed)
        return;
    server->claimed = true;
    roster_each(server->services->roster, claim_one, &claim);
}

static void on_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct client *client = data;
    struct err err;
    (void)chan;
    if (client->waits)
        return;
    if (client->steers) {
        steer(client, frame);
        return;
    }
    if (client->greeted) {
        begin_operation(client, frame);
        return;
    }
    client->greeted = true;
    if (frame->type != FRAME_LINK_HELLO)
        err_set(&err, ERR_BAD_REQUEST, "%s came before LINK_HELLO", frame_name(frame->type));
    else if (op_hello_parse(frame->payload, frame->len, client->manager, &err) == 0) {
        claim_unowned(client->server, client->manager);
        return;
    }
    refuse(client, &err);
}

static void on_closed(struct chan *chan, const struct err *why, void *data)
{
    (void)chan, (void)why;
    chan_destroy(client_release(data), false);
}

static const struct chan_ops client_ops = {.on_frame = on_frame, .on_closed = on_closed};

static void welcome(int take_fd, void *data)
{
    struct server *server = data;
    struct client *client = mem_new(struct client);
    struct err err;
    client->chan = chan_create(server->services->loop, take_fd, &client_ops, client, &err);
    if (!client->chan) {
        log_error("cannot serve a connection", LOG_ERR(&err));
        free(client);
        return;
    }
    client->server = server;
    client->next = server->clients;
    if (client->next)
        client->next->prev = client;
    server->clients = client;
    answer_send(client->chan, FRAME_LINK_HELLO,
                json_pack("{s:i, s:s}", "protocol", PROTOCOL_VERSION, "program",
                          "codeland-worker " CODELAND_VERSION));
}

struct server *server_create(struct services *services, const char *run_dir, const char *group,
                             struct err *err)
{
    char path[PATH_MAX];
    const struct group *entry = getgrnam(group);
    if (!entry) {
        err_set(err, ERR_INTERNAL, "there is no group \"%s\" (http.group)", group);
        return NULL;
    }
    if (!str_format(path, sizeof(path), "%s/" SERVER_SOCKET_NAME, run_dir)) {
        err_set(err, ERR_INTERNAL, "path too long: %s", run_dir);
        return NULL;
    }
    struct server *server = mem_new(struct server);
    server->services = services;
    server->listener =
        listener_create(services->loop, path, 0660, entry->gr_gid, welcome, server, err);
    if (!server->listener) {
        free(server);
        return NULL;
    }
    roster_observe(services->roster, on_runner_change, server);
    return server;
}

static void drop_clients(struct server *server, bool waiting_too)
{
    for (struct client *client = server->clients, *next; client; client = next) {
        next = client->next;
        if (waiting_too || !client->waits)
            chan_destroy(client_release(client), false);
    }
}

void server_stop(struct server *server)
{
    listener_destroy(server->listener);
    server->listener = NULL;
    atomic_store(&server->stopped, true);
    drop_clients(server, false);
}

bool server_busy(const struct server *server)
{
    return server->jobs > 0;
}

void server_destroy(struct server *server)
{
    if (!server)
        return;
    listener_destroy(server->listener);
    drop_clients(server, true);
    roster_unobserve(server->services->roster, on_runner_change, server);
    free(server);
}
