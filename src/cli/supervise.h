/* Supervising the daemons: they are started, their lines read, their deaths noticed and mended, and
 * in the end they are stopped.
 *
 * How it works. One thread, one poll: supervise_turn handles whatever has happened and returns.
 * Each daemon writes into a pipe that it keeps for all its lives, for what it leaves behind when it
 * dies (the monitors of containers) writes there too. This process is the reaper of those orphans.
 * A daemon gets its stop signal as well when this process is killed: nothing survives it.
 */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include "lines.h"
#include "logs.h"
#include "restart.h"

#include "../common/err.h"

#define SUPERVISE_MAX 2

struct daemon {
    /* Set by the owner before supervise_add. */
    const char *name;
    const char *const *argv;
    int stop_signal;

    /* Read freely. */
    pid_t pid;  /* 0: it does not run */
    int status; /* of waitpid, of its last death */
    struct restart restart;
    char last_line[LOGS_TEXT_MAX]; /* of those that matter, in this life or an earlier one */

    bool spoke; /* it is of this life */
    mono_us started;
    int output[2];
    struct lines lines;
    struct supervisor *supervisor;
};

struct supervisor {
    struct screen *screen;
    struct logs *logs;
    int stop_fd;    /* from process_catch_stop; not owned */
    int child_fd;   /* signalfd of SIGCHLD */
    bool stopping;  /* nothing is started again */
    unsigned stops; /* how often a stop was asked for */
    struct daemon *daemons[SUPERVISE_MAX];
    size_t count;
};

/* Aborts when the kernel has no descriptor left for it. */
void supervise_init(struct supervisor *supervisor, struct screen *screen, struct logs *logs,
                    int stop_fd);

/* Starts a daemon and keeps it running; it must outlive the supervisor. */
void supervise_add(struct supervisor *supervisor, struct daemon *daemon);

/* Waits for something to happen, for at most timeout_ms, and handles it. */
void supervise_turn(struct supervisor *supervisor, int timeout_ms);

/* Asks a daemon to stop and waits. It is killed when timeout_ms have passed, or another stop was
 * asked for meanwhile. Returns whether it went by itself; also when it did not run. No daemon is
 * started again from the first call on.
 */
bool supervise_stop(struct supervisor *supervisor, struct daemon *daemon, int timeout_ms);

/* Starts one daemon again after that, to clean up behind itself; false when it cannot be. */
bool supervise_start_once(struct supervisor *supervisor, struct daemon *daemon);

void supervise_finish(struct supervisor *supervisor);

#endif
