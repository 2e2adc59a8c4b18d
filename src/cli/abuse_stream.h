/* A case whose input is too long for a request: it goes through `codeland run`, the exec WebSocket.
 */
#ifndef CLI_ABUSE_STREAM_H
#define CLI_ABUSE_STREAM_H

#include "abuse_run.h"

/* Runs program (as abuse_request has it) with its stream_bytes of zeros as stdin. Blocks; several
 * threads may do it at once. status and why as in abuse_judge.h.
 */
enum abuse_verdict abuse_stream(const struct abuse_case *abuse, const struct abuse_target *target,
                                const char *program, char status[ABUSE_STATUS_MAX],
                                char why[ABUSE_WHY_MAX]);

#endif
