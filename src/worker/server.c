#include "server.h"

#include "answer.h"
#include "op_parse.h"
#include "run.h"
#include "watch.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/chan.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* How it works. A connection is a `client` until its operation is known; the operation then takes
 * the channel. A client that waits for a runner's end stays one, in `waiting`.
 */

struct client {
    struct server *server;
    struct chan *chan;
    struct client *next; /* in server->waiting */
    bool greeted;
    char waits_for[NAME_MAX_LEN + 1]; /* container name; "" when it does not wait */
    char name[NAME_MAX_LEN + 1];      /* as the caller called it */
};

struct server {
    struct services *services;
    char path[108]; /* sizeof(sun_path), unix(7) */
    int listener;
    uv_poll_t poll;
    struct client *waiting;
};

static void client_free(struct client *client)
{
    struct client **at = &client->server->waiting;
    while (*at && *at != client)
        at = &(*at)->next;
    if (*at)
        *at = client->next;
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
    client->next = server->waiting;
    server->waiting = client;
    runner_destroy(runner);
}

static void on_runner_change(struct runner *runner, enum runner_state from, void *data)
{
    struct server *server = data;
    (void)from;
    if (runner->state != RUNNER_GONE)
        return;
    for (struct client *client = server->waiting, *next; client; client = next) {
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
    struct client *client; /* NULL once its connection has ended */
    struct engine *engine;
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
    for (size_t i = 0; i < json_array_size(removal->names); i++) {
        const char *name = json_string_value(json_array_get(removal->names, i));
        if (removal->engine->ops->remove_zombie(removal->engine, name, &removal->err) != 0)
            removal->failed = true;
    }
}

static void on_zombies_removed(uv_work_t *work, int status)
{
    struct removal *removal = work->data;
    (void)status;
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
    removal->client = client;
    removal->engine = engine;
    removal->names = names;
    removal->work.data = removal;
    chan_set_ops(client->chan, &removing_ops, removal);
    uv_queue_work(services->loop, &removal->work, remove_zombies, on_zombies_removed);
}

/* ---- connections ---- */

static void begin_operation(struct client *client, const struct frame *frame)
{
    struct services *services = client->server->services;
    struct err err;
    switch (frame->type) {
    case FRAME_RUN:
    case FRAME_EXEC:
        run_begin(services, client_release(client), frame);
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
    if (client->waits_for[0])
        return; /* it has nothing more to say */
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

static void welcome(struct server *server, int take_fd)
{
    struct client *client = mem_new(struct client);
    struct err err;
    client->server = server;
    client->chan = chan_create(server->services->loop, take_fd, &client_ops, client, &err);
    if (!client->chan) {
        log_error("cannot serve a connection", LOG_ERR(&err));
        free(client);
        return;
    }
    answer_send(client->chan, FRAME_LINK_HELLO,
                json_pack("{s:i, s:s}", "protocol", PROTOCOL_VERSION, "program",
                          "codeland-worker " CODELAND_VERSION));
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    struct server *server = poll->data;
    (void)status, (void)events;
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            welcome(server, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return; /* EMFILE too: it stays in the backlog until a connection ends */
    }
}

/* A socket file that nobody answers on is an earlier worker's and is replaced. */
static int bind_socket(struct server *server, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, server->path);
    cleanup_close int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(probe, (struct sockaddr *)&address, sizeof(address)) == 0)
        return err_set(err, ERR_INTERNAL, "another worker listens on %s", server->path);
    if (unlink(server->path) != 0 && errno != ENOENT)
        return err_sys(err, ERR_INTERNAL, errno, "cannot replace %s", server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177); /* nobody else between bind and chmod */
    int bound = bind(server->listener, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (bound != 0 || listen(server->listener, 1024) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot listen on %s", server->path);
    return 0;
}

static int give_to_group(const struct server *server, const char *group, struct err *err)
{
    const struct group *entry = getgrnam(group);
    if (!entry)
        return err_set(err, ERR_INTERNAL, "there is no group \"%s\" (http.group)", group);
    if (chown(server->path, 0, entry->gr_gid) != 0 || chmod(server->path, 0660) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot give %s to group %s", server->path, group);
    return 0;
}

struct server *server_create(struct services *services, const char *run_dir, const char *group,
                             struct err *err)
{
    struct server *server = mem_new(struct server);
    server->services = services;
    server->listener = -1;
    if (!str_format(server->path, sizeof(server->path), "%s/" SERVER_SOCKET_NAME, run_dir))
        err_set(err, ERR_INTERNAL, "%s: path too long", run_dir);
    else if (bind_socket(server, err) == 0 && give_to_group(server, group, err) == 0) {
        uv_poll_init(services->loop, &server->poll, server->listener);
        server->poll.data = server;
        uv_poll_start(&server->poll, UV_READABLE, on_listener);
        roster_observe(services->roster, on_runner_change, server);
        return server;
    }
    fd_close(&server->listener);
    free(server);
    return NULL;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct server *server = handle->data;
    fd_close(&server->listener);
}

void server_stop(struct server *server)
{
    unlink(server->path);
    uv_close((uv_handle_t *)&server->poll, on_poll_closed);
}
