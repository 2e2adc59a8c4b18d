#include "rig.h"

#include "../../../src/common/json.h"
#include "../../../src/common/mem.h"
#include "../../support/known_languages.h"
#include "../../support/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_added(const struct err *err, void *data)
{
    (void)data;
    assert_null(err);
}

static void add_token(struct rig *rig, const char *owner, enum token_role role, char digit,
                      char text[64])
{
    struct token token = {.role = role};
    memset(text, digit, TOKEN_TEXT_LEN);
    memcpy(text, "cl_", 3);
    text[TOKEN_TEXT_LEN] = '\0';
    memset(token.id, digit, TOKEN_ID_LEN);
    strcpy(token.owner, owner);
    SHA256((const unsigned char *)text, TOKEN_TEXT_LEN, token.hash);
    store_add_token(rig->store, &token, on_added, NULL);
}

void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    config_defaults(&rig->config);
    strcpy(rig->config.http_listen, "127.0.0.1:0");
    rig->timeouts = http_timeouts_default;
    log_init("test", LOG_ERROR);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    snprintf(rig->socket, sizeof(rig->socket), "%s", scratch_path(rig->folder, "worker.sock"));
}

struct link *rig_link(uv_loop_t *loop, const struct worker_spec *spec, void *data, struct err *err)
{
    (void)data;
    if (!spec->host[0])
        return link_local_create(loop, spec->socket);
    err_set(err, ERR_BAD_REQUEST, "ssh: not in this test");
    return NULL;
}

void rig_start(struct rig *rig)
{
    struct err err;
    rig->fake = fake_worker_create(&rig->loop, rig->socket);
    rig->store = store_open(":memory:", &rig->loop, &err);
    if (!rig->store)
        fail_msg("%s", err.msg);
    add_token(rig, "admin", TOKEN_ADMIN, 'a', rig->admin);
    add_token(rig, "user", TOKEN_USER, 'b', rig->user);
    add_token(rig, "other", TOKEN_USER, 'c', rig->other);
    store_wait(rig->store);
    rig->tokens = tokens_create(rig->store, &err);
    rig->fleet = fleet_create(&rig->loop);
    rig->workers = workers_create(&rig->loop, rig->fleet, rig->store, rig_link, NULL);
    struct worker_spec local;
    const struct worker_specs none = {0};
    worker_spec_init(&local, "local");
    assert_ok(worker_spec_set(&local, "socket", rig->socket, &err), err);
    assert_ok(workers_load(rig->workers, &none, &local, &err), err);
    const struct ssh_place place = {.folder = rig->folder, .config = ""};
    rig->provisioner = provisioner_create(&rig->loop, &place, "/nowhere/codeland");
    int fd = http_listen(rig->config.http_listen, &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &len);
    rig->port = ntohs(address.sin_port);
    const struct app app = {
        .loop = &rig->loop,
        .config = &rig->config,
        .fleet = rig->fleet,
        .workers = rig->workers,
        .tokens = rig->tokens,
        .provisioner = rig->provisioner,
        .languages = known_languages(),
    };
    rig->server = http_server_create(&app, fd, &rig->timeouts, &err);
    if (!rig->server)
        fail_msg("%s", err.msg);
    loop_wait(&rig->loop, worker_up(rig_worker(rig)));
}

void rig_stop(struct rig *rig)
{
    http_server_destroy(rig->server); /* a test may have done so */
    provisioner_destroy(rig->provisioner);
    fleet_destroy(rig->fleet);
    fake_worker_destroy(rig->fake);
    tokens_destroy(rig->tokens);
    store_destroy(rig->store);
    workers_destroy(rig->workers);
    scratch_remove(rig->folder);
    loop_finish(&rig->loop);
}

int rig_set_up(void **state)
{
    struct rig *rig = mem_new(struct rig);
    rig_init(rig);
    rig_start(rig);
    *state = rig;
    return 0;
}

int rig_tear_down(void **state)
{
    rig_stop(*state);
    free(*state);
    return 0;
}

struct worker *rig_worker(const struct rig *rig)
{
    return fleet_at(rig->fleet, 0);
}

void rig_kill_worker(struct rig *rig)
{
    fake_worker_destroy(rig->fake);
    rig->fake = NULL;
    unlink(rig->socket);
}

void rig_revive_worker(struct rig *rig)
{
    rig->fake = fake_worker_create(&rig->loop, rig->socket);
}

struct client client_open(struct rig *rig)
{
    struct client client = {.rig = rig};
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)rig->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    buf_init(&client.in, SIZE_MAX / 2);
    client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    fcntl(client.fd, F_SETFL, O_NONBLOCK);
    return client;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buf_finish(&client->in);
}

void client_reset(struct client *client)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    client_close(client);
}

/* Takes what is there; false when nothing was. */
static bool receive(struct client *client)
{
    char bytes[65536];
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);
    if (got > 0) {
        buf_append(&client->in, bytes, (size_t)got);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        client->ended = true;
    return false;
}

bool client_send(struct client *client, const char *data, size_t len)
{
    size_t at = 0;
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    while (at < len) {
        ssize_t sent = send(client->fd, data + at, len - at, MSG_NOSIGNAL);
        if (sent > 0)
            at += (size_t)sent;
        else if (errno != EAGAIN)
            return false;
        else if (clock_now(&clock_system) > deadline)
            fail_msg("the server takes no more");
        else
            loop_turn(&client->rig->loop);
    }
    return true;
}

bool client_text(struct client *client, const char *text)
{
    return client_send(client, text, strlen(text));
}

