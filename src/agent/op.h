/* Operations: each runs one program for the worker, over a socket of its own (agent_wire.h has the
 * order of its frames).
 *
 * Frames are taken in order. While the program does not read its standard input, what lies behind
 * it on the socket waits, an AGENT_SIGNAL too: to see it, the agent would have to hold any amount
 * of input. Closing the socket is noticed at any time, and ends a program that is stuck like that;
 * a signal that must not wait comes by op_signal.
 */
#ifndef AGENT_OP_H
#define AGENT_OP_H

#include "../common/agent_wire.h"
#include "../common/clock.h"
#include "watch.h"

#include <sys/resource.h>
#include <sys/types.h>

/* Operations at once; further ones are refused with AGENT_STAGE_LIMIT. */
#define OP_ACTIVE_MAX 64

/* Operations that are over, but whose output background processes still hold. */
#define OP_DRAINING_MAX 64

/* How long output may follow the end of the program while others hold its pipes. */
#define OP_GRACE_US (100 * US_PER_MS)

/* Begins an operation. Takes both descriptors; take_cgroup is -1 when none came. */
void op_open(const struct agent_open *open, int take_socket, int take_cgroup);

/* To the program of that operation, if it runs. */
void op_signal(const struct agent_op_signal *signal);

/* The loop has these for the WATCH_OP_* of a tag. One that is out of date is ignored. */
void op_event(struct watch_tag tag, uint32_t events);

/* A process has ended and is reaped; most are none of ours. */
void op_reaped(pid_t pid, int status, const struct rusage *usage);

/* When op_expire wants to be called; 0 = not at all. */
mono_us op_deadline(void);
void op_expire(mono_us now);

/* How many operations there have been. */
uint32_t op_count(void);

#endif
