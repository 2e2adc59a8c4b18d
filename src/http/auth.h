/* Who asks: the token of a request, from `Authorization: Bearer T` or `auth-token: T`. */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H

#include "exchange.h"
#include "routes.h"

/* Fills exchange->owner and admin. ERR_UNAUTHORIZED, or ERR_FORBIDDEN when the route is an admin's
 * and the caller is none.
 */
int auth_check(const struct http_head *head, const struct route *route, struct exchange *exchange,
               struct err *err);

/* Whether the caller may see and touch a runner of that owner ("" for nobody's). */
bool auth_owns(const struct exchange *exchange, const char *owner);

#endif
