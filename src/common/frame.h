/* The frame format of both hops: type u8, flags u8, reserved u16 (0), length u32, payload; all
 * little endian. See proto.def for the types. No allocation: the agent is PID 1 and uses this too.
 */
#ifndef COMMON_FRAME_H
#define COMMON_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_LEN 8
#define FRAME_DATA_MAX 65536
#define FRAME_CONTROL_MAX 1048576

enum frame_type {
#define FRAME(name, number, max, shape) FRAME_##name = number,
#include "proto.def"
#undef FRAME
};

struct frame {
    uint8_t type;  /* enum frame_type, known and checked */
    uint8_t flags; /* none is defined yet: 0 */
    uint32_t len;
    const char *payload; /* len bytes; not NUL-terminated */
};

/* The version of the link between manager and worker, which must be the same on both sides. The
 * agent's hop has its own (AGENT_PROTOCOL).
 */
#define PROTOCOL_VERSION 3

void frame_put_header(unsigned char header[FRAME_HEADER_LEN], uint8_t type, uint8_t flags,
                      uint32_t len);

enum frame_status { FRAME_OK, FRAME_MORE, FRAME_BAD };

/* Look for a frame at the start of data. FRAME_OK: *frame points into data and *used bytes are
 * done with. FRAME_MORE: *used is how many bytes are needed in all before it is worth asking
 * again. FRAME_BAD: unknown type, flags or reserved bits set, or a length over the type's bound;
 * *frame holds the header's type and len for the log.
 */
enum frame_status frame_parse(const void *data, size_t len, struct frame *frame, size_t *used);

/* The name of a type for the log, "unknown" for what is none. */
const char *frame_name(uint8_t type);

/* The longest payload of a type, or -1 for an unknown one. */
int64_t frame_max_len(uint8_t type);

#endif
