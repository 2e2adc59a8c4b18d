/* Folders for a test, and file systems so small that they fill up. */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

#include <limits.h>
#include <stdbool.h>

/* Gives the process its own mount table, so that what scratch_small mounts is gone with it. Call
 * first in main, before any thread. Fails the program when the machine does not let it.
 */
void scratch_own_mounts(void);

/* A new folder below the system's temporary one; scratch_remove removes it, mounts and all. */
void scratch_make(char path[PATH_MAX]);
void scratch_remove(const char *path);

/* Mounts a tmpfs of that many bytes on a folder below. */
void scratch_small(const char *path, unsigned long bytes);

/* Fills what is left of the file system of folder, down to the last byte, with a file "filler". */
void scratch_fill(const char *folder);
void scratch_unfill(const char *folder);

/* folder/name, in one of a few static buffers: valid for the next seven calls. */
const char *scratch_path(const char *folder, const char *name);

/* Writes text as a file; its text, which is valid until the next call. */
void scratch_write(const char *path, const char *text);
const char *scratch_read(const char *path);
bool scratch_exists(const char *path);

#endif
