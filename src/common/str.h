/* Strings and numbers, checked: formatting reports truncation, parsing takes the whole text. */
#ifndef COMMON_STR_H
#define COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* snprintf that says whether all of it fitted; room is never 0. */
bool str_format(char *text, size_t room, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A decimal integer in min..max that is the whole text: no sign but '-', no blanks. */
bool str_to_int(const char *text, int64_t min, int64_t max, int64_t *value);

bool str_starts_with(const char *text, const char *prefix);

/* The longest prefix of text (len bytes) that is valid UTF-8; len when all of it is.
 * RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF.
 */
size_t str_utf8_valid(const char *text, size_t len);

#endif
