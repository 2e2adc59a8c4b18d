#include "output.h"

/* turns holds the lengths of finished turns; a turn is finished when the other stream speaks, so
 * each holds at least one byte (but for the first, if the program began on stderr), and the list
 * can hardly outgrow the bytes it describes.
 */
#define LENGTH_BYTES_MAX 10

void output_init(struct output *output, size_t cap)
{
    *output = (struct output){0};
    buf_init(&output->out, cap);
    buf_init(&output->err, cap);
    buf_init(&output->turns, 2 * cap + LENGTH_BYTES_MAX);
}

void output_move(struct output *output, struct output *from)
{
    struct output empty;
    output_init(&empty, from->out.cap);
    output_finish(output);
    *output = *from;
    *from = empty;
}

void output_finish(struct output *output)
{
    buf_finish(&output->out);
    buf_finish(&output->err);
    buf_finish(&output->turns);
}

static void close_turn(struct output *output)
{
    unsigned char bytes[LENGTH_BYTES_MAX];
    size_t count = 0, left = output->open_turn;
    do {
        bytes[count++] = (unsigned char)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    buf_append(&output->turns, bytes, count);
    output->open_turn = 0;
    output->open_is_err = !output->open_is_err;
}

bool output_add(struct output *output, bool is_err, const void *data, size_t len)
{
    struct buf *stream = is_err ? &output->err : &output->out;
    size_t fits = stream->cap - stream->len;
    bool whole = len <= fits;
    if (!whole)
        len = fits;
    if (len > 0) {
        if (is_err != output->open_is_err)
            close_turn(output);
        buf_append(stream, data, len);
        output->open_turn += len;
    }
    return whole;
}

static size_t next_length(const struct output *output, struct output_cursor *cursor)
{
    size_t length = 0;
    unsigned shift = 0;
    unsigned char byte;
    do {
        byte = (unsigned char)output->turns.data[cursor->turn_at++];
        length |= (size_t)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    return length;
}

bool output_next(const struct output *output, struct output_cursor *cursor, const char **data,
                 size_t *len)
{
    size_t length = 0;
    bool is_err = cursor->is_err;
    while (length == 0) {
        if (cursor->last)
            return false;
        is_err = cursor->is_err;
        if (cursor->turn_at < output->turns.len) {
            length = next_length(output, cursor);
            cursor->is_err = !is_err;
        } else {
            length = output->open_turn;
            cursor->last = true;
        }
    }
    size_t *at = is_err ? &cursor->err_at : &cursor->out_at;
    *data = (is_err ? output->err.data : output->out.data) + *at;
    *len = length;
    *at += length;
    return true;
}
