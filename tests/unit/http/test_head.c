#include "../../../src/common/buf.h"
#include "../../../src/http/head.h"
#include "../../support/cm.h"

static struct http_head head;
static struct err err;
static size_t used;

static enum http_head_status parse(const char *text)
{
    return http_head_parse(text, strlen(text), &head, &used, &err);
}

static void assert_slice(struct http_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.text, text, slice.len);
}

static void test_whole_head(void **state)
{
    (void)state;
    const char *text = "POST /api/v1/runner/run?time=2 HTTP/1.1\r\nHost: x\r\n"
                       "content-LENGTH: 12\r\nAuthorization:\t Bearer abc \r\nauth-token: T\r\n"
                       "Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n{\"code\"";
    assert_int_equal(parse(text), HTTP_HEAD_OK);
    assert_int_equal(used, strlen(text) - 7);
    assert_int_equal(head.method, HTTP_POST);
    assert_slice(head.path, "/api/v1/runner/run");
    assert_slice(head.query, "time=2");
    assert_slice(head.authorization, "Bearer abc");
    assert_slice(head.auth_token, "T");
    assert_slice(head.content_type, "application/json");
    assert_true(head.has_length && head.content_length == 12);
    assert_true(head.keep_alive && head.expect_continue && !head.chunked);
}

/* Every prefix of a head is asked to go on, none is taken for more or less than it is. */
static void test_prefixes(void **state)
{
    (void)state;
    const char *text = "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(http_head_parse(text, len, &head, &used, &err), HTTP_HEAD_MORE);
    assert_int_equal(parse(text), HTTP_HEAD_OK);
}

static void test_targets(void **state)
{
    (void)state;
    assert_int_equal(parse("GET http://host:1/a/b?c HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_HEAD_OK);
    assert_slice(head.path, "/a/b");
    assert_slice(head.query, "c");
    assert_int_equal(parse("GET http://host HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_HEAD_OK);
    assert_slice(head.path, "/");
    assert_int_equal(parse("GET http://host?x=/y HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_HEAD_OK);
    assert_slice(head.path, "/");
    assert_slice(head.query, "x=/y");
    assert_int_equal(parse("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_HEAD_OK);
    assert_slice(head.path, "*");
    assert_int_equal(parse("\r\n\r\nBREW /pot HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_HEAD_OK);
    assert_int_equal(head.method, HTTP_OTHER);
}

static void test_connection(void **state)
{
    (void)state;
    static const struct {
        const char *version, *connection;
        bool keep_alive;
    } cases[] = {
        {"1.1", "", true},
        {"1.1", "Connection: close\r\n", false},
        {"1.1", "Connection: foo, Close\r\n", false},
        {"1.0", "", false},
        {"1.0", "Connection: Keep-Alive\r\n", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "GET / HTTP/%s\r\nHost: x\r\n%s\r\n", cases[i].version,
                 cases[i].connection);
        assert_int_equal(parse(text), HTTP_HEAD_OK);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"\x16\x03\x01", "no method"}, /* the start of a TLS handshake */
        {"GET\r\n\r\n", "version"},
        {"GET / HTTP/2.0\r\n\r\n", "version"},
        {"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "version"},
        {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", "no method"},
        {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", "begin with /"},
        {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", "begin with /"},
        {"GET /\xC3\xA9 HTTP/1.1\r\nHost: x\r\n\r\n", "percent-encoded"},
        {"GET / HTTP/1.1\r\n\r\n", "Host is missing"},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "Host is there twice"},
        {"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", "a colon"},
        {"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", "a colon"},
        {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "on one line"},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", "control character"},
        {"GET / HTTP/1.1\nHost: x\n\r\n\r\n", "CR LF"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "no number"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", "no number"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", "no number"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", "no number"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", "no number"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "twice"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "chunked, once"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         "together"},
        {"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"},
        {"POST / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", "100-continue"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].text), HTTP_HEAD_BAD);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        assert_contains(err.msg, cases[i].words);
    }
    static const char nul[] = "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n";
    assert_int_equal(http_head_parse(nul, sizeof(nul) - 1, &head, &used, &err), HTTP_HEAD_BAD);
}

static void test_too_much(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_append_str(&text, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX - 1; i++)
        buf_printf(&text, "A: b\r\n");
    buf_append_str(&text, "\r\n");
    assert_int_equal(parse(text.data), HTTP_HEAD_OK);
    text.len -= 2;
    buf_append_str(&text, "A: b\r\n\r\n");
    assert_int_equal(parse(text.data), HTTP_HEAD_BAD);
    assert_int_equal(err.code, ERR_HEADERS_TOO_LARGE);
    assert_contains(err.msg, "100");

    buf_clear(&text);
    buf_append_str(&text, "GET / HTTP/1.1\r\nA: ");
    while (text.len <= HTTP_HEAD_MAX) /* and no end of the head in sight */
        buf_append_str(&text, "b");
    assert_int_equal(parse(text.data), HTTP_HEAD_BAD);
    assert_int_equal(err.code, ERR_HEADERS_TOO_LARGE);
    buf_finish(&text);
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded;
    } cases[] = {{"abc", "abc"}, {"a%2Fb", "a/b"}, {"%C3%a9", "\xC3\xA9"}, {"a+b", "a b"}, {"", ""},
                 {"%", NULL},    {"%4", NULL},     {"%4g", NULL},          {"%00", NULL}};
    char text[8];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_slice slice = {cases[i].text, strlen(cases[i].text)};
        bool valid = http_decode(slice, true, text, sizeof(text));
        assert_int_equal(valid, cases[i].decoded != NULL);
        if (valid)
            assert_string_equal(text, cases[i].decoded);
    }
    struct http_slice fits = {"1234567", 7}, long_one = {"12345678", 8};
    assert_true(http_decode(fits, false, text, sizeof(text)));
    assert_false(http_decode(long_one, false, text, sizeof(text)));
}

static void test_query(void **state)
{
    (void)state;
    const char *query = "detail&time=1.5&name=a%20b&broken=%zz&time=2";
    struct http_slice slice = {query, strlen(query)};
    char text[16];
    bool valid = false;
    assert_true(http_query_get(slice, "time", text, sizeof(text), &valid) && valid);
    assert_string_equal(text, "1.5");
    assert_true(http_query_get(slice, "detail", text, sizeof(text), &valid) && valid);
    assert_string_equal(text, "");
    assert_true(http_query_get(slice, "name", text, sizeof(text), &valid) && valid);
    assert_string_equal(text, "a b");
    assert_true(http_query_get(slice, "broken", text, sizeof(text), &valid) && !valid);
    assert_false(http_query_get(slice, "tim", text, sizeof(text), &valid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_head), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_targets),    cmocka_unit_test(test_connection),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_decode),     cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
