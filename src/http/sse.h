/* Server-Sent Events: the text of one event of output. A pure function over bytes. */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes "event: NAME", "data: " with a JSON string, and an empty line, with as much of data as
 * fits; 0 when nothing of it can be told yet, because a character's bytes have not all come (last:
 * no more will). base64: the string is base64 of the bytes, whole in itself. *used is how many
 * bytes of data that took. out has room for SSE_LEAST bytes at least.
 */
#define SSE_LEAST 64
size_t sse_output(const char *name, bool base64, const char *data, size_t len, bool last, char *out,
                  size_t room, size_t *used);

#endif
