#include "chunked.h"

#define SIZE_DIGITS_MAX 15
#define EXTRA_MAX 4096 /* bytes of one size line's extensions, or of all trailers */

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_REQUEST, "chunked body: %s", what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int on_size(struct chunked *chunked, char c, struct err *err)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (++chunked->count > SIZE_DIGITS_MAX)
            return bad(err, "a chunk's size has too many digits");
        chunked->left = chunked->left * 16 + (uint64_t)digit;
        return 0;
    }
    if (chunked->count == 0)
        return bad(err, "a chunk's size is missing");
    chunked->count = 0;
    if (c == '\r')
        chunked->state = CHUNKED_SIZE_LF;
    else if (c == ';' || c == ' ' || c == '\t')
        chunked->state = CHUNKED_EXTENSION;
    else
        return bad(err, "a chunk's size is no hexadecimal number");
    return 0;
}

/* The bytes between chunks, one at a time. */
static int on_byte(struct chunked *chunked, char c, struct err *err)
{
    switch (chunked->state) {
    case CHUNKED_SIZE:
        return on_size(chunked, c, err);
    case CHUNKED_EXTENSION:
        if (c == '\r')
            chunked->state = CHUNKED_SIZE_LF;
        else if (c == '\n' || ++chunked->count > EXTRA_MAX)
            return bad(err, "a chunk's extensions are malformed or too long");
        return 0;
    case CHUNKED_SIZE_LF:
        if (c != '\n')
            return bad(err, "a chunk's size must end with CR LF");
        chunked->count = 0;
        chunked->state = chunked->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER;
        return 0;
    case CHUNKED_DATA_CR:
        if (c != '\r')
            return bad(err, "a chunk is longer than its size says");
        chunked->state = CHUNKED_DATA_LF;
        return 0;
    case CHUNKED_DATA_LF:
        if (c != '\n')
            return bad(err, "a chunk must end with CR LF");
        chunked->state = CHUNKED_SIZE;
        return 0;
    case CHUNKED_TRAILER:
        if (c == '\r') {
            chunked->state = CHUNKED_LAST_LF;
            return 0;
        }
        chunked->state = CHUNKED_TRAILER_LINE;
        /* fallthrough */
    case CHUNKED_TRAILER_LINE:
        if (c == '\r')
            chunked->state = CHUNKED_TRAILER_LF;
        else if (c == '\n' || ++chunked->count > EXTRA_MAX)
            return bad(err, "the trailers are malformed or too long");
        return 0;
    case CHUNKED_TRAILER_LF:
        if (c != '\n')
            return bad(err, "a trailer must end with CR LF");
        chunked->state = CHUNKED_TRAILER;
        return 0;
    case CHUNKED_LAST_LF:
        if (c != '\n')
            return bad(err, "the body must end with CR LF");
        chunked->state = CHUNKED_DONE;
        return 0;
    default:
        return 0;
    }
}

long chunked_next(struct chunked *chunked, const char *data, size_t len, const char **body,
                  size_t *body_len, struct err *err)
{
    size_t at = 0;
    *body_len = 0;
    while (at < len && chunked->state != CHUNKED_DONE) {
        if (chunked->state != CHUNKED_DATA) {
            if (on_byte(chunked, data[at++], err) != 0)
                return -1;
            continue;
        }
        size_t piece = len - at < chunked->left ? len - at : (size_t)chunked->left;
        *body = data + at;
        *body_len = piece;
        chunked->left -= piece;
        if (chunked->left == 0)
            chunked->state = CHUNKED_DATA_CR;
        return (long)(at + piece);
    }
    return (long)at;
}
