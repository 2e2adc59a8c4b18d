/* The head of an HTTP/1 request: request line and headers. A pure function over bytes, strict where
 * leniency lets two programs see two different requests (RFC 9112, section 11.2).
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "../common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 32768 /* bytes, all of it */
#define HTTP_HEADERS_MAX 100

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER, /* a token that we do not know */
};

/* len bytes of somebody else's memory; text is NULL when it was not there. */
struct http_slice {
    const char *text;
    size_t len;
};

struct http_head {
    enum http_method method;
    struct http_slice path;  /* as sent, percent-encoded; begins with '/', or is "*" */
    struct http_slice query; /* after the '?' */
    bool version_1_1;        /* else 1.0 */
    bool keep_alive;         /* what version and Connection ask for */
    bool expect_continue;
    bool chunked;
    bool has_length;
    uint64_t content_length; /* 0 unless has_length */
    struct http_slice authorization, auth_token, content_type;
    struct http_slice ws_key, ws_version, ws_protocols; /* Sec-WebSocket-... */
    bool upgrade_ws;    /* Upgrade and Connection ask for a WebSocket */
    bool accept_events; /* Accept names text/event-stream */
};

enum http_head_status { HTTP_HEAD_OK, HTTP_HEAD_MORE, HTTP_HEAD_BAD };

/* Looks for a head at the start of data. OK: *used bytes are done with, the slices point into data.
 * BAD: err says what is wrong (ERR_BAD_REQUEST, ERR_HEADERS_TOO_LARGE) and the connection cannot
 * go on, because nobody knows where the next request begins.
 */
enum http_head_status http_head_parse(const char *data, size_t len, struct http_head *head,
                                      size_t *used, struct err *err);

/* The next of a header's comma-separated values, cut off the front of rest. */
bool http_list_next(struct http_slice *rest, struct http_slice *item);

/* "GET", ...; "OTHER" for HTTP_OTHER. */
const char *http_method_name(enum http_method method);

/* Percent-decodes into text (NUL-terminated), '+' as a blank when plus is set. False when it does
 * not fit, an escape is malformed, or a NUL would come out.
 */
bool http_decode(struct http_slice slice, bool plus, char *text, size_t room);

/* The decoded value of the first such parameter; false when it is not there. *valid tells whether
 * it could be decoded into room. A parameter without '=' has the value "".
 */
bool http_query_get(struct http_slice query, const char *name, char *text, size_t room,
                    bool *valid);

#endif
