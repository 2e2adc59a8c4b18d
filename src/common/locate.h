/* Where the files are that belong to this program: in its build folder, or as it was installed. */
#ifndef COMMON_LOCATE_H
#define COMMON_LOCATE_H

#include "err.h"

#include <limits.h>

/* This program's own file. Ask before it can be replaced: afterwards its name is lost. */
int locate_self(char path[PATH_MAX], struct err *err);

/* A file that came with the program at `self`: built/NAME in a build folder, installed/NAME below
 * the prefix, or NAME beside the program; the first that is there. Fails naming all three.
 */
int locate_file(char path[PATH_MAX], const char *self, const char *built, const char *installed,
                const char *name, struct err *err);

#endif
