#include "json.h"

#include <inttypes.h>
#include <string.h>

/* The value under key; NULL with *failed telling whether that is an error. */
static json_t *look_up(const json_t *object, const char *key, bool required, bool *failed,
                       struct err *err)
{
    json_t *value = json_object_get(object, key);
    if (json_is_null(value))
        value = NULL;
    *failed = !value && required;
    if (*failed)
        err_set(err, ERR_BAD_REQUEST, "%s: is missing", key);
    return value;
}

static int wrong_type(const char *key, const char *wanted, struct err *err)
{
    return err_set(err, ERR_BAD_REQUEST, "%s: must be %s", key, wanted);
}

int json_get_string(const json_t *object, const char *key, bool required, const char **value,
                    size_t *len, struct err *err)
{
    bool failed;
    json_t *found = look_up(object, key, required, &failed, err);
    if (!found)
        return failed ? -1 : 0;
    if (!json_is_string(found))
        return wrong_type(key, "a string", err);
    *value = json_string_value(found);
    if (len)
        *len = json_string_length(found);
    else if (strlen(*value) != json_string_length(found))
        return err_set(err, ERR_BAD_REQUEST, "%s: must not hold a NUL character", key);
    return 0;
}

int json_get_int(const json_t *object, const char *key, bool required, int64_t least, int64_t most,
                 int64_t *value, struct err *err)
{
    bool failed;
    json_t *found = look_up(object, key, required, &failed, err);
    if (!found)
        return failed ? -1 : 0;
    if (!json_is_integer(found))
        return wrong_type(key, "a whole number", err);
    int64_t number = json_integer_value(found);
    if (number < least || number > most)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: %" PRId64 " is out of bounds, must be %" PRId64 "..%" PRId64, key,
                       number, least, most);
    *value = number;
    return 0;
}

int json_get_number(const json_t *object, const char *key, bool required, double least, double most,
                    double *value, struct err *err)
{
    bool failed;
    json_t *found = look_up(object, key, required, &failed, err);
    if (!found)
        return failed ? -1 : 0;
    if (!json_is_number(found))
        return wrong_type(key, "a number", err);
    double number = json_number_value(found);
    if (!(number >= least && number <= most))
        return err_set(err, ERR_BAD_REQUEST, "%s: %g is out of bounds, must be %g..%g", key, number,
                       least, most);
    *value = number;
    return 0;
}

int json_get_bool(const json_t *object, const char *key, bool required, bool *value,
                  struct err *err)
{
    bool failed;
    json_t *found = look_up(object, key, required, &failed, err);
    if (!found)
        return failed ? -1 : 0;
    if (!json_is_boolean(found))
        return wrong_type(key, "true or false", err);
    *value = json_is_true(found);
    return 0;
}

int json_get_object(const json_t *object, const char *key, bool required, json_t **value,
                    struct err *err)
{
    bool failed;
    json_t *found = look_up(object, key, required, &failed, err);
    if (!found)
        return failed ? -1 : 0;
    if (!json_is_object(found))
        return wrong_type(key, "an object", err);
    *value = found;
    return 0;
}

int json_get_array(const json_t *object, const char *key, bool required, json_t **value,
                   struct err *err)
{
    bool failed;
    json_t *found = look_up(object, key, required, &failed, err);
    if (!found)
        return failed ? -1 : 0;
    if (!json_is_array(found))
        return wrong_type(key, "an array", err);
    *value = found;
    return 0;
}

int json_only_keys(const json_t *object, const char *const keys[], struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], key) != 0)
            i++;
        if (!keys[i])
            return err_set(err, ERR_BAD_REQUEST, "%.60s: unknown field", key);
    }
    return 0;
}

json_t *json_parse_object(const char *text, size_t len, bool allow_nul, struct err *err)
{
    json_error_t problem;
    size_t flags = JSON_REJECT_DUPLICATES | (allow_nul ? JSON_ALLOW_NUL : 0);
    json_t *object = json_loadb(text, len, flags, &problem);
    if (!object) {
        err_set(err, ERR_BAD_REQUEST, "not JSON: line %d, column %d: %s", problem.line,
                problem.column, problem.text);
        return NULL;
    }
    if (!json_is_object(object)) {
        json_decref(object);
        err_set(err, ERR_BAD_REQUEST, "must be a JSON object");
        return NULL;
    }
    return object;
}
