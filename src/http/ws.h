/* A WebSocket: what a connection becomes when a handler takes it over. ws.c does the protocol's
 * chores (masks, fragments, pings, closing); its user has messages.
 *
 * A token comes in a header as everywhere. A browser's script, which cannot set any, offers the
 * subprotocols of its route and WS_TOKEN_PROTOCOL with the token behind it. No cookie is looked at,
 * so a foreign page has nothing to borrow, and Origin does not matter.
 */
#ifndef HTTP_WS_H
#define HTTP_WS_H

#include "../common/ws_frame.h"
#include "exchange.h"

#define WS_TOKEN_PROTOCOL "codeland.token."

struct ws;

/* All fire from the loop. The last is closed, exactly once: the WebSocket must not be touched after
 * it. None fires inside a call of the functions below.
 */
struct ws_ops {
    /* A whole text message of at most text_max bytes, valid UTF-8. */
    void (*text)(const char *text, size_t len, void *data);

    /* Bytes of a binary message, as they come. */
    void (*binary)(const char *bytes, size_t len, bool first, void *data);

    /* The socket takes more, after ws_blocked. */
    void (*writable)(void *data);

    /* The client wants no more, or has gone. */
    void (*closed)(void *data);
};

/* Whether the request asks for a WebSocket in order; err says what is missing. */
int ws_check(const struct exchange *exchange, struct err *err);

/* Answers 101. ops must outlive it. protocol is what is chosen of the offered ones, when it was
 * offered.
 */
struct ws *ws_accept(struct exchange *exchange, const char *protocol, size_t text_max,
                     const struct ws_ops *ops, void *data);

/* The connection ends then; 0: never. */
void ws_set_deadline(struct ws *ws, int64_t ms);

/* The longest text from now on. */
void ws_set_text_max(struct ws *ws, size_t text_max);

/* Sends a frame whose payload is both parts, FRAME_DATA_MAX + 1 bytes at most; what the kernel does
 * not take is kept, so look at ws_blocked before the next. Does nothing once it is closing.
 */
void ws_send(struct ws *ws, enum ws_opcode opcode, bool fin, const void *head, size_t head_len,
             const void *payload, size_t len);
bool ws_blocked(const struct ws *ws);

/* Takes no messages for now: a client that goes on sending is stopped by TCP. Control frames wait
 * as well.
 */
void ws_hold(struct ws *ws, bool hold);

/* Says why, and waits a moment for the client to close. closed still comes. */
void ws_close(struct ws *ws, enum ws_code code, const char *reason);

#endif
