/* What a run printed: stdout and stderr, each up to a cap, and the order in which they came. */
#ifndef MANAGER_OUTPUT_H
#define MANAGER_OUTPUT_H

#include "../common/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct output {
    struct buf out, err;
    struct buf turns; /* lengths in LEB128: stdout first, then by turns; at most one byte a byte */
    size_t open_turn; /* bytes of the turn that still grows, not in turns yet */
    bool open_is_err;
};

/* cap: bytes kept of each stream. */
void output_init(struct output *output, size_t cap);
void output_finish(struct output *output);

/* Takes all of `from`, which is empty afterwards; output is as output_init leaves it. */
void output_move(struct output *output, struct output *from);

/* Appends to stdout, or to stderr; false when it did not fit whole (what fits is kept). */
bool output_add(struct output *output, bool is_err, const void *data, size_t len);

/* Walks all bytes in the order in which they came. Start from {0}; false at the end. */
struct output_cursor {
    size_t out_at, err_at, turn_at;
    bool is_err, last;
};
bool output_next(const struct output *output, struct output_cursor *cursor, const char **data,
                 size_t *len);

#endif