/* Joins the chunks of a body. Returns how many bytes they took, 0 when they are not all there. A
 * long body is not joined at every read: only when what has come could be its end.
 */
static size_t join_chunks(const char *data, size_t len, struct buf *body)
{
    size_t at = 0;
    if (len < 5 || memcmp(data + len - 5, "0\r\n\r\n", 5) != 0)
        return 0;
    for (;;) {
        const char *end = memmem(data + at, len - at, "\r\n", 2);
        if (!end)
            return 0;
        size_t size = strtoul(data + at, NULL, 16);
        at = (size_t)(end - data) + 2;
        if (len - at < size + 2)
            return 0;
        assert_memory_equal(data + at + size, "\r\n", 2);
        buf_append(body, data + at, size);
        at += size + 2;
        if (size == 0)
            return at;
    }
}

/* The body behind a head of that length; 0 when it is not all there, else what all of it took. */
static size_t cut_body(struct client *client, size_t head_len, const char *head, struct buf *body)
{
    const char *data = client->in.data + head_len;
    size_t left = client->in.len - head_len;
    const char *length = strcasestr(head, "\r\nContent-Length: ");
    if (strcasestr(head, "\r\nTransfer-Encoding: chunked\r\n")) {
        size_t used = join_chunks(data, left, body);
        return used ? head_len + used : 0;
    }
    size_t len = length ? strtoul(length + 18, NULL, 10) : 0;
    if (left < len)
        return 0;
    buf_append(body, data, len);
    return head_len + len;
}

/* Cuts an answer off the front of what has come, if it is whole. */
static bool cut_answer(struct client *client, bool no_body, struct answer *answer)
{
    const char *end =
        client->in.len ? memmem(client->in.data, client->in.len, "\r\n\r\n", 4) : NULL;
    struct buf body;
    if (!end)
        return false;
    size_t head_len = (size_t)(end + 4 - client->in.data);
    memset(answer, 0, sizeof(*answer));
    assert_true(head_len < sizeof(answer->head));
    memcpy(answer->head, client->in.data, head_len);
    assert_int_equal(sscanf(answer->head, "HTTP/1.1 %d ", &answer->status), 1);
    buf_init(&body, SIZE_MAX / 2);
    size_t used = no_body ? head_len : cut_body(client, head_len, answer->head, &body);
    answer->body_len = body.len;
    answer->body = buf_steal(&body);
    if (used == 0) {
        free(answer->body);
        return false;
    }
    buf_drop(&client->in, used);
    answer->json = json_loadb(answer->body, answer->body_len, JSON_ALLOW_NUL, NULL);
    return true;
}

static bool read_answer(struct client *client, bool no_body, struct answer *answer)
{
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    memset(answer, 0, sizeof(*answer));
    while (!cut_answer(client, no_body, answer)) {
        if (client->ended)
            return false;
        if (clock_now(&clock_system) > deadline)
            fail_msg("no answer; so far: %.*s", (int)client->in.len, client->in.data);
        if (!receive(client))
            loop_turn(&client->rig->loop);
    }
    return true;
}

bool client_read(struct client *client, struct answer *answer)
{
    return read_answer(client, false, answer);
}

bool client_read_head_only(struct client *client, struct answer *answer)
{
    return read_answer(client, true, answer);
}

void answer_free(struct answer *answer)
{
    free(answer->body);
    json_decref(answer->json);
    memset(answer, 0, sizeof(*answer));
}

void client_wait_end(struct client *client)
{
    mono_us deadline = clock_now(&clock_system) + LOOP_WAIT_US;
    while (!client->ended) {
        if (clock_now(&clock_system) > deadline)
            fail_msg("the server does not close");
        if (!receive(client))
            loop_turn(&client->rig->loop);
    }
}

void client_call(struct client *client, const char *method, const char *path, const char *token,
                 const char *body, struct answer *answer)
{
    struct buf request;
    buf_init(&request, SIZE_MAX / 2);
    buf_printf(&request, "%s %s HTTP/1.1\r\nHost: test\r\n", method, path);
    if (token)
        buf_printf(&request, "Authorization: Bearer %s\r\n", token);
    if (body)
        buf_printf(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   strlen(body));
    buf_append_str(&request, "\r\n");
    if (body)
        buf_append_str(&request, body);
    client_send(client, request.data, request.len);
    buf_finish(&request);
    if (!read_answer(client, strcmp(method, "HEAD") == 0, answer))
        fail_msg("%s %s: the server closed without an answer", method, path);
}

void rig_call(struct rig *rig, const char *method, const char *path, const char *token,
              const char *body, struct answer *answer)
{
    struct client client = client_open(rig);
    client_call(&client, method, path, token, body, answer);
    client_close(&client);
}

const char *answer_text(const struct answer *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(answer->json, key));
    return text ? text : "";
}

void assert_error(const struct answer *answer, int status, const char *name, const char *words)
{
    static const char *const keys[] = {"name", "message", "runner", "duration", "requestId", NULL};
    struct err err;
    if (answer->status != status)
        fail_msg("status %d, not %d: %s", answer->status, status, answer->body);
    assert_non_null(answer->json);
    assert_int_equal(json_only_keys(answer->json, keys, &err), 0);
    assert_string_equal(answer_text(answer, "name"), name);
    assert_contains(answer_text(answer, "message"), words);
    assert_int_equal(strlen(answer_text(answer, "requestId")), 16);
    assert_contains(answer->head, answer_text(answer, "requestId"));
    assert_contains(answer->head, "\r\nContent-Type: application/json\r\n");
}
