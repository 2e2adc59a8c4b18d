/* What no program of a runner may see or ask of the kernel, whoever it is there. */
#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

/* Covers those parts of /proc and /sys that tell about the host. -1 with errno. The mounts stay:
 * after sandbox_deny nobody can take one away.
 */
int sandbox_mask(void);

/* Takes the calls of denied.def from this process and all that it starts, for ever. -1 with errno.
 * Needs CAP_SYS_ADMIN in the own user namespace, or no_new_privs.
 */
int sandbox_deny(void);

/* Where the agent was started with its AppArmor profile: takes on that of programs, which has no
 * way back, in this process and all that it starts. 0 also without one; -1 with errno. Comes after
 * sandbox_deny, which needs a capability that is gone then.
 */
int sandbox_confine(void);

#endif
