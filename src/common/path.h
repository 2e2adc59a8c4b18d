/* Names of files that come from outside: relative, and staying inside the folder they start from.
 */
#ifndef COMMON_PATH_H
#define COMMON_PATH_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>

#define PATH_INSIDE_MAX 1024 /* bytes of a path */
#define PATH_PART_MAX 255    /* bytes of one component */

/* 0 when path (len bytes, valid UTF-8 or not) is relative, has components of 1..PATH_PART_MAX
 * bytes, none of them "." or "..", no control characters and at most PATH_INSIDE_MAX bytes. Else -1
 * with ERR_BAD_REQUEST that says what is wrong, without the path.
 */
int path_check_inside(const char *path, size_t len, struct err *err);

/* The same, and UTF-8. */
bool path_is_inside(const char *path, size_t len);

#endif
