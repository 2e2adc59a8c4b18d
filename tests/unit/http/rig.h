/* A whole manager on the test's own loop, in front of a fake worker, and clients with plain
 * sockets that can misbehave.
 */
#ifndef HTTP_RIG_H
#define HTTP_RIG_H

#include "../../../src/http/server.h"
#include "../../../src/manager/provision.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"

#include <limits.h>

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX];
    char socket[PATH_MAX]; /* the worker's */
    struct config config;
    struct http_timeouts timeouts;
    struct fake_worker *fake; /* NULL after rig_kill_worker */
    struct store *store;
    struct tokens *tokens;
    struct fleet *fleet;
    struct workers *workers;
    struct provisioner *provisioner; /* its ssh is what PATH has */
    struct http_server *server;
    int port;
    char admin[64];           /* the text of an admin's token */
    char user[64], other[64]; /* of the users "user" and "other" */
};

/* With defaults, unless changed between the two; the worker is up when rig_start returns. */
void rig_init(struct rig *rig);
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);

/* The same as a test's set-up and tear-down; *state is the rig. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

void rig_kill_worker(struct rig *rig);
void rig_revive_worker(struct rig *rig); /* does not wait for the manager to notice */
struct worker *rig_worker(const struct rig *rig);

/* What the manager reaches workers by: unix sockets alone. */
struct link *rig_link(uv_loop_t *loop, const struct worker_spec *spec, void *data, struct err *err);

struct client {
    struct rig *rig;
    int fd;
    struct buf in;
    bool ended; /* the server has closed, or reset */
};

struct answer {
    int status;
    char head[4096]; /* with its CR LF CR LF */
    char *body;      /* NUL-terminated, malloc'ed */
    size_t body_len;
    json_t *json; /* of the body; NULL when it is none */
};

struct client client_open(struct rig *rig);
void client_close(struct client *client);
void client_reset(struct client *client); /* with a RST */

/* Sends all, running the loop when the socket is full; false when the server has closed. */
bool client_send(struct client *client, const char *data, size_t len);
bool client_text(struct client *client, const char *text);

/* Runs the loop until a whole answer has come; false when the connection ended before. With
 * no_body set the answer has none whatever its head says (HEAD).
 */
bool client_read(struct client *client, struct answer *answer);
bool client_read_head_only(struct client *client, struct answer *answer);
void answer_free(struct answer *answer);

/* Runs the loop until the server has closed the connection. */
void client_wait_end(struct client *client);

/* Sends a request with a token (NULL: none) and a body (NULL: none), and reads the answer. */
void client_call(struct client *client, const char *method, const char *path, const char *token,
                 const char *body, struct answer *answer);

/* The same on a connection of its own, which is closed. */
void rig_call(struct rig *rig, const char *method, const char *path, const char *token,
              const char *body, struct answer *answer);

/* A string of the answer's JSON; "" when it is not there. */
const char *answer_text(const struct answer *answer, const char *key);

/* It is an error of that status and name, in the API's shape, with these words. */
void assert_error(const struct answer *answer, int status, const char *name, const char *words);

#endif
