/* The worker's end of the link: listens on RUN_DIR/worker.sock and begins operations. */
#ifndef WORKER_SERVER_H
#define WORKER_SERVER_H

#include "services.h"

#define SERVER_SOCKET_NAME "worker.sock"

struct server;

/* Listens; the socket is group's, 0660. ERR_INTERNAL when it cannot, or when another worker answers
 * there. Follows the roster, to answer those who wait for a runner's end.
 */
struct server *server_create(struct services *services, const char *run_dir, const char *group,
                             struct err *err);

/* Stops listening and removes the socket; operations that are going on go on. */
void server_stop(struct server *server);

#endif
