/* Starting a program: the hot path of every run. */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include "../common/agent_wire.h"

#include <sys/types.h>

/* Once, before the first spawn. */
void spawn_init(void);

/* Starts exec's program with stdio as its descriptors 0, 1 and 2 and none other, in a session of
 * its own, and returns when it has been executed or has failed to: a failed child has been reaped.
 * cgroup: a descriptor that takes "0", or -1. All descriptors (stdio's above 2) stay the caller's.
 * Returns the program's pid, or -1 with *failed.
 */
pid_t spawn(const struct agent_exec *exec, const int stdio[3], int cgroup,
            struct agent_failed *failed);

#endif
