/* Faults on request. In a build with -Dfaults=true, what the kernel or a library may refuse can be
 * made to fail: FAULT(POINT, failure, call) is the call, or, when the point's turn has come, the
 * failure with errno set. In every other build it is the call and nothing else.
 *
 * CODELAND_FAULTS names a file of one row a point of fault.def, made at the program's start and
 * shared with every process that it forks: whoever has the file open says in it which point shall
 * fail, and sees what has been passed. Without it nothing ever fails.
 */
#ifndef COMMON_FAULT_H
#define COMMON_FAULT_H

#ifdef CODELAND_FAULTS

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_point {
#define FAULT_POINT(name, error, phase) FAULT_##name,
#include "fault.def"
#undef FAULT_POINT
    FAULT_POINTS,
};

/* In the file, in this machine's byte order. */
struct fault_row {
    char name[24], phase[16];
    uint64_t passed; /* how often the point was passed */
    uint64_t raised; /* how often it failed */
    uint64_t left;   /* the passage that will fail: 1 is the next, 0 none */
    uint64_t every;  /* what `left` becomes then; 0: no more failures */
};

/* Counts the passage. True, with errno set, when it shall fail. From any thread or process. */
bool fault_due(enum fault_point point);

#define FAULT(point, failure, call) (fault_due(FAULT_##point) ? (failure) : (call))

#else

#define FAULT(point, failure, call) (call)

#endif
#endif
