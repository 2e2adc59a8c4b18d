/* A handler that waits for a worker's word on one call: it is told of it, or of a failure, and a
 * client that goes meanwhile ends the call.
 */
#ifndef HTTP_INQUIRY_H
#define HTTP_INQUIRY_H

#include "../manager/calls.h"
#include "exchange.h"

struct inquiry;

/* The worker that the path names; NULL: the exchange has been told that there is none. */
struct worker *inquiry_worker(struct exchange *exchange);

/* tell answers the exchange with the call's result, which it borrows. To be begun. */
struct inquiry *inquiry_create(struct exchange *exchange,
                               void (*tell)(struct exchange *exchange, const json_t *result));

/* What the call is made with: this, and the inquiry as its data. */
void inquiry_done(const json_t *result, const struct failure *failure, void *inquiry);

/* Takes both; a call that is NULL could not be made, and the exchange is told of the failure. */
void inquiry_begin(struct inquiry *take_inquiry, struct call *take_call,
                   const struct failure *failure);

#endif
