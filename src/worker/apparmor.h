/* The profiles of codeland.apparmor, on a host that has AppArmor. */
#ifndef WORKER_APPARMOR_H
#define WORKER_APPARMOR_H

#include "../common/err.h"

#include <stdbool.h>

/* Whether this kernel has AppArmor, and it is on. */
bool apparmor_is_on(void);

#define APPARMOR_PARSER "/sbin/apparmor_parser"

/* Has the parser give the kernel the profiles of a file, in place of those of the same names, and
 * waits for its end. What went wrong is told in its first line.
 */
int apparmor_load(const char *parser, const char *file, struct err *err);

#endif
