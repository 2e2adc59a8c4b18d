/* What a worker says that it has on its host, before the catalogue and after: the host itself may
 * be elsewhere.
 */
#ifndef CLI_ABUSE_HOST_H
#define CLI_ABUSE_HOST_H

#include "abuse_judge.h"
#include "api.h"

#define ABUSE_HOST_ITEMS 12

struct abuse_host_finding {
    const char *what; /* static text */
    enum abuse_verdict verdict;
    char why[ABUSE_WHY_MAX];
};

/* GET /workers/NAME/footprint; a new reference, or NULL. */
json_t *abuse_host_take(const struct api *api, const char *worker, struct err *err);

/* What differs: one finding for each kind of thing, ABUSE_NOT_APPLICABLE for one that cannot be
 * compared, with the reason. Pure.
 */
void abuse_host_compare(const json_t *before, const json_t *after,
                        struct abuse_host_finding findings[ABUSE_HOST_ITEMS]);

/* The names of the workers that are linked: an array, or NULL. */
json_t *abuse_host_workers(const struct api *api, struct err *err);

/* Appends the IPv4 addresses of a footprint, apart by commas, but for loopback's. */
void abuse_host_addresses(const json_t *footprint, char *text, size_t room);

#endif
