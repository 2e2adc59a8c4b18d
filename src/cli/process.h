/* A child process: started with nothing inherited that was not meant to be, described when it ends.
 */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include "../common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    int output;              /* becomes stdout and stderr; stays the caller's */
    int death_signal;        /* what the child gets when this process dies without ending it */
};

/* Starts it: stdin from /dev/null, its own process group (a terminal's Ctrl-C is not for it), no
 * signal blocked or ignored. Returns its pid, or -1 when it could not be executed: then the err is
 * the child's.
 */
pid_t process_start(const struct process_spec *spec, struct err *err);

/* "exit code 3", "killed by SIGSEGV", ... for a status of waitpid. */
void process_describe(int status, char *text, size_t room);

/* From now on SIGINT, SIGTERM and SIGHUP make the returned descriptor readable instead of ending
 * the program, and a pipe or terminal that is gone does not end it either. Aborts when it cannot.
 */
int process_catch_stop(void);

/* Whether one has come since the last call; takes them all. */
bool process_stop_came(int stop_fd);

/* Kills whatever children this process still has, orphans that came to it included, and waits for
 * their end; false when some are left after timeout_ms.
 */
bool process_kill_children(int timeout_ms);

#endif
