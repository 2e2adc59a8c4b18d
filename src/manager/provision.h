/* Making a machine a worker, over SSH: it is looked at, and on request given what is missing, the
 * programs, a template and a worker that runs. One task a host's name; what came of it is kept
 * until the next of that name.
 */
#ifndef MANAGER_PROVISION_H
#define MANAGER_PROVISION_H

#include "../link/ssh.h"
#include "listeners.h"

#include <jansson.h>

#define PROVISION_CHECKS_MAX 24
#define PROVISION_TASKS_MAX 1000

struct provisioner;

enum provision_state { PROVISION_RUNNING, PROVISION_READY, PROVISION_FAILED };

struct provision_check {
    char name[24], level[8];  /* level: ok, warn, bad */
    char text[240], fix[400]; /* fix: a command for a person; "" */
};

/* A plain value: how far a task is. */
struct provision {
    struct worker_spec spec;
    bool install;
    char template_name[NAME_MAX_LEN + 1]; /* that is sent there; "": none */
    enum provision_state state;
    char step[240]; /* what is being done, or was last */
    int percent;    /* of the file or archive that is being sent; -1: nobody knows */
    struct provision_check checks[PROVISION_CHECKS_MAX];
    size_t checks_len;
    struct err err;                                       /* of PROVISION_FAILED */
    char host_key[WORKER_KEY_LEN + 1], host_key_type[32]; /* after ERR_HOST_KEY; "" */
};

/* self: this program's file (locate_self); the others are found from there. */
struct provisioner *provisioner_create(uv_loop_t *loop, const struct ssh_place *place,
                                       const char *self);
void provisioner_destroy(struct provisioner *provisioner); /* ends what runs; NULL is fine */

/* template_name: of the template that the host gets from here with its installation, an archive of
 * which is in the file PLACE/NAME.template; "": it makes its own when it has none. ERR_BAD_REQUEST
 * for a worker on this machine, ERR_NAME_TAKEN while one of that name runs.
 */
int provisioner_start(struct provisioner *provisioner, const struct worker_spec *spec, bool install,
                      const char *template_name, struct err *err);

/* Tells the listener when a task is over; provisioner_find has it then. */
void provisioner_listen(struct provisioner *provisioner, struct listener *listener);
void provisioner_unlisten(struct provisioner *provisioner, struct listener *listener);

/* Of the last task of that name; NULL: there was none. Valid until the loop's next turn. */
const struct provision *provisioner_find(struct provisioner *provisioner, const char *name);

#endif
