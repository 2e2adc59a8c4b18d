/* base64 (RFC 4648, section 4): the one alphabet, padding required, nothing else accepted. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>

/* Characters that len bytes become. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes len bytes as BASE64_LEN(len) characters, without a NUL; returns how many. A text that is
 * made piece by piece has pieces of whole groups of three bytes before the last.
 */
size_t base64_encode(const void *data, size_t len, char *to);

/* Bytes that base64_decode may write for a text of len. */
#define BASE64_ROOM(len) ((len) / 4 * 3)

/* Decodes len bytes of text into to; 0 with *written, or -1 and *wrong is where it is no base64. */
int base64_decode(const char *text, size_t len, unsigned char *to, size_t *written, size_t *wrong);

#endif
