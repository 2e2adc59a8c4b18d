/* Shell patterns over the name of one file: *, ?, [a-z], [!a-z], \ before a character. As fnmatch
 * with FNM_PERIOD in the C locale, but without its tables, which the agent cannot afford.
 */
#ifndef COMMON_GLOB_H
#define COMMON_GLOB_H

#include <stdbool.h>

/* Whether the pattern has anything in it that is more than its own text. */
bool glob_is_pattern(const char *text);

/* Whether all of name matches: bytes, not characters; a period that it begins with is matched by a
 * period alone. Takes at most the product of both lengths.
 */
bool glob_match(const char *pattern, const char *name);

#endif
