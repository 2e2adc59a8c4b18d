/* JSON from outside, and every getter on every key of it. */
#include "fuzz.h"

#include "../../src/common/json.h"

/* An error goes out as JSON. */
static void check_message(const struct err *err)
{
    must(err->code == ERR_BAD_REQUEST && err->msg[0] != '\0');
    json_t *text = json_string(err->msg);
    must(text);
    json_decref(text);
}

static void get_all(const json_t *object, const char *key)
{
    struct err err = {0};
    const char *string = NULL;
    size_t len = 0;
    int64_t number;
    double real;
    bool yes;
    json_t *inner;
    unsigned kinds = 0;
    if (json_get_string(object, key, true, &string, &len, &err) == 0)
        kinds |= 1;
    else
        check_message(&err);
    if (json_get_string(object, key, true, &string, NULL, &err) == 0)
        must(strlen(string) == len && (kinds & 1));
    if (json_get_int(object, key, true, -1000, 1000, &number, &err) == 0)
        must(number >= -1000 && number <= 1000);
    else
        check_message(&err);
    if (json_get_number(object, key, true, -0.5, 1e6, &real, &err) == 0)
        must(real >= -0.5 && real <= 1e6);
    else
        check_message(&err);
    kinds |= json_get_bool(object, key, true, &yes, &err) == 0 ? 2 : 0;
    kinds |= json_get_array(object, key, true, &inner, &err) == 0 ? 4 : 0;
    if (json_get_object(object, key, true, &inner, &err) == 0)
        kinds |= 8;
    else
        check_message(&err);
    must((kinds & (kinds - 1)) == 0); /* never two of them */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"a", "code", NULL};
    struct err err = {0};
    json_t *strict = json_parse_object((const char *)data, size, false, &err);
    if (!strict)
        check_message(&err);
    json_t *object = json_parse_object((const char *)data, size, true, &err);
    if (!object) {
        check_message(&err);
        must(!strict);
        return 0;
    }
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) get_all(object, key);
    if (json_only_keys(object, keys, &err) != 0)
        check_message(&err);
    json_decref(object);
    json_decref(strict);
    return 0;
}
