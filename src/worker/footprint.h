/* What a worker has on its host: all that could be left behind by runners, told in such words that
 * two moments can be compared. It is the only way to see that from elsewhere: `codeland selftest`.
 */
#ifndef WORKER_FOOTPRINT_H
#define WORKER_FOOTPRINT_H

#include "cgroup.h"

#include <jansson.h>

#define FOOTPRINT_LINES_MAX 600 /* of one list; the rest is told as a number and a checksum */
#define FOOTPRINT_LINE_MAX 200  /* bytes of one; a longer one is cut and told with its checksum */
#define FOOTPRINT_HELPERS 2

struct footprint_ground {
    const struct cgroup *cgroup;      /* NULL: without groups */
    uint64_t ids_first, ids_end;      /* host ids of all runners: ids_first <= id < ids_end */
    pid_t helpers[FOOTPRINT_HELPERS]; /* processes of the worker's own; 0: there is none */
    const char *run_dir;
};

/* A new object; docs/protocol.md describes it. names: those of the runners that the worker knew a
 * moment ago, an array; busy: how many of them were being made or removed. Blocks; touches nothing
 * that changes, so that a thread may do it.
 */
json_t *footprint_take(const struct footprint_ground *ground, const json_t *names, unsigned busy);

/* An array of the text's lines, sorted, within both bounds; a blank line is left out. */
json_t *footprint_lines(const char *text);

#endif
