/* Versions of our programs, as they greet each other with: "codeland-worker 0.1.0". */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

#include <stdbool.h>

struct version {
    unsigned numbers[3];
};

/* The last word of text, "1.2.3" with or without "-more" or "+more", which does not count. False
 * when it is none.
 */
bool version_parse(const char *text, struct version *version);

/* Below 0 when a is older than b, 0 when they are the same, above 0 when it is newer. */
int version_compare(const struct version *a, const struct version *b);

#endif
