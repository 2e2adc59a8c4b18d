#include "frame.h"

#include "wire.h"

struct kind {
    const char *name;
    int64_t max; /* -1: no such type */
};

#define FRAME(name, number, max, shape)                                                            \
    _Static_assert((max) <= FRAME_##shape##_MAX, #name " is longer than its shape allows");
#include "proto.def"
#undef FRAME

static struct kind kind_of(uint8_t type)
{
    switch (type) {
#define FRAME(name, number, max, shape)                                                            \
    case number:                                                                                   \
        return (struct kind){#name, max};
#include "proto.def"
#undef FRAME
    }
    return (struct kind){"unknown", -1};
}

void frame_put_header(unsigned char header[FRAME_HEADER_LEN], uint8_t type, uint8_t flags,
                      uint32_t len)
{
    header[0] = type;
    header[1] = flags;
    header[2] = 0;
    header[3] = 0;
    wire_put_u32(header + 4, len);
}

enum frame_status frame_parse(const void *data, size_t len, struct frame *frame, size_t *used)
{
    const unsigned char *bytes = data;
    if (len < FRAME_HEADER_LEN) {
        *used = FRAME_HEADER_LEN;
        return FRAME_MORE;
    }
    *frame = (struct frame){
        .type = bytes[0],
        .flags = bytes[1],
        .len = wire_get_u32(bytes + 4),
        .payload = (const char *)bytes + FRAME_HEADER_LEN,
    };
    int64_t max = kind_of(frame->type).max;
    if (frame->flags != 0 || bytes[2] != 0 || bytes[3] != 0 || (int64_t)frame->len > max)
        return FRAME_BAD;
    *used = FRAME_HEADER_LEN + (size_t)frame->len;
    return len < *used ? FRAME_MORE : FRAME_OK;
}

const char *frame_name(uint8_t type)
{
    return kind_of(type).name;
}

int64_t frame_max_len(uint8_t type)
{
    return kind_of(type).max;
}
