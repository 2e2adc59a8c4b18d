/* The engine of containers, shared by engine_lxc.c (what engine.h asks for, and the starter),
 * engine_lxc_agent.c (whose agent connects) and engine_lxc_end.c (how a runner ends). For these
 * alone.
 */
#ifndef WORKER_ENGINE_LXC_PRIVATE_H
#define WORKER_ENGINE_LXC_PRIVATE_H

#include "engine_lxc.h"
#include "op_groups.h"
#include "slots.h"

#include "../loop/chan.h"

struct listener;

struct engine_lxc {
    struct engine engine;
    struct engine_lxc_config config;
    struct listener *listener;
    int starter_pidfd;
    uv_poll_t starter_poll, starter_exit_poll;
    uint64_t next_id;
    bool starts_go_well; /* the last one did */
    struct engine_runner **by_slot;
    unsigned slots_used; /* those above never had a runner */
    mono_us complained;  /* about a connection, last */
    int open_handles;    /* of this struct; freed with the last */
};

struct engine_runner {
    struct engine_lxc *engine;
    void *runner; /* the owner's */
    struct engine_spec spec;
    uint64_t id; /* sequence << 16 | slot */
    bool adopted, ready, destroyed;
    bool over; /* nothing runs in it any more, or never did: what is left is its cgroups */
    pid_t init_pid;
    int init_pidfd;
    int disk;               /* see rootfs_disk.h; -1: it could not be opened */
    struct chan *control;   /* NULL while the agent is away */
    bool greeted;           /* it has said hello on this connection */
    uint32_t agent_version; /* of the protocol, on this connection */
    unsigned connections;   /* of its agent since connections_since */
    mono_us connections_since;
    struct op_groups groups;
    enum { NETWORK_NONE, NETWORK_COMING, NETWORK_THERE, NETWORK_GOING } network;
    engine_attached attached; /* while COMING */
    void *attached_data;
    bool tidy;      /* over, and its cgroups are gone */
    struct err why; /* code ERR_NONE until something failed */
    uv_timer_t timer;
    uv_poll_t exit_poll; /* of init_pidfd, adopted runners only */
    unsigned tidy_rounds;
    int open_handles;
};

#define SLOT_BITS 16
_Static_assert(SLOTS_MOST == 1 << SLOT_BITS, "an id carries the slot");

/* engine_lxc.c */

/* Makes the starter start or kill it. -1 with errno when the starter cannot be told. */
int engine_runner_ask(struct engine_runner *handle, bool kill_it);

/* engine_lxc_agent.c */

/* A listener_connected: data is the engine; fd is taken. */
void engine_lxc_on_agent(int take_fd, void *data);

/* Takes hold of the init that the journal names, if it is still the slot's container's and not
 * another process that got its number. Where it cannot be told for want of a descriptor or memory,
 * its agent's connection will.
 */
bool engine_runner_find_init(struct engine_runner *handle, pid_t pid);

/* engine_lxc_end.c */

/* Its first failure is why it is gone. */
void engine_runner_failed(struct engine_runner *handle, const struct err *why);

/* Killing init kills every process of its pid namespace at once (pid_namespaces(7)). One that has
 * not been heard of yet dies with its monitor.
 */
void engine_runner_kill(struct engine_runner *handle);

/* Its agent is not what it should be: it is not trusted with anything any more. */
void engine_runner_condemn(struct engine_runner *handle, const struct err *why);

/* Nothing runs in it any more; it is gone when its cgroups are. */
void engine_runner_over(struct engine_runner *handle);

/* The same, but nothing may be reported before the caller has returned: there is no container. */
void engine_runner_end_soon(struct engine_runner *handle);

/* Its cgroups are gone; it is when its network is, too. */
void engine_runner_tidy(struct engine_runner *handle);

/* What is late is seen to after this time. */
void engine_runner_arm(struct engine_runner *handle, uint64_t delay_ms);

/* Frees it, with the loop's next turns. */
void engine_runner_close(struct engine_runner *handle);

#endif
