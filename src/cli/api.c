#include "api.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "http_client.h"

#define TIMEOUT_MS 60000

int api_init(struct api *api, const struct config *config, int stop_fd, struct err *err)
{
    *api = (struct api){.config = config, .stop_fd = stop_fd};
    return hello_token(config, api->token, err);
}

json_t *api_ask(const struct api *api, const char *method, const char *path, json_t *take_body,
                struct err *err)
{
    char whole[400];
    cleanup_free char *body = take_body ? json_dumps(take_body, JSON_COMPACT) : NULL;
    json_decref(take_body);
    if (!str_format(whole, sizeof(whole), "/api/v1%s", path)) {
        err_set(err, ERR_BAD_REQUEST, "the path is too long");
        return NULL;
    }
    const struct http_request request = {
        .address = api->config->http_listen,
        .method = method,
        .path = whole,
        .token = api->token,
        .body = body,
        .timeout_ms = TIMEOUT_MS,
        .cancel_fd = api->stop_fd,
    };
    struct http_answer answer;
    if (http_client_ask(&request, &answer, err) != 0)
        return NULL;
    json_t *object = json_parse_object(answer.body, answer.len, true, err);
    free(answer.body);
    if (!object || (answer.status >= 200 && answer.status < 300))
        return object;
    struct err ignored;
    const char *message = "no reason given", *name = "";
    json_get_string(object, "message", false, &message, NULL, &ignored);
    json_get_string(object, "name", false, &name, NULL, &ignored);
    err_set(err, err_from_name(name), "%s", message);
    json_decref(object);
    return NULL;
}
