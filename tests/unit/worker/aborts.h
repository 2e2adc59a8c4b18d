/* Whether a call ends its process by abort(), found out in a child. */
#ifndef TESTS_WORKER_ABORTS_H
#define TESTS_WORKER_ABORTS_H

#include "../../support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool aborts(void (*call)(void *data), void *data)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0); /* no core file */
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        call(data);
        _exit(0);
    }
    if (child < 0)
        fail_msg("fork: %s", strerror(errno));
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
        ;
    if (ended != child)
        fail_msg("waitpid: %s", strerror(errno));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        return true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the call ended its process with status %#x", (unsigned)status);
    return false;
}

#endif
