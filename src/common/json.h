/* Getters over jansson that check type and bounds and name the field in the error. */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Each returns 0 and sets *value, leaves *value alone when the key is missing (or null) and
 * required is false, and fails with ERR_BAD_REQUEST otherwise. Strings stay owned by the object.
 */
int json_get_string(const json_t *object, const char *key, bool required, const char **value,
                    size_t *len, struct err *err);
int json_get_int(const json_t *object, const char *key, bool required, int64_t least, int64_t most,
                 int64_t *value, struct err *err);
int json_get_number(const json_t *object, const char *key, bool required, double least, double most,
                    double *value, struct err *err);
int json_get_bool(const json_t *object, const char *key, bool required, bool *value,
                  struct err *err);
int json_get_object(const json_t *object, const char *key, bool required, json_t **value,
                    struct err *err);
int json_get_array(const json_t *object, const char *key, bool required, json_t **value,
                   struct err *err);

/* Fails with the first key of object that is not in the NULL-terminated list. */
int json_only_keys(const json_t *object, const char *const keys[], struct err *err);

/* Parse len bytes that must be one object; the message carries line and column. NULL on failure,
 * else the caller owns it. allow_nul: strings may hold \u0000.
 */
json_t *json_parse_object(const char *text, size_t len, bool allow_nul, struct err *err);

/* `cleanup_json json_t *object = ...` drops the reference when the scope ends. */
static inline void json_decref_indirect(json_t **json)
{
    json_decref(*json);
}
#define cleanup_json __attribute__((cleanup(json_decref_indirect)))

#endif
