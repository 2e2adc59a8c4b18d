/* Ovens as managers see them, and change them. */
#ifndef WORKER_OVEN_JSON_H
#define WORKER_OVEN_JSON_H

#include "../common/oven_change.h"
#include "services.h"

#include <jansson.h>

/* An entry of a SNAPSHOT's "templates". */
json_t *oven_json_describe(const struct services *services, const struct oven *oven);

/* All of them, the default template's first. */
json_t *oven_json_list(const struct services *services);

/* The "oven" of a SNAPSHOT: the default template's, with the counts of the whole worker. */
json_t *oven_json_default(const struct services *services);

/* Check against the worker's bounds, and change. */
int oven_json_change(const struct services *services, struct oven *oven,
                     const struct oven_change *change, struct err *err);

#endif
