/* Figures of the host: memory, disk, load. All cheap reads of /proc and statvfs. */
#ifndef WORKER_HOSTINFO_H
#define WORKER_HOSTINFO_H

#include <jansson.h>
#include <stdint.h>

struct host_memory {
    int64_t total, free, available, swap_total,
        swap_free; /* bytes; all 0 when /proc is unreadable */
};

void hostinfo_memory(struct host_memory *memory);

/* The same out of the text of /proc/meminfo (proc(5)). */
void hostinfo_parse_memory(const char *text, struct host_memory *memory);

/* How many processes and threads the host can have at once: the least of kernel.pid_max and
 * kernel.threads-max; 0 when they cannot be read.
 */
int64_t hostinfo_processes_most(void);

/* Percent of memory that is not available, 0..100. */
unsigned hostinfo_memory_used_percent(const struct host_memory *memory);

/* The "memory", "disk" and "load" members of a SNAPSHOT, set in object. path: whose disk. */
void hostinfo_describe(json_t *object, const char *path);

#endif
