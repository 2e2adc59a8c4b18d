/* The frame codec, on a stream of frames. */
#include "fuzz.h"

#include "../../src/common/frame.h"

static void check_frame(const uint8_t *data, const struct frame *frame, size_t used)
{
    unsigned char header[FRAME_HEADER_LEN];
    must((const uint8_t *)frame->payload == data + FRAME_HEADER_LEN);
    must(used == FRAME_HEADER_LEN + (size_t)frame->len);
    must((int64_t)frame->len <= frame_max_len(frame->type));
    must(strcmp(frame_name(frame->type), "unknown") != 0);
    frame_put_header(header, frame->type, frame->flags, frame->len);
    must(memcmp(header, data, sizeof(header)) == 0); /* one frame, one form */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct frame frame, again;
        size_t used, needed;
        enum frame_status status = frame_parse(data + at, size - at, &frame, &used);
        if (status == FRAME_MORE) {
            must(used > size - at && used <= FRAME_HEADER_LEN + FRAME_CONTROL_MAX);
            break;
        }
        for (size_t cut = 0; cut < FRAME_HEADER_LEN && cut < size - at; cut++)
            must(frame_parse(data + at, cut, &again, &needed) == FRAME_MORE);
        if (status == FRAME_BAD)
            break;
        check_frame(data + at, &frame, used);
        if (frame.len > 0) {
            must(frame_parse(data + at, used - 1, &again, &needed) == FRAME_MORE);
            must(needed == used);
        }
        at += used;
    }
    return 0;
}
