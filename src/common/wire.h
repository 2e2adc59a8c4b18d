/* Little-endian numbers and length-prefixed strings: what the agent's binary messages are made
 * of. A reader never reads past its end: after the first shortfall it is `bad` and yields zeros.
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void wire_put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

static inline uint32_t wire_get_u32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

struct wire_reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

struct wire_writer {
    unsigned char *data;
    size_t len, room;
    bool full; /* something did not fit and was left out */
};

uint32_t wire_read_u32(struct wire_reader *reader);
uint64_t wire_read_u64(struct wire_reader *reader);

/* A string sent as u32 length, bytes, NUL: usable in place, no copy. "" and bad when the length
 * does not fit, the NUL is missing, or one is inside.
 */
const char *wire_read_str(struct wire_reader *reader);

/* Whether everything was read and nothing is left over. */
bool wire_read_done(const struct wire_reader *reader);

void wire_write_u32(struct wire_writer *writer, uint32_t value);
void wire_write_u64(struct wire_writer *writer, uint64_t value);
void wire_write_str(struct wire_writer *writer, const char *text);

#endif
