/* Recognises a whole answer in what a connection has received: HTTP/1.1 with a Content-Length, or
 * the link's frames up to RESULT or LINK_ERROR.
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include "../src/common/buf.h"

enum answer_protocol { ANSWER_HTTP, ANSWER_FRAMES };

struct answer {
    int status;       /* HTTP's; of frames, 200 for RESULT, else that of the error */
    bool as_expected; /* the text was found in the body, or in what STDOUT carried */
    const char *body; /* HTTP's, or RESULT's payload; points into the buffer */
    size_t body_len;
    size_t used; /* bytes of the buffer that the answer takes up */
};

/* 1: *answer is set. 0: more must come. -1: this is no answer. */
int answer_find(enum answer_protocol protocol, const struct buf *received, const char *expected,
                struct answer *answer);

/* The number behind "name": in a body; false when there is none. */
bool answer_number(const struct answer *answer, const char *name, double *number);

#endif
