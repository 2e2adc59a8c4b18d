#include "routes.h"

#include "../common/ids.h"
#include "../common/mem.h"
#include "api.h"

#include <stdio.h>
#include <string.h>

/* A path comes before the patterns that match it too. Rows of one path stand together. */
static const struct route routes[] = {
    {HTTP_GET, "/healthz", true, false, health_alive},
    {HTTP_GET, "/readyz", true, false, health_ready},
    {HTTP_GET, "/api/v1/languages", false, false, api_languages_list},
    {HTTP_GET, "/api/v1/runner", false, false, api_runner_list},
    {HTTP_POST, "/api/v1/runner", false, false, api_runner_run},
    {HTTP_POST, "/api/v1/runner/run", false, false, api_runner_run},
    {HTTP_POST, "/api/v1/runner/new", false, false, api_runner_new},
    {HTTP_GET, "/api/v1/runner/run/exec", false, false, api_exec_run},
    {HTTP_GET, "/api/v1/runner/new/exec", false, false, api_exec_new},
    {HTTP_GET, "/api/v1/runner/:runner/exec", false, false, api_exec_named},
    {HTTP_GET, "/api/v1/runner/:runner", false, false, api_runner_get},
    {HTTP_POST, "/api/v1/runner/:runner", false, false, api_runner_exec},
    {HTTP_DELETE, "/api/v1/runner/:runner", false, false, api_runner_delete},
    {HTTP_GET, "/api/v1/doctor", false, true, api_doctor_get},
    {HTTP_POST, "/api/v1/doctor", false, true, api_doctor_start},
    {HTTP_GET, "/api/v1/worker", false, false, api_worker_get},
    {HTTP_GET, "/api/v1/worker/zombies", false, true, api_zombies_list},
    {HTTP_DELETE, "/api/v1/worker/zombies", false, true, api_zombies_remove},
    {HTTP_GET, "/api/v1/workers", false, false, api_workers_list},
    {HTTP_POST, "/api/v1/workers", false, true, api_workers_add},
    {HTTP_GET, "/api/v1/workers/:worker", false, false, api_workers_get},
    {HTTP_DELETE, "/api/v1/workers/:worker", false, true, api_workers_remove},
    {HTTP_GET, "/api/v1/workers/:worker/oven", false, false, api_ovens_get},
    {HTTP_PATCH, "/api/v1/workers/:worker/oven", false, true, api_ovens_change},
    {HTTP_GET, "/api/v1/workers/:worker/footprint", false, true, api_footprint_get},
    {HTTP_POST, "/api/v1/workers/:worker/drain", false, true, api_workers_drain},
    {HTTP_POST, "/api/v1/workers/:worker/resume", false, true, api_workers_resume},
};

static struct http_slice first_segment(const char *text, size_t len)
{
    const char *slash = len > 0 ? memchr(text, '/', len) : NULL;
    return (struct http_slice){text, slash ? (size_t)(slash - text) : len};
}

/* Both are without their leading slash here. *name is the segment that :runner or :worker stands
 * for.
 */
static bool matches(const char *pattern, struct http_slice path, struct http_slice *name)
{
    size_t pattern_len = strlen(pattern);
    for (;;) {
        struct http_slice want = first_segment(pattern, pattern_len);
        struct http_slice have = first_segment(path.text, path.len);
        if (want.len > 0 && want.text[0] == ':' && have.len > 0)
            *name = have;
        else if (want.len != have.len || memcmp(want.text, have.text, want.len) != 0)
            return false;
        bool pattern_over = want.len == pattern_len, path_over = have.len == path.len;
        if (pattern_over || path_over)
            return pattern_over && path_over;
        pattern += want.len + 1;
        pattern_len -= want.len + 1;
        path = (struct http_slice){path.text + have.len + 1, path.len - have.len - 1};
    }
}

static void add_allowed(char allow[ROUTES_ALLOW_MAX], const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, ROUTES_ALLOW_MAX - used, "%s%s", used ? ", " : "", method);
}

static const struct route *find(enum http_method method, struct http_slice path,
                                struct http_slice *name, char allow[ROUTES_ALLOW_MAX],
                                struct err *err)
{
    const struct route *first = NULL;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *route = &routes[i];
        if (first ? strcmp(first->path, route->path) != 0 : !matches(route->path + 1, path, name))
            continue;
        first = route;
        if (route->method == method || (route->method == HTTP_GET && method == HTTP_HEAD))
            return route;
        add_allowed(allow, http_method_name(route->method));
        if (route->method == HTTP_GET)
            add_allowed(allow, "HEAD");
    }
    if (!first) {
        err_set(err, ERR_NOT_FOUND, "no such path");
        return NULL;
    }
    add_allowed(allow, "OPTIONS");
    err_set(err, ERR_METHOD_NOT_ALLOWED, "allowed here: %s", allow);
    return NULL;
}

const struct route *routes_find(enum http_method method, struct http_slice path,
                                struct exchange *exchange, char allow[ROUTES_ALLOW_MAX],
                                struct err *err)
{
    allow[0] = '\0';
    if (path.len > 1 && path.text[path.len - 1] == '/')
        path.len--;
    if (path.len == 1 && path.text[0] == '*') { /* OPTIONS of the server as a whole */
        strcpy(allow, "GET, HEAD, POST, PATCH, DELETE, OPTIONS");
        err_set(err, ERR_METHOD_NOT_ALLOWED, "allowed here: %s", allow);
        return NULL;
    }
    struct http_slice name = {0};
    path = (struct http_slice){path.text + 1, path.len - 1};
    const struct route *route = find(method, path, &name, allow, err);
    if (!route || !name.text)
        return route;
    bool of_worker = strstr(route->path, "/:worker");
    char *text = of_worker ? exchange->worker : exchange->runner;
    if (http_decode(name, false, text, sizeof(exchange->runner)) && id_name_valid(text))
        return route;
    text[0] = '\0';
    err_set(err, of_worker ? ERR_NOT_FOUND : ERR_RUNNER_NOT_FOUND, "\"%.*s\" is no %s's name",
            name.len > 60 ? 60 : (int)name.len, name.text, of_worker ? "worker" : "runner");
    return NULL;
}
