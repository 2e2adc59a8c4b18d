#include "server.h"

#include "answer.h"
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
 * the channel. A client that waits for a runner's end, or for zombies to be removed, stays one.
 */

struct client {
    struct server *server;
    struct chan *chan;
    struct client *prev, *next;
    bool greeted;
    bool waits;                       /* it has nothing more to say */
    char waits_for[NAME_MAX_LEN + 1]; /* container name; "" when it waits for no runner */
    char name[NAME_MAX_LEN + 1];      /* as the caller called it */
};

struct server {
    struct services *services;
    struct listener *listener;
    struct client *clients;
    unsigned removals;   /* on threads */
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
    struct runner *runner = roster_find(server->services->roster, client->name);
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

struct removal {
    uv_work_t work;
    struct server *server;
    struct client *client; /* NULL once its connection has ended */
    json_t *names;
    struct err err;
    bool failed;
};

static void add_name(const char *name, void *data)
{
    json_array_append_new(data, json_string(name));
}

/* On a thread: killing and removing what nobody owns may take a second each. */
static void remove_zombies(uv_work_t *work)
{
    struct removal *removal = work->data;
    struct engine *engine = roster_engine(removal->server->services->roster);
    for (size_t i = 0; i < json_array_size(removal->names); i++) {
        const char *name = json_string_value(json_array_get(removal->names, i));
        if (atomic_load(&removal->server->stopped))
            removal->failed = err_set(&removal->err, ERR_NOT_AVAILABLE, "the worker is ending");
        else if (engine->ops->remove_zombie(engine, name, &removal->err) != 0)
            removal->failed = true;
    }
}

static void on_zombies_removed(uv_work_t *work, int status)
{
    struct removal *removal = work->data;
    (void)status;
    removal->server->removals--;
    if (removal->client && removal->failed)
        refuse(removal->client, &removal->err);
    else if (removal->client)
        answer_result(client_release(removal->client),
                      json_pack("{s:O}", "zombies", removal->names));
    json_decref(removal->names);
    free(removal);
}

static void ignore_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan, (void)frame, (void)data;
}

static void on_closed_while_removing(struct chan *chan, const struct err *why, void *data)
{
    struct removal *removal = data;
    (void)chan, (void)why;
    chan_destroy(client_release(removal->client), false);
    removal->client = NULL;
}

static const struct chan_ops removing_ops = {
    .on_frame = ignore_frame,
    .on_closed = on_closed_while_removing,
};

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
    struct removal *removal = mem_new(struct removal);
    removal->server = client->server;
    removal->client = client;
    removal->names = names;
    removal->work.data = removal;
    client->waits = true;
    client->server->removals++;
    chan_set_ops(client->chan, &removing_ops, removal);
    uv_queue_work(services->loop, &removal->work, remove_zombies, on_zombies_removed);
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

/* ---- connections ---- */

static void begin_operation(struct client *client, const struct frame *frame)
{
    struct services *services = client->server->services;
    struct err err;
    switch (frame->type) {
    case FRAME_RUN:
    case FRAME_EXEC:
        run_begin(services->runs, client_release(client), frame);
        return;
    case FRAME_DESTROY:
        begin_destroy(client, frame);
        return;
    case FRAME_WATCH:
        watch_add(services->watch, client_release(client));
        return;
    case FRAME_ZOMBIES:
        begin_zombies(client, frame);
        return;
    case FRAME_OVEN:
        do_oven(client, frame);
        return;
    default:
        err_set(&err, ERR_BAD_REQUEST, "%s is not an operation", frame_name(frame->type));
        refuse(client, &err);
    }
}

static void on_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct client *client = data;
    struct err err;
    (void)chan;
    if (client->waits)
        return;
    if (client->greeted) {
        begin_operation(client, frame);
        return;
    }
    client->greeted = true;
    if (frame->type != FRAME_LINK_HELLO)
        err_set(&err, ERR_BAD_REQUEST, "%s came before LINK_HELLO", frame_name(frame->type));
    else if (op_hello_parse(frame->payload, frame->len, &err) == 0)
        return;
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
    return server->removals > 0;
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
