/* A growable byte buffer with a cap: no string from outside grows without a bound. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NUL-terminated after every append; NULL while empty */
    size_t len;
    size_t room; /* bytes allocated */
    size_t cap;  /* len never exceeds it */
};

/* An empty buffer that holds up to cap bytes (cap < SIZE_MAX / 2); finish frees its memory, not the
 * object. */
void buf_init(struct buf *buf, size_t cap);
void buf_finish(struct buf *buf);

/* Append bytes; false (and nothing appended) when the cap would be passed. Aborts when the
 * machine has no memory.
 */
bool buf_append(struct buf *buf, const void *data, size_t len);
bool buf_append_str(struct buf *buf, const char *text);
bool buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forget the first len bytes (len <= buf->len). */
void buf_drop(struct buf *buf, size_t len);

/* Forget all bytes; the memory is kept for reuse. */
void buf_clear(struct buf *buf);

/* The bytes as a malloc'ed, NUL-terminated string that the caller owns; buf is empty after. */
char *buf_steal(struct buf *buf);

#endif
