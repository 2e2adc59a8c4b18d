/* An OpenSSH client as a child of a libuv program: its lines come as they are written, and it dies
 * with the program, however that ends (setpriv sees to that).
 */
#ifndef LINK_SSH_CHILD_H
#define LINK_SSH_CHILD_H

#include "../common/err.h"

#include <stdbool.h>
#include <uv.h>

/* A longer line is cut. */
#define SSH_LINE_MAX 1000

struct ssh_child;

struct ssh_child_ops {
    /* One line, without its newline; bytes that are neither printable ASCII nor tabs are '?'. */
    void (*on_line)(bool is_err, const char *line, void *data);

    /* It has ended and all its lines have come; exactly once, unless it is destroyed before. The
     * owner still destroys it, and may do so inside.
     */
    void (*on_ended)(int64_t exit_status, int signal, void *data);
};

/* Starts words[0] (looked up in PATH) without a terminal, so that nothing can ask. input becomes
 * its stdin and stays the caller's; -1: /dev/null. ops must outlive the child. NULL on failure.
 */
struct ssh_child *ssh_child_start(uv_loop_t *loop, char *const words[], int input,
                                  const struct ssh_child_ops *ops, void *data, struct err *err);

/* Ends it when it still runs. The memory goes when it has been reaped. NULL is fine. */
void ssh_child_destroy(struct ssh_child *child);

int ssh_child_pid(const struct ssh_child *child);

#endif
