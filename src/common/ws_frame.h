/* WebSocket frames (RFC 6455), read and written by either side. Pure functions over bytes. */
#ifndef COMMON_WS_FRAME_H
#define COMMON_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Why a connection is closed, RFC 6455, section 7.4.1. */
enum ws_code {
    WS_CODE_NORMAL = 1000,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_NONE = 1005, /* a close frame without a code; never sent */
    WS_CODE_NOT_UTF8 = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_BIG = 1009,
    WS_CODE_INTERNAL = 1011,
};

#define WS_HEAD_MAX 14
#define WS_CONTROL_MAX 125

/* Writes the head of a frame of len bytes; mask: four bytes, which a client must have, or NULL.
 * Returns its length.
 */
size_t ws_head_put(unsigned char head[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t len,
                   const unsigned char *mask);

/* Masks, or unmasks, bytes whose first is at `offset` in its frame. to may be from. */
void ws_mask(char *to, const char *from, size_t len, const unsigned char mask[4], uint64_t offset);

/* Start from {.server = ...}. */
struct ws_reader {
    bool server; /* frames must be masked; else they must not be */
    unsigned char head[WS_HEAD_MAX];
    size_t head_len;
    bool in_frame, fin;
    bool fresh;             /* the message's first piece has not been told */
    enum ws_opcode opcode;  /* of the frame */
    enum ws_opcode message; /* that is going on, or WS_CONTINUATION */
    unsigned char mask[4];
    uint64_t len, at; /* of the frame's payload */
    char control[WS_CONTROL_MAX];
};

/* What came: a piece of a message, or a whole control frame. */
struct ws_piece {
    enum ws_opcode opcode; /* WS_TEXT or WS_BINARY for pieces; WS_CONTINUATION: nothing yet */
    const char *data;
    size_t len;
    bool first, last; /* of its message */
    int code;         /* of a WS_CLOSE, whose data is the reason */
};

/* Reads some of data and says how much; pieces are as long as room at most, and are unmasked into
 * scratch. Called again with the rest until all is read. -1 when it is no WebSocket: *why.
 */
long ws_read(struct ws_reader *reader, const char *data, size_t len, char *scratch, size_t room,
             struct ws_piece *piece, const char **why);

#endif
