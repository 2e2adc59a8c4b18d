/* Runs a case of the abuse catalogue over the API and says what came of it. */
#ifndef CLI_ABUSE_RUN_H
#define CLI_ABUSE_RUN_H

#include "abuse_judge.h"

#include "../common/clock.h"

struct abuse_target {
    const char *address; /* of the API */
    const char *token;
    const char *worker;  /* on which the runs shall be; NULL: on any */
    const char *prelude; /* what every Python case begins with */
    const char *hosts;   /* the workers' own addresses, apart by commas; "" when unknown */
    int64_t connections; /* network.connections */
};

struct abuse_outcome {
    enum abuse_verdict verdict;
    char why[ABUSE_WHY_MAX]; /* what did not hold, or why it cannot be tried; "" when all did */
    char status[100];        /* how its runs ended */
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

#endif
