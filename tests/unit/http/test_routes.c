#include "../../../src/http/api.h"
#include "../../../src/http/routes.h"
#include "../../support/cm.h"

static struct exchange exchange;
static char allow[ROUTES_ALLOW_MAX];
static struct err err;

static const struct route *find(enum http_method method, const char *path)
{
    exchange = (struct exchange){0};
    return routes_find(method, (struct http_slice){path, strlen(path)}, &exchange, allow, &err);
}

static void assert_handler(enum http_method method, const char *path,
                           void (*handle)(struct exchange *), const char *runner)
{
    const struct route *route = find(method, path);
    if (!route)
        fail_msg("%s: %s", path, err.msg);
    assert_ptr_equal(route->handle, handle);
    assert_string_equal(exchange.runner, runner);
}

static void test_found(void **state)
{
    (void)state;
    assert_handler(HTTP_GET, "/healthz", health_alive, "");
    assert_handler(HTTP_HEAD, "/readyz", health_ready, "");
    assert_handler(HTTP_POST, "/api/v1/runner", api_runner_run, "");
    assert_handler(HTTP_POST, "/api/v1/runner/", api_runner_run, "");
    assert_handler(HTTP_POST, "/api/v1/runner/run", api_runner_run, "");
    assert_handler(HTTP_POST, "/api/v1/runner/new", api_runner_new, "");
    assert_handler(HTTP_POST, "/api/v1/runner/running", api_runner_exec, "running");
    assert_handler(HTTP_GET, "/api/v1/runner/de%6Do", api_runner_get, "demo");
    assert_handler(HTTP_DELETE, "/api/v1/runner/cr-1", api_runner_delete, "cr-1");
    assert_handler(HTTP_DELETE, "/api/v1/worker/zombies", api_zombies_remove, "");
}

/* Every route but the two that say whether we live needs a token. */
static void test_open_doors(void **state)
{
    (void)state;
    assert_true(find(HTTP_GET, "/healthz")->open);
    assert_true(find(HTTP_GET, "/readyz")->open);
    assert_false(find(HTTP_GET, "/api/v1/runner")->open);
    assert_false(find(HTTP_POST, "/api/v1/runner/run")->open);
    assert_false(find(HTTP_POST, "/api/v1/runner/new")->open);
    assert_false(find(HTTP_POST, "/api/v1/runner/x")->open);
    assert_false(find(HTTP_DELETE, "/api/v1/runner/x")->open);
    assert_false(find(HTTP_GET, "/api/v1/worker")->open);
    assert_true(find(HTTP_GET, "/api/v1/worker/zombies")->admin);
    assert_true(find(HTTP_DELETE, "/api/v1/worker/zombies")->admin);
}

static void test_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {"/",         "/api",           "/api/v1/runners",
                                        "//healthz", "/healthz/x",     "/api/v1/runner/a/b",
                                        "/HEALTHZ",  "/api/v1//runner"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_null(find(HTTP_GET, paths[i]));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        assert_string_equal(allow, "");
    }
    static const char *const names[] = {"/api/v1/runner/..",    "/api/v1/runner/A",
                                        "/api/v1/runner/%2e",   "/api/v1/runner/a%2fb",
                                        "/api/v1/runner/a%00b", "/api/v1/runner/%zz"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(find(HTTP_GET, names[i]));
        assert_int_equal(err.code, ERR_RUNNER_NOT_FOUND);
        assert_string_equal(exchange.runner, "");
    }
}

static void test_not_allowed(void **state)
{
    (void)state;
    assert_null(find(HTTP_PUT, "/api/v1/runner"));
    assert_int_equal(err.code, ERR_METHOD_NOT_ALLOWED);
    assert_string_equal(allow, "GET, HEAD, POST, OPTIONS");
    assert_null(find(HTTP_OTHER, "/api/v1/runner/demo"));
    assert_string_equal(allow, "GET, HEAD, POST, DELETE, OPTIONS");
    assert_null(find(HTTP_GET, "/api/v1/runner/run"));
    assert_int_equal(err.code, ERR_METHOD_NOT_ALLOWED);
    assert_string_equal(allow, "POST, OPTIONS");
    assert_null(find(HTTP_OPTIONS, "/healthz"));
    assert_string_equal(allow, "GET, HEAD, OPTIONS");
    assert_null(find(HTTP_POST, "/api/v1/workers/local/oven"));
    assert_string_equal(allow, "GET, HEAD, PATCH, OPTIONS");
    assert_null(find(HTTP_OPTIONS, "*"));
    assert_string_equal(allow, "GET, HEAD, POST, PATCH, DELETE, OPTIONS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_open_doors),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_not_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
