/* The real engine: LXC containers through liblxc. See engine.h for the functions and
 * engine_lxc_start.h for how containers are started.
 */
#ifndef WORKER_ENGINE_LXC_H
#define WORKER_ENGINE_LXC_H

#include "cgroup.h"
#include "engine.h"
#include "idmap.h"

#include <uv.h>

struct network;

struct engine_lxc_config {
    uv_loop_t *loop;
    struct cgroup *cgroup;
    struct idmap *idmap;
    int starter_socket;      /* of starter_spawn; taken */
    pid_t starter;           /* its process, a child of ours that somebody else reaps */
    struct network *network; /* NULL: attach_network may not be asked for; outlives the engine */
    const char *run_dir;     /* agents connect to RUN_DIR/agent/agent.sock */

    /* The starter is gone: no container can be made any more. The program should end, so that its
     * supervisor starts it anew.
     */
    void (*starter_died)(void *data);

    /* Asked before a start unless the last one went well: says in a person's words what is wrong
     * with a template's root file system, where liblxc would say which mount failed. May be NULL.
     */
    int (*check)(const char *rootfs, void *data, struct err *err);
    void *data;
};

/* The folder below run_dir that runners see, and that holds nothing but the agents' socket. */
#define ENGINE_LXC_AGENT_FOLDER "agent"

/* How long an adopted runner's agent has to come back. */
#define ENGINE_LXC_ADOPT_MS 5000

/* NULL on failure; the socket is closed then, the starter ends. */
struct engine *engine_lxc_create(const struct engine_lxc_config *config, struct err *err);

#endif
