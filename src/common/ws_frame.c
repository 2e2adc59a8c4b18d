#include "ws_frame.h"

#include <string.h>

#define FIN 0x80
#define RESERVED 0x70
#define MASKED 0x80
#define LEN_16 126
#define LEN_64 127

size_t ws_head_put(unsigned char head[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t len,
                   const unsigned char *mask)
{
    size_t at = 2, bytes = len < LEN_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
    head[0] = (unsigned char)((fin ? FIN : 0) | opcode);
    head[1] = bytes == 0 ? (unsigned char)len : bytes == 2 ? LEN_16 : LEN_64;
    for (size_t i = 0; i < bytes; i++)
        head[at++] = (unsigned char)(len >> (8 * (bytes - 1 - i)));
    if (mask) {
        head[1] |= MASKED;
        memcpy(head + at, mask, 4);
        at += 4;
    }
    return at;
}

void ws_mask(char *to, const char *from, size_t len, const unsigned char mask[4], uint64_t offset)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (char)((unsigned char)from[i] ^ mask[(offset + i) & 3]);
}

static bool is_control(enum ws_opcode opcode)
{
    return opcode >= WS_CLOSE;
}

/* How long the head is, as far as it has come. */
static size_t head_size(const struct ws_reader *reader)
{
    if (reader->head_len < 2)
        return 2;
    unsigned len = reader->head[1] & ~MASKED & 0xFF;
    size_t extended = len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0;
    return 2 + extended + (reader->head[1] & MASKED ? 4 : 0);
}

static const char *check_opcode(const struct ws_reader *reader)
{
    switch (reader->opcode) {
    case WS_CONTINUATION:
        return reader->message ? NULL : "a continuation of no message";
    case WS_TEXT:
    case WS_BINARY:
        return reader->message ? "a message inside another" : NULL;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        if (!reader->fin)
            return "a control frame in fragments";
        return reader->len > WS_CONTROL_MAX ? "a control frame of more than 125 bytes" : NULL;
    default:
        return "an unknown opcode";
    }
}

/* NULL when the head is fine. */
static const char *begin_frame(struct ws_reader *reader)
{
    const unsigned char *head = reader->head;
    size_t at = 2;
    uint64_t len = head[1] & 0x7F;
    size_t extended = len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0;
    bool masked = head[1] & MASKED;
    if (head[0] & RESERVED)
        return "reserved bits are set";
    if (masked != reader->server)
        return masked ? "a masked frame from a server" : "a frame that is not masked";
    if (extended > 0)
        len = 0;
    for (size_t i = 0; i < extended; i++)
        len = len << 8 | head[at++];
    if ((extended == 2 && len < LEN_16) || (extended == 8 && (len <= UINT16_MAX || len >> 63)))
        return "a length in too many bytes";
    if (masked)
        memcpy(reader->mask, head + at, 4);
    reader->fin = head[0] & FIN;
    reader->opcode = head[0] & 0x0F;
    reader->len = len;
    reader->at = 0;
    reader->in_frame = true;
    reader->head_len = 0;
    const char *why = check_opcode(reader);
    if (!why && (reader->opcode == WS_TEXT || reader->opcode == WS_BINARY)) {
        reader->message = reader->opcode;
        reader->fresh = true;
    }
    return why;
}

static size_t read_head(struct ws_reader *reader, const char *data, size_t len, const char **why)
{
    size_t used = 0, size;
    while (reader->head_len < (size = head_size(reader)) && used < len) {
        size_t missing = size - reader->head_len;
        size_t step = missing < len - used ? missing : len - used;
        memcpy(reader->head + reader->head_len, data + used, step);
        reader->head_len += step;
        used += step;
    }
    if (reader->head_len == head_size(reader) && reader->head_len >= 2)
        *why = begin_frame(reader);
    return used;
}

/* RFC 6455, section 7.4: what may stand in a close frame. */
static bool code_valid(int code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static const char *end_control(struct ws_reader *reader, struct ws_piece *piece)
{
    piece->opcode = reader->opcode;
    piece->data = reader->control;
    piece->len = (size_t)reader->len;
    piece->first = piece->last = true;
    reader->in_frame = false;
    if (reader->opcode != WS_CLOSE)
        return NULL;
    piece->code = WS_CODE_NONE;
    if (reader->len == 0)
        return NULL;
    if (reader->len == 1)
        return "a close frame with half a code";
    piece->code = (unsigned char)reader->control[0] << 8 | (unsigned char)reader->control[1];
    piece->data += 2;
    piece->len -= 2;
    return code_valid(piece->code) ? NULL : "a close code that must not be sent";
}

static size_t read_payload(struct ws_reader *reader, const char *data, size_t len, char *to,
                           size_t room)
{
    uint64_t left = reader->len - reader->at;
    size_t step = len < room ? len : room;
    if (left < step)
        step = (size_t)left;
    if (reader->server)
        ws_mask(to, data, step, reader->mask, reader->at);
    else if (step > 0)
        memcpy(to, data, step);
    reader->at += step;
    return step;
}

long ws_read(struct ws_reader *reader, const char *data, size_t len, char *scratch, size_t room,
             struct ws_piece *piece, const char **why)
{
    *piece = (struct ws_piece){.opcode = WS_CONTINUATION};
    *why = NULL;
    size_t used = 0;
    if (!reader->in_frame)
        used = read_head(reader, data, len, why);
    if (*why)
        return -1;
    if (!reader->in_frame)
        return (long)used;
    if (is_control(reader->opcode)) {
        size_t at = (size_t)reader->at;
        used += read_payload(reader, data + used, len - used, reader->control + at,
                             sizeof(reader->control) - at);
        if (reader->at == reader->len)
            *why = end_control(reader, piece);
        return *why ? -1 : (long)used;
    }
    size_t step = read_payload(reader, data + used, len - used, scratch, room);
    bool over = reader->at == reader->len;
    reader->in_frame = !over;
    if (step == 0 && !over)
        return (long)used;
    *piece = (struct ws_piece){
        .opcode = reader->message,
        .data = scratch,
        .len = step,
        .first = reader->fresh,
        .last = over && reader->fin,
    };
    reader->fresh = false;
    if (piece->last)
        reader->message = WS_CONTINUATION;
    return (long)(used + step);
}
