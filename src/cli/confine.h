/* A child that works on what anybody may have sent: it sees one folder and two descriptors. */
#ifndef CLI_CONFINE_H
#define CLI_CONFINE_H

#include "../common/err.h"

#include <stdint.h>
#include <sys/types.h>

struct confine_spec {
    const char *folder; /* becomes its root and its working folder */
    int input, output;  /* its descriptors 0 and 3, all others are closed (1 and 2: /dev/null) */
    uint64_t keep;      /* of root's capabilities: the bits 1 << CAP_... */
    int (*run)(void *data); /* with what exit code it ends */
    void *data;             /* of the parent's memory, as it was */
};

#define CONFINE_OUTPUT 3

/* Starts it, as root: in pid, network, ipc and mount namespaces of its own, with no way to further
 * rights, no core dumps; it dies with this process. Returns its pid for waitpid, or -1. What of it
 * cannot be had ends the child with CONFINE_FAILED. Not for a process with threads.
 */
#define CONFINE_FAILED 125
pid_t confine_start(const struct confine_spec *spec, struct err *err);

#endif
