/* What somebody wants changed of a template's oven: PATCH /workers/:worker/oven and the link's OVEN
 * say it alike. A plain value.
 */
#ifndef COMMON_OVEN_CHANGE_H
#define COMMON_OVEN_CHANGE_H

#include "err.h"
#include "ids.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Fields that it does not name are as they were. */
struct oven_change {
    char template_name[NAME_MAX_LEN + 1];                   /* "": the default one */
    int64_t min_available, max_runners, mem_target_percent; /* -1: not named */
    int paused, draining;                                   /* -1: not named */
};

/* From {"template", "minAvailable", "memTarget", "maxRunners", "paused", "draining"}, each of which
 * may be missing. Fails naming the field and the bound, ERR_BAD_REQUEST.
 */
int oven_change_parse(const char *text, size_t len, struct oven_change *change, struct err *err);

/* That changes nothing. */
void oven_change_none(struct oven_change *change);

/* ERR_BAD_REQUEST for what is no template's name; "" is one. */
int oven_change_set_template(struct oven_change *change, const char *name, struct err *err);

/* The same object, without what is not named; the caller owns it. */
json_t *oven_change_json(const struct oven_change *change);

#endif
