#include "hello.h"

#include "http_client.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define READY_TIMEOUT_MS 2000
#define RUN_TIMEOUT_MS 30000

#define PROGRAM "{\"code\": \"echo \\\"Hello from $(uname -n)\\\"\"}"

/* The answer's object; when its status is not 200, fails with the API's own message. */
static json_t *ask(const struct http_request *request, struct err *err)
{
    struct http_answer answer;
    if (http_client_ask(request, &answer, err) != 0)
        return NULL;
    json_t *object = json_parse_object(answer.body, answer.len, true, err);
    free(answer.body);
    if (!object) {
        err_set(err, ERR_BAD_GATEWAY, "%s answered %d without JSON", request->path, answer.status);
        return NULL;
    }
    if (answer.status == 200)
        return object;
    const char *message = "", *name = "";
    struct err ignored;
    json_get_string(object, "message", false, &message, NULL, &ignored);
    json_get_string(object, "name", false, &name, NULL, &ignored);
    err_set(err, err_from_name(name), "%s", message);
    json_decref(object);
    return NULL;
}

bool hello_ready(const struct config *config, int cancel_fd, struct err *err)
{
    const struct http_request request = {
        .address = config->http_listen,
        .method = "GET",
        .path = "/readyz",
        .timeout_ms = READY_TIMEOUT_MS,
        .cancel_fd = cancel_fd,
    };
    json_t *object = ask(&request, err);
    json_decref(object);
    return object != NULL;
}

int hello_token(const struct config *config, char token[HELLO_TOKEN_MAX], struct err *err)
{
    char path[PATH_MAX];
    if (!str_format(path, sizeof(path), "%s/admin.token", config->paths_state_dir))
        return err_set(err, ERR_INTERNAL, "paths.state_dir is too long");
    ssize_t len = fd_read_file(AT_FDCWD, path, token, HELLO_TOKEN_MAX);
    if (len < 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot read the admin token: %s", path);
    token[strcspn(token, "\r\n")] = '\0';
    return 0;
}

int hello_run(const struct config *config, const char *token, int cancel_fd, char *said,
              size_t room, double *duration_ms, struct err *err)
{
    const struct http_request request = {
        .address = config->http_listen,
        .method = "POST",
        .path = "/api/v1/runner/run",
        .token = token,
        .body = PROGRAM,
        .timeout_ms = RUN_TIMEOUT_MS,
        .cancel_fd = cancel_fd,
    };
    cleanup_json json_t *object = ask(&request, err);
    const char *status = "", *text = "";
    size_t len = 0;
    if (!object || json_get_string(object, "status", true, &status, NULL, err) != 0 ||
        json_get_string(object, "stdout", true, &text, &len, err) != 0 ||
        json_get_number(object, "duration", true, 0, 1e9, duration_ms, err) != 0)
        return -1;
    str_format(said, room, "%.*s", (int)strcspn(text, "\n"), text);
    if (strcmp(status, "ok") != 0 || !str_starts_with(text, "Hello from "))
        return err_set(err, ERR_EXECUTION_FAILED, "the program ended with \"%s\" and said \"%s\"",
                       status, said);
    return 0;
}

bool hello_oven(const struct config *config, const char *token, int cancel_fd, int64_t *available,
                int64_t *cooking)
{
    const struct http_request request = {
        .address = config->http_listen,
        .method = "GET",
        .path = "/api/v1/worker",
        .token = token,
        .timeout_ms = READY_TIMEOUT_MS,
        .cancel_fd = cancel_fd,
    };
    struct err err;
    json_t *oven = NULL;
    cleanup_json json_t *object = ask(&request, &err);
    return object && json_get_object(object, "oven", true, &oven, &err) == 0 &&
           json_get_int(oven, "available", true, 0, INT_MAX, available, &err) == 0 &&
           json_get_int(oven, "cooking", true, 0, INT_MAX, cooking, &err) == 0;
}
