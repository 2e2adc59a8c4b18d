/* One request and its answer, as a route's handler sees it.
 *
 * A handler answers exactly once, at once or later; from then on the exchange must not be touched.
 * If the client goes before that, the function given to exchange_on_gone is called instead.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "../common/clock.h"
#include "../common/config.h"
#include "../common/languages.h"
#include "../manager/fleet.h"
#include "../manager/op.h"
#include "../manager/tokens.h"
#include "../manager/workers.h"
#include "head.h"
#include "json_writer.h"

#include <uv.h>

#define EXCHANGE_ID_LEN 16
#define EXCHANGE_PATH_MAX 160
#define EXCHANGE_QUERY_MAX 256

struct provisioner;

/* What all handlers work with. */
struct app {
    uv_loop_t *loop;
    const struct config *config;
    struct fleet *fleet;
    struct workers *workers;
    struct tokens *tokens;
    struct provisioner *provisioner;
    const struct languages *languages;
};

struct exchange {
    const struct app *app;
    char id[EXCHANGE_ID_LEN + 1];
    mono_us received; /* when the head was read */
    enum http_method method;
    char path[EXCHANGE_PATH_MAX + 1];   /* as sent, cut if it was longer; for the log */
    char query[EXCHANGE_QUERY_MAX + 1]; /* as sent */
    char runner[NAME_MAX_LEN + 1];      /* the path's :runner */
    char worker[NAME_MAX_LEN + 1];      /* the path's :worker */
    char owner[TOKEN_OWNER_MAX + 1];    /* who asks; "" on a route that needs no token */
    bool admin;
    bool event_stream;            /* the answer is wanted as Server-Sent Events */
    const struct http_head *head; /* valid until the handler returns; NULL after a body */
    const char *body;             /* valid until the handler returns */
    size_t body_len;

    void (*gone)(struct exchange *exchange, void *data);
    void *gone_data;
};

/* gone fires at most once, never after an answer; it must not answer. */
void exchange_on_gone(struct exchange *exchange,
                      void (*gone)(struct exchange *exchange, void *data), void *data);

/* Milliseconds since the request was received. */
double exchange_ms(const struct exchange *exchange);

/* A parameter of the query, as http_query_get. */
bool exchange_query(const struct exchange *exchange, const char *name, char *text, size_t room,
                    bool *valid);

/* Answers with JSON; the buffer's contents are taken, the buffer is empty after. */
#define EXCHANGE_ANSWER_MAX (64 * 1024 * 1024)
void exchange_answer(struct exchange *exchange, int status, struct buf *take_json);

/* Answers {"name","message","runner"?,"duration"?,"requestId"}. */
void exchange_fail(struct exchange *exchange, const struct err *err);
void exchange_fail_with(struct exchange *exchange, const struct failure *failure);

/* That object, for an answer that has begun; an internal error is logged. */
void exchange_failure_json(const struct exchange *exchange, const struct failure *failure,
                           struct buf *text);

/* Answers with a text that is made while it is sent, in pieces that fit a buffer. read returns 0 at
 * the end only, and gets room for EXCHANGE_PIECE_LEAST bytes at least; source is destroyed when it
 * is done with. runner is for the log.
 *
 * A live source may return ANSWER_LATER: exchange_wake, the one thing that may be done with the
 * exchange until the source is destroyed, has it read again. It is also destroyed when the client
 * goes. While it has more to come (its `live`) a client may take as long to read as it likes.
 */
#define EXCHANGE_PIECE_LEAST 64
#define ANSWER_LATER SIZE_MAX
struct answer_source {
    void *self;
    size_t (*read)(void *self, char *to, size_t room);
    void (*destroy)(void *self);
    bool (*live)(void *self); /* NULL: never */
    const char *type;         /* NULL: application/json */
};
void exchange_stream(struct exchange *exchange, int status, const char *runner,
                     const struct answer_source *take_source);

/* The source may be read and destroyed inside. */
void exchange_wake(struct exchange *exchange);

#endif
