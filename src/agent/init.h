/* The duties of PID 1: it cannot be killed from inside, reaps every process of the runner, and
 * hides what is its own.
 */
#ifndef AGENT_INIT_H
#define AGENT_INIT_H

#include <sys/resource.h>
#include <sys/types.h>

/* Joins the control groups whose files these descriptors are, in decimal (v1's `tasks`), and makes
 * them the root of what it sees of groups. They are closed by init_process. -1 with errno.
 */
int init_join_groups(char *const *descriptors);

/* First of all after that: descriptors, signals, limits and privileges as the agent and all
 * programs want them. Everything it inherited above descriptor 2 is closed. -1 with errno.
 */
int init_process(void);

/* Opens a folder and, if it is a mount, takes it out of the runner's sight. Returns an O_PATH
 * descriptor, or -1 with errno.
 */
int init_hide_folder(const char *path);

/* Brings up the loopback interface; what fails is left as it is. */
void init_loopback(void);

/* A descriptor that is readable when a process has ended, or -1 with errno. */
int init_watch_children(void);

/* Reaps all that have ended and calls reaped for each. fd is init_watch_children's. */
void init_reap(int fd, void (*reaped)(pid_t pid, int status, const struct rusage *usage));

#endif
