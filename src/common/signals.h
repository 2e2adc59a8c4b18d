/* The state of signals that a program is to start with. */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

/* Gives every signal its standard meaning, and blocks none. Those that the C library keeps to
 * itself (32 and 33) too, which sigaction refuses: GNU make, for one, hands them on ignored. For a
 * child between fork and exec, or a process at its start.
 */
void signals_reset(void);

/* The number of a name like "SIGINT", 0 for what is none. */
int signals_number(const char *name);

#endif
