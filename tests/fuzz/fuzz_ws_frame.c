/* WebSocket frames: however they are cut into reads, the same bytes come out, or the same refusal.
 */
#include "fuzz.h"

#include "../../src/common/ws_frame.h"

struct outcome {
    char *bytes; /* of all messages, one after the other */
    size_t len;
    unsigned messages, controls;
    long code; /* the sum of close codes */
    const char *why;
};

static struct outcome decode(const char *data, size_t size, size_t step, size_t room)
{
    struct outcome outcome = {.bytes = malloc(size ? size : 1)};
    struct ws_reader reader = {.server = size > 0 && data[0] & 1};
    char scratch[64];
    for (size_t at = size > 0; at < size;) {
        size_t len = size - at < step ? size - at : step;
        char *copy = malloc(len);
        memcpy(copy, data + at, len);
        struct ws_piece piece;
        long used = ws_read(&reader, copy, len, scratch, room, &piece, &outcome.why);
        free(copy);
        if (used < 0) {
            must(used == -1 && outcome.why);
            return outcome;
        }
        must(used > 0 && (size_t)used <= len);
        at += (size_t)used;
        if (piece.opcode == WS_TEXT || piece.opcode == WS_BINARY) {
            must(piece.len <= room && outcome.len + piece.len <= size);
            memcpy(outcome.bytes + outcome.len, piece.data, piece.len);
            outcome.len += piece.len;
            outcome.messages += piece.last;
        } else if (piece.opcode != WS_CONTINUATION) {
            must(piece.len <= WS_CONTROL_MAX && piece.first && piece.last);
            outcome.controls++;
            outcome.code += piece.code;
        }
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = decode((const char *)data, size, SIZE_MAX, 64);
    static const size_t steps[] = {1, 2, 3, 7};
    for (size_t i = 0; i < 4; i++) {
        struct outcome cut = decode((const char *)data, size, steps[i], 5);
        must(cut.why == whole.why && cut.messages == whole.messages);
        must(cut.controls == whole.controls && cut.code == whole.code && cut.len == whole.len);
        must(memcmp(cut.bytes, whole.bytes, cut.len) == 0);
        free(cut.bytes);
    }
    free(whole.bytes);
    return 0;
}
