#include "../../../src/common/json.h"

#include "../../support/cm.h"

static struct err err;

static json_t *parse(const char *text)
{
    json_t *object = json_parse_object(text, strlen(text), true, &err);
    if (!object)
        fail_msg("%s: %s", text, err.msg);
    return object;
}

static void refuse(const char *text, size_t len, const char *words)
{
    err = (struct err){0};
    json_t *object = json_parse_object(text, len, false, &err);
    if (object)
        fail_msg("\"%s\" was let in", text);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_contains(err.msg, words);
}

static void only_one_object_is_let_in(void **state)
{
    (void)state;
    json_decref(parse("{}"));
    json_decref(parse(" \n{\"a\": [1, {\"b\": null}]}\n "));
    static const char *const bad[] = {"",
                                      "{",
                                      "}",
                                      "{\"a\": }",
                                      "{a: 1}",
                                      "{\"a\": 1,}",
                                      "{\"a\": 01}",
                                      "{\"a\": NaN}",
                                      "{} {}",
                                      "{}x",
                                      "{\"a\": tru}",
                                      "{'a': 1}",
                                      "{\"a\": \"\t\"}",
                                      "{\"a\": 99999999999999999999}",
                                      "{\"a\": \"\\ud800\"}",
                                      "{\"a\": 1e999}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse(bad[i], strlen(bad[i]), "not JSON: line ");
    refuse("[]", 2, "must be a JSON object");
    refuse("[{}]", 4, "must be a JSON object");
    refuse("1", 1, "not JSON");
    refuse("\"x\"", 3, "not JSON");
    refuse("null", 4, "not JSON");
    refuse("{}\0", 3, "not JSON");
    refuse("{\"a\": \"\xFF\"}", 10, "not JSON");
    refuse("{\"a\": 1, \"a\": 2}", 16, "duplicate");
}

static void message_tells_the_place(void **state)
{
    (void)state;
    refuse("{\n\"a\": 1\n\"b\": 2}", 16, "line 3, column ");
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    static char deep[200000];
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    refuse(deep, sizeof(deep), "not JSON");
}

static void nul_only_where_it_may_be(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": \"x\\u0000y\"}";
    refuse(text, strlen(text), "not JSON");
    cleanup_json json_t *object = parse(text);
    const char *value = NULL;
    size_t len = 0;
    assert_ok(json_get_string(object, "a", true, &value, &len, &err), err);
    assert_int_equal(len, 3);
    assert_memory_equal(value, "x\0y", 3);
    assert_fails(json_get_string(object, "a", true, &value, NULL, &err), err, ERR_BAD_REQUEST,
                 "a: must not hold a NUL");
    static const char key[] = "{\"x\\u0000y\": 1}"; /* a key is never let in with one */
    assert_null(json_parse_object(key, strlen(key), true, &err));
}

/* What each getter does with every kind of value, a missing key and null. */
static const char kinds[] = "{\"string\": \"s\", \"int\": 5, \"real\": 1.5, \"true\": true,"
                            " \"false\": false, \"object\": {\"x\": 1}, \"array\": [1],"
                            " \"null\": null}";

static void string_getter(void **state)
{
    (void)state;
    cleanup_json json_t *object = parse(kinds);
    const char *value = "before";
    assert_ok(json_get_string(object, "missing", false, &value, NULL, &err), err);
    assert_ok(json_get_string(object, "null", false, &value, NULL, &err), err);
    assert_string_equal(value, "before");
    assert_ok(json_get_string(object, "string", true, &value, NULL, &err), err);
    assert_string_equal(value, "s");
    assert_fails(json_get_string(object, "missing", true, &value, NULL, &err), err, ERR_BAD_REQUEST,
                 "missing: is missing");
    assert_fails(json_get_string(object, "null", true, &value, NULL, &err), err, ERR_BAD_REQUEST,
                 "null: is missing");
    static const char *const others[] = {"int", "real", "true", "object", "array"};
    for (size_t i = 0; i < 5; i++)
        assert_fails(json_get_string(object, others[i], false, &value, NULL, &err), err,
                     ERR_BAD_REQUEST, "must be a string");
    assert_string_equal(value, "s");
}

static void int_getter(void **state)
{
    (void)state;
    cleanup_json json_t *object = parse(kinds);
    int64_t value = 4711;
    assert_ok(json_get_int(object, "missing", false, 0, 10, &value, &err), err);
    assert_int_equal(value, 4711);
    assert_ok(json_get_int(object, "int", true, 5, 5, &value, &err), err);
    assert_int_equal(value, 5);
    value = 4711;
    assert_fails(json_get_int(object, "int", true, 6, 10, &value, &err), err, ERR_BAD_REQUEST,
                 "int: 5 is out of bounds, must be 6..10");
    assert_fails(json_get_int(object, "int", true, -10, 4, &value, &err), err, ERR_BAD_REQUEST,
                 "int: 5 is out of bounds, must be -10..4");
    assert_fails(json_get_int(object, "missing", true, 0, 10, &value, &err), err, ERR_BAD_REQUEST,
                 "missing: is missing");
    static const char *const others[] = {"real", "string", "true", "object", "array"};
    for (size_t i = 0; i < 5; i++)
        assert_fails(json_get_int(object, others[i], false, INT64_MIN, INT64_MAX, &value, &err),
                     err, ERR_BAD_REQUEST, "must be a whole number");
    assert_int_equal(value, 4711);

    cleanup_json json_t *edges = parse("{\"a\": 9223372036854775807, \"b\": -9223372036854775808}");
    assert_ok(json_get_int(edges, "a", true, INT64_MIN, INT64_MAX, &value, &err), err);
    assert_true(value == INT64_MAX);
    assert_ok(json_get_int(edges, "b", true, INT64_MIN, INT64_MAX, &value, &err), err);
    assert_true(value == INT64_MIN);
}

static void number_getter(void **state)
{
    (void)state;
    cleanup_json json_t *object = parse(kinds);
    double value = 4711;
    assert_ok(json_get_number(object, "null", false, 0, 10, &value, &err), err);
    assert_true(value == 4711);
    assert_ok(json_get_number(object, "real", true, 1.5, 1.5, &value, &err), err);
    assert_true(value == 1.5);
    assert_ok(json_get_number(object, "int", true, 0, 10, &value, &err), err);
    assert_true(value == 5);
    assert_fails(json_get_number(object, "real", true, 1.6, 10, &value, &err), err, ERR_BAD_REQUEST,
                 "real: 1.5 is out of bounds, must be 1.6..10");
    assert_fails(json_get_number(object, "real", true, 0, 1.4, &value, &err), err, ERR_BAD_REQUEST,
                 "out of bounds");
    assert_fails(json_get_number(object, "string", true, 0, 10, &value, &err), err, ERR_BAD_REQUEST,
                 "must be a number");
    assert_fails(json_get_number(object, "missing", true, 0, 10, &value, &err), err,
                 ERR_BAD_REQUEST, "is missing");
}

static void bool_object_array_getters(void **state)
{
    (void)state;
    cleanup_json json_t *object = parse(kinds);
    bool yes = false;
    assert_ok(json_get_bool(object, "true", true, &yes, &err), err);
    assert_true(yes);
    assert_ok(json_get_bool(object, "missing", false, &yes, &err), err);
    assert_true(yes);
    assert_ok(json_get_bool(object, "false", true, &yes, &err), err);
    assert_false(yes);
    assert_fails(json_get_bool(object, "int", true, &yes, &err), err, ERR_BAD_REQUEST,
                 "must be true or false");
    assert_fails(json_get_bool(object, "missing", true, &yes, &err), err, ERR_BAD_REQUEST,
                 "is missing");
    json_t *value = NULL;
    assert_ok(json_get_object(object, "missing", false, &value, &err), err);
    assert_null(value);
    assert_ok(json_get_object(object, "object", true, &value, &err), err);
    assert_true(json_is_object(value));
    assert_fails(json_get_object(object, "array", true, &value, &err), err, ERR_BAD_REQUEST,
                 "must be an object");
    assert_fails(json_get_object(object, "missing", true, &value, &err), err, ERR_BAD_REQUEST,
                 "is missing");
    value = NULL;
    assert_ok(json_get_array(object, "null", false, &value, &err), err);
    assert_null(value);
    assert_ok(json_get_array(object, "array", true, &value, &err), err);
    assert_true(json_is_array(value));
    assert_fails(json_get_array(object, "object", true, &value, &err), err, ERR_BAD_REQUEST,
                 "must be an array");
    assert_fails(json_get_array(object, "missing", true, &value, &err), err, ERR_BAD_REQUEST,
                 "is missing");
}

static void unknown_key_is_named(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", NULL};
    static const char *const none[] = {NULL};
    cleanup_json json_t *good = parse("{\"b\": 1}");
    assert_ok(json_only_keys(good, keys, &err), err);
    assert_fails(json_only_keys(good, none, &err), err, ERR_BAD_REQUEST, "b: unknown field");
    cleanup_json json_t *bad = parse("{\"a\": 1, \"ab\": 2}");
    assert_fails(json_only_keys(bad, keys, &err), err, ERR_BAD_REQUEST, "ab: unknown field");
    cleanup_json json_t *empty = parse("{}");
    assert_ok(json_only_keys(empty, none, &err), err);

    /* Cut within a character, the message still goes into JSON. */
    char text[200] = "{\"x";
    for (int i = 0; i < 30; i++)
        strcat(text, "\xE2\x82\xAC");
    strcat(text, "\": 1}");
    cleanup_json json_t *wide = parse(text);
    assert_int_equal(json_only_keys(wide, keys, &err), -1);
    cleanup_json json_t *message = json_string(err.msg);
    assert_non_null(message);
}

static void message_with_foreign_bytes_still_goes_into_json(void **state)
{
    (void)state;
    refuse("{\"a\": x\xFF\xFE}", 10, "not JSON");
    cleanup_json json_t *message = json_string(err.msg);
    assert_non_null(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_object_is_let_in),
        cmocka_unit_test(message_tells_the_place),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(nul_only_where_it_may_be),
        cmocka_unit_test(string_getter),
        cmocka_unit_test(int_getter),
        cmocka_unit_test(number_getter),
        cmocka_unit_test(bool_object_array_getters),
        cmocka_unit_test(unknown_key_is_named),
        cmocka_unit_test(message_with_foreign_bytes_still_goes_into_json),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
