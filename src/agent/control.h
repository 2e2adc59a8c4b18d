/* The connection over which the worker hands operations to the agent. It comes back by itself when
 * it has ended, and no operation notices: each has a socket of its own.
 */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include "../common/clock.h"

#include <stdint.h>

/* Takes the folder that holds AGENT_SOCKET_NAME, and connects. */
void control_start(int take_folder);

/* The loop has this for WATCH_CONTROL. */
void control_event(uint32_t events);

/* When control_retry wants to be called; 0 = not at all. */
mono_us control_deadline(void);

/* Connects again if it is time to. */
void control_retry(mono_us now);

#endif
