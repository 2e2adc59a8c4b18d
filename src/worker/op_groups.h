/* The cgroups of one runner's operations, so that each can be killed alone. Making and removing a
 * cgroup costs as much as running a short program, so they serve again: at once when an operation
 * has left nothing behind, else when the background processes that it left are gone.
 */
#ifndef WORKER_OP_GROUPS_H
#define WORKER_OP_GROUPS_H

#include "cgroup.h"

#include <uv.h>

struct op_group;

/* Zeroed, it is empty; name is the runner's and is borrowed. */
struct op_groups {
    const struct cgroup *cgroup;
    uv_loop_t *loop;
    const char *name;
    struct op_group **list;
    unsigned count, room;
    unsigned next;  /* number of the next group that is made */
    unsigned probe; /* where to look next for one that has become empty */
};

void op_groups_init(struct op_groups *groups, const struct cgroup *cgroup, uv_loop_t *loop,
                    const char *name);

/* What an earlier worker made is left alone: its numbers are not given again. */
void op_groups_adopt(struct op_groups *groups);

/* A group for operation id. Returns a descriptor to which a process writes "0" to join, -1 on
 * failure; it stays the groups' and is valid until op_groups_end(id).
 */
int op_groups_open(struct op_groups *groups, uint32_t id, struct err *err);

/* Kills all that is in the group, on a thread where that may take time. Nothing happens when the
 * operation has no group.
 */
void op_groups_kill(struct op_groups *groups, uint32_t id);

/* The operation is over; what still runs in the group lives on. */
void op_groups_end(struct op_groups *groups, uint32_t id);

/* Forgets all of them, a thread that kills may go on; the runner's end removes them. */
void op_groups_finish(struct op_groups *groups);

#endif
