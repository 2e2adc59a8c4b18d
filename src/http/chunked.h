/* The chunked transfer coding of a request's body (RFC 9112, section 7.1). A pure function over
 * bytes: trailers and chunk extensions are read over, nothing is allocated.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include "../common/err.h"

#include <stddef.h>
#include <stdint.h>

/* Start from {0}. */
struct chunked {
    enum {
        CHUNKED_SIZE,
        CHUNKED_EXTENSION,
        CHUNKED_SIZE_LF,
        CHUNKED_DATA,
        CHUNKED_DATA_CR,
        CHUNKED_DATA_LF,
        CHUNKED_TRAILER, /* at the start of a line */
        CHUNKED_TRAILER_LINE,
        CHUNKED_TRAILER_LF,
        CHUNKED_LAST_LF,
        CHUNKED_DONE,
    } state;
    uint64_t left;  /* of the chunk */
    unsigned count; /* digits of the size, then bytes of extensions or trailers */
};

/* Takes bytes from the front of data up to the next piece of body: returns how many, or -1 with
 * err. *body, *body_len are that piece (len 0: none yet). The body is over in CHUNKED_DONE; call
 * again while bytes are left and it is not.
 */
long chunked_next(struct chunked *chunked, const char *data, size_t len, const char **body,
                  size_t *body_len, struct err *err);

#endif
