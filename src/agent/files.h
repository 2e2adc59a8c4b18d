/* The files of an operation: written before its program starts, with the rights of the program's
 * user, never through a link. Functions return 0, or -1 with errno.
 */
#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include "../common/agent_wire.h"

#include <stdbool.h>

/* How many files an operation may have removed at its end. */
#define FILES_UNLINK_MAX 1024

/* How much of an operation's folder is removed at its end, and how deep. */
#define FILES_REMOVE_MAX 1024
#define FILES_REMOVE_DEPTH 16

struct files_trace;

struct files {
    int fd;                     /* being written; -1: none */
    struct files_trace *traces; /* to be removed when the operation is over */
    unsigned trace_count;
    bool ok; /* set by the owner when the program has exited with 0 */
};

void files_init(struct files *files);

/* Makes the folder that msg names, unless it is there. */
int files_make_folder(struct files *files, const struct agent_folder *msg);

/* Creates or empties the file that msg names, and the folders of its name; later writes go there.
 */
int files_begin(struct files *files, const struct agent_file *msg);

/* Appends to the file; EBADF when none was begun. */
int files_write(struct files *files, const void *data, size_t len);

/* No more is written. */
void files_end(struct files *files);

/* The operation is over: what was to be removed is removed, and memory freed. */
void files_finish(struct files *files);

#endif
