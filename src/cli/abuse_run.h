/* Running a case of the abuse catalogue over the API, and judging what came of it. */
#ifndef CLI_ABUSE_RUN_H
#define CLI_ABUSE_RUN_H

#include "abuse_case.h"

#include <jansson.h>

struct abuse_target {
    const char *address; /* of the API */
    const char *token;
    const char *prelude; /* what every Python case begins with */
};

struct abuse_outcome {
    bool held;
    char why[400];    /* what did not hold, in a person's words; "" when all did */
    char status[100]; /* how its runs ended */
    double took_ms;
};

/* Runs it, all its runs side by side, and then a small program that must be served as ever. Blocks;
 * several threads may do it at once.
 */
void abuse_run(const struct abuse_case *abuse, const struct abuse_target *target,
               struct abuse_outcome *outcome);

/* The body of one of its runs; a new reference. number: from 1. */
json_t *abuse_request(const struct abuse_case *abuse, const struct abuse_target *target,
                      int64_t number);

/* What the answer to it says: "" in why when it holds. status is written in both cases. */
bool abuse_judge(const struct abuse_case *abuse, int http_status, const char *body, size_t len,
                 char status[32], char why[400]);

#endif
