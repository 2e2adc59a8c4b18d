/* What an answer to a run of an abuse case says about the case. Pure functions. */
#ifndef CLI_ABUSE_JUDGE_H
#define CLI_ABUSE_JUDGE_H

#include "abuse_case.h"

#define ABUSE_WHY_MAX 400
#define ABUSE_STATUS_MAX 32

enum abuse_verdict { ABUSE_HELD, ABUSE_FAILED, ABUSE_NOT_APPLICABLE, ABUSE_VERDICTS };

/* why: "" when it holds; else what did not, or why it cannot be tried, in a person's words. status
 * is written in every case: how the run ended.
 */
enum abuse_verdict abuse_judge(const struct abuse_case *abuse, int http_status, const char *body,
                               size_t len, char status[ABUSE_STATUS_MAX], char why[ABUSE_WHY_MAX]);

/* Of the end of `codeland run`, which had its stdout in output. */
enum abuse_verdict abuse_judge_exit(const struct abuse_case *abuse, int exit_code,
                                    const char *output, size_t len, char status[ABUSE_STATUS_MAX],
                                    char why[ABUSE_WHY_MAX]);

/* Of the answer to one of its `refused`. */
enum abuse_verdict abuse_judge_refusal(int http_status, const char *body, size_t len,
                                       char why[ABUSE_WHY_MAX]);

#endif
