/* A run's answer as Server-Sent Events: start, stdout, stderr as they come, and end or error. */
#ifndef HTTP_RUN_EVENTS_H
#define HTTP_RUN_EVENTS_H

#include "../manager/runs.h"
#include "exchange.h"

/* Starts the run and answers: with events from the moment it has started, before that with a plain
 * error. Takes request->hold.
 */
void run_events_start(struct exchange *exchange, struct worker *worker,
                      const struct run_request *request, bool base64);

#endif
