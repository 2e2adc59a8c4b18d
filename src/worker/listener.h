/* A listening unix socket on a libuv loop. */
#ifndef WORKER_LISTENER_H
#define WORKER_LISTENER_H

#include "../common/err.h"

#include <sys/types.h>
#include <uv.h>

struct listener;

/* A connection; take_fd is non-blocking and the callee's. Fires any number of times; the listener
 * may be destroyed inside it.
 */
typedef void (*listener_accepted)(int take_fd, void *data);

/* Binds path and listens; a socket that an earlier program left there is replaced. It belongs to
 * group (-1: the caller's) with mode, from before the first connection can be made. NULL with
 * ERR_INTERNAL or ERR_NO_SPACE.
 */
struct listener *listener_create(uv_loop_t *loop, const char *path, mode_t mode, gid_t group,
                                 listener_accepted accepted, void *data, struct err *err);

/* Removes the socket. Connections that were accepted are not touched. NULL is fine. */
void listener_destroy(struct listener *listener);

#endif
