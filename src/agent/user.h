/* Who code runs as. Runners hold one ordinary user, whose numbers never change; so nothing is
 * looked up in files that the code itself may have written.
 */
#ifndef AGENT_USER_H
#define AGENT_USER_H

#include "../common/agent_wire.h"

#include <sys/types.h>

#define USER_RUNNER_ID 1000

struct user {
    uid_t id; /* of the user and of its only group */
    const char *home;
};

/* By the flags of an AGENT_FILE or AGENT_EXEC. */
static inline struct user user_of(uint32_t flags)
{
    if (flags & AGENT_EXEC_ROOT)
        return (struct user){0, "/root"};
    return (struct user){USER_RUNNER_ID, "/home/runner"};
}

#endif
