/* One case of the abuse catalogue: a program that attacks its runner, and what must come of it. A
 * file of abuse/ each; abuse/README.md says how they are written.
 */
#ifndef CLI_ABUSE_CASE_H
#define CLI_ABUSE_CASE_H

#include "../common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ABUSE_PROGRAM_MAX (64 * 1024)
#define ABUSE_TEXT_MAX 160
#define ABUSE_NAME_MAX 48
#define ABUSE_RUNS_MAX 4
#define ABUSE_REFUSED_MAX 64

struct abuse_case {
    char name[ABUSE_NAME_MAX + 1];     /* of its file, without the suffix */
    char language[8];                  /* the suffix: py, sh, pl or c */
    char group[ABUSE_NAME_MAX + 1];    /* what it attacks */
    char tries[ABUSE_TEXT_MAX + 1];    /* in a person's words */
    char holds[ABUSE_TEXT_MAX + 1];    /* what stands against it */
    char statuses[ABUSE_TEXT_MAX + 1]; /* those that a run may end with, apart by blanks */
    bool says_held;                    /* its last line must be "held" */
    bool truncated;                    /* its output, or its compiler's, must have been cut */
    bool optional;      /* not applicable where the API refuses it for its settings */
    int64_t time_ms;    /* 0: as the server has it */
    int64_t memory_mib; /* 0: as the server has it */
    int64_t stdin_bytes;
    int64_t stream_bytes; /* of stdin, through the exec WebSocket */
    int64_t runs;         /* how many side by side; each has its number as its argument */
    json_t *request;      /* more of the request's body, or NULL */
    json_t *refused;      /* an array of such: each must be refused before the program runs */
    char collected[ABUSE_TEXT_MAX +
                   1]; /* "PATH=ERROR ...": among what comes back; ERROR may be ok */
    char *program;
};

/* Reads one file. Fails naming file and line. */
int abuse_case_read(struct abuse_case *abuse, const char *path, struct err *err);
void abuse_case_finish(struct abuse_case *abuse);

/* Whether a run may end with that status. */
bool abuse_case_allows(const struct abuse_case *abuse, const char *status);

/* All cases of a folder, by group and name; the caller frees them with abuse_cases_free. Fails for
 * the first one that cannot be read, and when there is none.
 */
struct abuse_case *abuse_cases_read(const char *folder, size_t *count, struct err *err);
void abuse_cases_free(struct abuse_case *cases, size_t count);

#endif
