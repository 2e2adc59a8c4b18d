#include "../common/json.h"
#include "../manager/provision.h"
#include "api.h"

static void put_checks(struct json_writer *json, const struct provision *at)
{
    json_put_open(json, "checks", '[');
    for (size_t i = 0; i < at->checks_len; i++) {
        json_put_open(json, NULL, '{');
        json_put_text(json, "name", at->checks[i].name);
        json_put_text(json, "level", at->checks[i].level);
        json_put_text(json, "text", at->checks[i].text);
        json_put_text_or_null(json, "fix", at->checks[i].fix);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void answer(struct exchange *exchange, int status, const struct provision *at)
{
    static const char *const states[] = {
        [PROVISION_RUNNING] = "running",
        [PROVISION_READY] = "ready",
        [PROVISION_FAILED] = "failed",
    };
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '{');
    json_put_text(&json, "worker", at->spec.name);
    json_put_bool(&json, "install", at->install);
    json_put_text(&json, "state", states[at->state]);
    json_put_text(&json, "step", at->step);
    if (at->percent >= 0)
        json_put_int(&json, "percent", at->percent);
    else
        json_put_null(&json, "percent");
    put_checks(&json, at);
    if (at->state == PROVISION_FAILED) {
        json_put_open(&json, "error", '{');
        json_put_text(&json, "name", err_name(at->err.code));
        json_put_text(&json, "message", at->err.msg);
        json_close(&json, '}');
    } else {
        json_put_null(&json, "error");
    }
    json_put_text_or_null(&json, "hostKey", at->host_key);
    json_put_text_or_null(&json, "hostKeyType", at->host_key_type);
    json_close(&json, '}');
    exchange_answer(exchange, status, &body);
}

static int start(const struct exchange *exchange, struct worker_spec *spec, struct err *err)
{
    static const char *const also[] = {"install", "sendTemplate", NULL};
    const char *template_name = NULL;
    bool install = false;
    cleanup_json json_t *body = json_parse_object(exchange->body, exchange->body_len, false, err);
    if (!body || worker_spec_parse(body, also, spec, err) != 0 ||
        json_get_bool(body, "install", false, &install, err) != 0 ||
        json_get_string(body, "sendTemplate", false, &template_name, NULL, err) != 0)
        return -1;
    return provisioner_start(exchange->app->provisioner, spec, install,
                             template_name ? template_name : "", err);
}

void api_doctor_start(struct exchange *exchange)
{
    struct err err;
    struct worker_spec spec;
    if (start(exchange, &spec, &err) != 0)
        exchange_fail(exchange, &err);
    else
        answer(exchange, 202, provisioner_find(exchange->app->provisioner, spec.name));
}

void api_doctor_get(struct exchange *exchange)
{
    struct err err;
    char name[NAME_MAX_LEN + 1];
    bool valid = true;
    const struct provision *at = NULL;
    if (exchange_query(exchange, "worker", name, sizeof(name), &valid) && valid)
        at = provisioner_find(exchange->app->provisioner, name);
    if (at) {
        answer(exchange, 200, at);
        return;
    }
    err_set(&err, ERR_NOT_FOUND, "worker: no host of that name has been looked at");
    exchange_fail(exchange, &err);
}
