/* A request that runs code, as the worker is told of it: RUN and EXEC of docs/protocol.md. */
#ifndef MANAGER_RUN_MESSAGE_H
#define MANAGER_RUN_MESSAGE_H

#include "runs.h"

/* A new reference. */
json_t *run_message_make(const struct run_request *request);

#endif
