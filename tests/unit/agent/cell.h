/* A runner without LXC: the real agent as PID 1 of new user, pid, mount, network, IPC and host name
 * namespaces, over this machine's own root file system, of which it can change nothing.
 * /home/runner and /root are tmpfs. The test plays the worker.
 */
#ifndef TEST_AGENT_CELL_H
#define TEST_AGENT_CELL_H

#include "../../../src/common/agent_wire.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* How long a test waits for anything before it fails. */
#define CELL_DEADLINE_MS 60000

struct cell {
    pid_t pid; /* of the agent, seen from here */
    char folder[PATH_MAX];
    int listener;
    int control; /* the agent's connection, -1 before cell_accept */
};

/* main calls this first: the agent's program is argv[1]. With "checked" as argv[2] it is one built
 * with sanitizers, which is no measure for memory.
 */
void cell_init(int argc, char **argv);
bool cell_is_checked(void);

/* Makes one, connected; home_bytes is the size of the user's home. stop also fails the test when
 * the agent has died before.
 */
void cell_start(struct cell *cell, size_t home_bytes);
void cell_stop(struct cell *cell);

/* cmocka's setup and teardown: *state is a struct cell. */
int cell_setup(void **state);
int cell_teardown(void **state);

void cell_listen(struct cell *cell);
void cell_unlisten(struct cell *cell); /* the socket goes away, and the connection */

/* Waits for the agent's connection and its hello. */
void cell_accept(struct cell *cell, struct agent_hello *hello);

/* Hands one end of a new socket pair to the agent, cgroup too unless it is -1; returns the other.
 * output_bytes is that of AGENT_OPEN.
 */
int cell_open(struct cell *cell, int cgroup, uint64_t output_bytes);

/* To the program of every operation: all have the same number here. Past their input. */
void cell_signal(struct cell *cell, uint32_t signal, bool group);

/* Figures of the agent. Resident are also the pages of its executable, which all agents share. */
size_t cell_resident_bytes(const struct cell *cell);
size_t cell_own_bytes(const struct cell *cell);
unsigned cell_descriptors(const struct cell *cell);

/* The pid here of the process that has this one in the cell, 0 when there is none. */
pid_t cell_find(const struct cell *cell, uint32_t pid_inside);

/* How many processes the cell has beside the agent; zombies counts those that are not reaped. */
unsigned cell_processes(const struct cell *cell, unsigned *zombies);

/* A line of /proc/PID/status, e.g. "State"; static storage, "" when there is none. */
const char *cell_status_line(pid_t pid, const char *key);

/* Waits until the condition has come true, or fails the test. */
#define cell_wait(condition)                                                                       \
    do {                                                                                           \
        for (int waited_ = 0; !(condition); waited_ += cell_nap())                                 \
            if (waited_ > CELL_DEADLINE_MS)                                                        \
                fail_msg("waited in vain for: %s", #condition);                                    \
    } while (0)
int cell_nap(void); /* a moment; returns its milliseconds */

#endif
