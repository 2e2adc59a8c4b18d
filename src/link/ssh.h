/* Workers that are reached over SSH: the link, and commands on their hosts. OpenSSH does it all;
 * its settings, agent, jump hosts and certificates work as their owner expects.
 */
#ifndef LINK_SSH_H
#define LINK_SSH_H

#include "../common/clock.h"
#include "../common/worker_spec.h"
#include "link.h"

#include <uv.h>

/* What holds for all of them. Texts are copied. */
struct ssh_place {
    const char *folder; /* of the sockets, one a worker: this process' own, nobody else's */
    const char *config; /* ssh -F; "": ssh's own settings files */
};

/* A link through one supervised `ssh -L`, which is started at the first link_open and again,
 * after a pause, whenever it ends. NULL when the folder's path is too long, or no path for ssh.
 */
struct link *link_ssh_create(uv_loop_t *loop, const struct worker_spec *spec,
                             const struct ssh_place *place, struct err *err);

/* How long after its `tries`th failure in a row (0..) ssh is started again; half of it is random,
 * so that a fleet does not come back in one moment. chance: any number.
 */
#define SSH_PAUSE_MIN_MS 200
#define SSH_PAUSE_MAX_MS 10000
unsigned ssh_pause_ms(unsigned tries, uint32_t chance);

/* A command on the host. */
struct ssh_command;

struct ssh_command_ops {
    void (*on_line)(const char *line, void *data); /* of its stdout */

    /* It is over; err NULL: it ran and ended with status. Exactly once, unless it is destroyed
     * before; may destroy it.
     */
    void (*on_done)(int status, const struct err *err, void *data);
};

/* command goes to the host's shell as it is, so it must be a constant. input becomes its stdin
 * (-1: none) and is taken. key, of a host whose key is not known, is told after on_done's
 * ERR_HOST_KEY. NULL on failure.
 */
struct ssh_command *ssh_command_start(uv_loop_t *loop, const struct worker_spec *spec,
                                      const struct ssh_place *place, const char *command,
                                      int take_input, const struct ssh_command_ops *ops, void *data,
                                      struct err *err);
void ssh_command_destroy(struct ssh_command *command); /* NULL is fine */

/* What it said last on stderr, without secrets; "". */
const char *ssh_command_last_line(const struct ssh_command *command);

/* The host's key and its type after ERR_HOST_KEY; "" when it is unknown to us. */
const char *ssh_command_key(const struct ssh_command *command);
const char *ssh_command_key_type(const struct ssh_command *command);

/* How much of a file that was given as input has been read by now, in bytes. */
int64_t ssh_command_sent(const struct ssh_command *command);

#endif
