/* The worker's end of the link: listens on RUN_DIR/worker.sock and begins operations. */
#ifndef WORKER_SERVER_H
#define WORKER_SERVER_H

#include "services.h"

#define SERVER_SOCKET_NAME "worker.sock"

struct server;

/* Listens; the socket is group's, 0660. ERR_INTERNAL when it cannot. Follows the roster, to answer
 * those who wait for a runner's end.
 */
struct server *server_create(struct services *services, const char *run_dir, const char *group,
                             struct err *err);

/* Stops listening, removes the socket, and closes the connections that wait for nothing; operations
 * that are going on go on.
 */
void server_stop(struct server *server);

/* Whether a thread still works for an operation; it ends soon after server_stop. */
bool server_busy(const struct server *server);

/* Closes what is left; it must not be busy. NULL is fine. */
void server_destroy(struct server *server);

#endif
