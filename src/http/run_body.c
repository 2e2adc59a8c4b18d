#include "run_body.h"

#include "run_files.h"

#include "../common/ids.h"
#include "../common/json.h"
#include "../common/mem.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static int check_string(const json_t *value, const char *what, const char *name, size_t most,
                        struct err *err)
{
    if (!json_is_string(value))
        return err_set(err, ERR_BAD_REQUEST, "%s%.60s: must be a string", what, name);
    size_t len = json_string_length(value);
    if (strlen(json_string_value(value)) != len)
        return err_set(err, ERR_BAD_REQUEST, "%s%.60s: must not hold a NUL character", what, name);
    if (len > most)
        return err_set(err, ERR_BAD_REQUEST, "%s%.60s: has %zu bytes, at most %zu are allowed",
                       what, name, len, most);
    return 0;
}

static int parse_args(const json_t *body, struct run_request *request, struct err *err)
{
    if (json_get_array(body, "args", false, &request->args, err) != 0)
        return -1;
    size_t i, count = json_array_size(request->args);
    if (count > RUN_ARGS_MAX)
        return err_set(err, ERR_BAD_REQUEST, "args: has %zu entries, at most %d are allowed", count,
                       RUN_ARGS_MAX);
    json_t *arg;
    json_array_foreach(request->args, i, arg)
    {
        char index[24];
        snprintf(index, sizeof(index), "%zu", i);
        if (check_string(arg, "args.", index, RUN_STRING_MAX, err) != 0)
            return -1;
    }
    return 0;
}

static bool is_env_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    if (!name[0] || !strchr(letters, name[0]))
        return false;
    while (*name && (strchr(letters, *name) || (*name >= '0' && *name <= '9')))
        name++;
    return *name == '\0';
}

static int parse_env(const json_t *body, struct run_request *request, struct err *err)
{
    if (json_get_object(body, "env", false, &request->env, err) != 0)
        return -1;
    if (json_object_size(request->env) > RUN_ENV_MAX)
        return err_set(err, ERR_BAD_REQUEST, "env: has %zu entries, at most %d are allowed",
                       json_object_size(request->env), RUN_ENV_MAX);
    const char *name;
    json_t *value;
    json_object_foreach(request->env, name, value)
    {
        size_t len = strlen(name);
        if (!is_env_name(name))
            return err_set(err, ERR_BAD_REQUEST,
                           "env: \"%.60s\" is no name: letters, digits and _, no digit first",
                           name);
        if (len >= RUN_STRING_MAX)
            return err_set(err, ERR_BAD_REQUEST, "env: a name has %zu bytes", len);
        /* The kernel sees NAME=value as one string. */
        if (check_string(value, "env.", name, RUN_STRING_MAX - len - 1, err) != 0)
            return -1;
    }
    return 0;
}

static int set_time(double seconds, const struct run_limits *limits, struct run_request *request,
                    struct err *err)
{
    double most = (double)limits->time_max_ms / 1000;
    if (!(seconds > 0 && seconds <= most))
        return err_set(err, ERR_BAD_REQUEST,
                       "time: %g is out of bounds, must be more than 0 and at most %g seconds",
                       seconds, most);
    request->time_ms = (int64_t)ceil(seconds * 1000);
    return 0;
}

static int parse_time(const json_t *body, const char *query, const struct run_limits *limits,
                      struct run_request *request, struct err *err)
{
    const json_t *value = json_object_get(body, "time");
    request->time_ms = limits->time_ms;
    if (value && !json_is_null(value)) {
        if (!json_is_number(value))
            return err_set(err, ERR_BAD_REQUEST, "time: must be a number of seconds");
        return set_time(json_number_value(value), limits, request, err);
    }
    if (!query)
        return 0;
    char *end;
    errno = 0;
    double seconds = strtod(query, &end);
    if (end == query || *end != '\0' || strspn(query, "0123456789.") != strlen(query))
        return err_set(err, ERR_BAD_REQUEST, "time: \"%.40s\" is not a number of seconds", query);
    return set_time(seconds, limits, request, err);
}

static int parse_memory(const json_t *body, const struct run_limits *limits,
                        struct run_request *request, struct err *err)
{
    int64_t least = request->language->memory_bytes;
    request->memory_bytes = limits->memory_bytes;
    if (least > request->memory_bytes)
        request->memory_bytes = least < limits->memory_max_bytes ? least : limits->memory_max_bytes;
    return json_get_int(body, "memory", false, RUN_MEMORY_LEAST, limits->memory_max_bytes,
                        &request->memory_bytes, err);
}

static int parse_network(const json_t *body, const struct run_limits *limits,
                         struct run_request *request, struct err *err)
{
    const char *network = NULL;
    if (json_get_string(body, "network", false, &network, NULL, err) != 0)
        return -1;
    if (!network)
        return 0;
    request->nat = strcmp(network, "nat") == 0;
    if (!request->nat && strcmp(network, "none") != 0)
        return err_set(err, ERR_BAD_REQUEST, "network: \"%.40s\" is neither none nor nat", network);
    if (request->nat && !limits->nat)
        return err_set(err, ERR_FORBIDDEN, "network: nat is switched off here (network.nat)");
    return 0;
}

static int parse_name(const json_t *body, struct run_request *request, struct err *err)
{
    if (json_get_string(body, "name", false, &request->keep_name, NULL, err) != 0)
        return -1;
    const char *name = request->keep_name;
    if (!name)
        return 0;
    if (!id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST,
                       "name: \"%.60s\" must be a letter a-z, then letters a-z, digits and -, at "
                       "most %d in all",
                       name, NAME_MAX_LEN);
    if (strcmp(name, "run") == 0 || strcmp(name, "new") == 0)
        return err_set(err, ERR_BAD_REQUEST, "name: run and new are no runner's name");
    return 0;
}

/* Every field: what it is for, and where it may stand. */
enum { FRESH = 1 << RUN_BODY_FRESH, NEW = 1 << RUN_BODY_NEW, NAMED = 1 << RUN_BODY_NAMED };

static const struct field {
    const char *key;
    unsigned kinds;
    bool for_code; /* of no use without */
} fields[] = {
    {"code", FRESH | NEW | NAMED, false},   {"language", FRESH | NEW | NAMED, true},
    {"stdin", FRESH | NEW | NAMED, true},   {"stdinBase64", FRESH | NEW | NAMED, true},
    {"args", FRESH | NEW | NAMED, true},    {"env", FRESH | NEW | NAMED, true},
    {"cwd", FRESH | NEW | NAMED, true},     {"files", FRESH | NEW | NAMED, true},
    {"collect", FRESH | NEW | NAMED, true}, {"time", FRESH | NEW | NAMED, true},
    {"cpuTime", FRESH | NEW | NAMED, true}, {"output", FRESH | NEW | NAMED, true},
    {"memory", FRESH | NEW, false},         {"processes", FRESH | NEW, false},
    {"disk", FRESH | NEW, false},           {"template", FRESH | NEW, false},
    {"queue", FRESH | NEW, false},          {"network", FRESH | NEW, false},
    {"worker", FRESH | NEW, false},         {"name", NEW, false},
};

static const struct field *find_field(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

static int check_field(const char *key, const json_t *value, enum run_body_kind kind, bool code,
                       struct err *err)
{
    const struct field *field = find_field(key);
    if (json_is_null(value) && field)
        return 0;
    if (field && kind == RUN_BODY_NAMED && !(field->kinds & NAMED) && field->kinds & FRESH)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: is set when the runner is made, not for a run on it", key);
    if (!field || !(field->kinds & 1U << kind))
        return err_set(err, ERR_BAD_REQUEST, "%.60s: unknown field", key);
    if (!code && field->for_code)
        return err_set(err, ERR_BAD_REQUEST, "%s: is of no use without code", key);
    return 0;
}

static int parse_code(const json_t *body, enum run_body_kind kind, struct run_request *request,
                      struct err *err)
{
    const char *key;
    json_t *value;
    const bool required = kind != RUN_BODY_NEW;
    if (json_get_string(body, "code", false, &request->code, &request->code_len, err) != 0)
        return -1;
    /* A misspelt field is told before one that is missing: it may be the reason. */
    json_object_foreach((json_t *)body, key, value)
    {
        if (check_field(key, value, kind, required || request->code, err) != 0)
            return -1;
    }
    return json_get_string(body, "code", required, &request->code, &request->code_len, err);
}

/* cwd is no place that we look at: the runner's own user enters it. */
static int parse_cwd(const json_t *body, struct run_request *request, struct err *err)
{
    size_t len = 0;
    if (json_get_string(body, "cwd", false, &request->cwd, &len, err) != 0)
        return -1;
    if (!request->cwd)
        return 0;
    if (check_string(json_object_get(body, "cwd"), "", "cwd", RUN_CWD_MAX, err) != 0)
        return -1;
    if (request->cwd[0] != '/')
        return err_set(err, ERR_BAD_REQUEST, "cwd: must be absolute");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)request->cwd[i] < ' ')
            return err_set(err, ERR_BAD_REQUEST, "cwd: must not hold control characters");
    return 0;
}

static int parse_seconds(const json_t *body, const char *key, int64_t most_ms, int64_t least_ms,
                         int64_t *ms, struct err *err)
{
    const json_t *value = json_object_get(body, key);
    double most = (double)most_ms / 1000;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_number(value))
        return err_set(err, ERR_BAD_REQUEST, "%s: must be a number of seconds", key);
    double seconds = json_number_value(value);
    if (!(seconds >= 0 && seconds <= most) || (least_ms > 0 && seconds == 0))
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: %g is out of bounds, must be %s and at most %g seconds", key, seconds,
                       least_ms > 0 ? "more than 0" : "0 or more", most);
    *ms = (int64_t)ceil(seconds * 1000);
    return 0;
}

static int parse_template(const json_t *body, struct run_request *request, struct err *err)
{
    const char *name = NULL;
    if (json_get_string(body, "template", false, &name, NULL, err) != 0)
        return -1;
    if (!name)
        return 0;
    if (!id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST,
                       "template: \"%.60s\" must be a letter a-z, then letters a-z, digits and -, "
                       "at most %d in all",
                       name, NAME_MAX_LEN);
    request->template_name = name;
    return 0;
}

static int parse_worker(const json_t *body, const struct run_limits *limits,
                        struct run_request *request, struct err *err)
{
    const char *name = NULL;
    if (json_get_string(body, "worker", false, &name, NULL, err) != 0)
        return -1;
    if (name && !limits->admin)
        return err_set(err, ERR_FORBIDDEN, "worker: an admin's token alone may choose one");
    if (name && !id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST, "worker: \"%.60s\" is no worker's name", name);
    request->worker_name = name;
    return 0;
}

static int parse_runner(const json_t *body, const struct run_limits *limits,
                        struct run_request *request, struct err *err)
{
    if (json_get_int(body, "processes", false, RUN_PROCESSES_LEAST, limits->processes_max,
                     &request->processes, err) != 0 ||
        json_get_int(body, "disk", false, RUN_DISK_LEAST, limits->disk_max_bytes,
                     &request->disk_bytes, err) != 0 ||
        parse_template(body, request, err) != 0 || parse_worker(body, limits, request, err) != 0)
        return -1;
    return parse_seconds(body, "queue", limits->queue_max_ms, 0, &request->queue_ms, err);
}

static int parse_run(json_t *body, const struct run_limits *limits, struct run_request *request,
                     struct err *err)
{
    const char *program = request->runner || !request->code ? NULL : request->language->file;
    if (run_files_parse_input(body, request, err) != 0 || parse_cwd(body, request, err) != 0 ||
        run_files_parse(body, program, request, err) != 0 ||
        run_files_parse_collect(body, request, err) != 0 ||
        parse_seconds(body, "cpuTime", limits->cpu_max_ms, 1, &request->cpu_ms, err) != 0)
        return -1;
    return json_get_int(body, "output", false, 0, limits->output_max_bytes, &request->output_bytes,
                        err);
}

static int parse_language(const json_t *body, const struct languages *languages,
                          struct run_request *request, struct err *err)
{
    const char *name = NULL;
    size_t len = 0;
    if (json_get_string(body, "language", false, &name, &len, err) != 0)
        return -1;
    request->language =
        name ? languages_find(languages, name, len, err) : languages_default(languages);
    return request->language ? 0 : -1;
}

static int parse_fields(json_t *body, const char *time_query, enum run_body_kind kind,
                        const struct run_limits *limits, struct run_request *request,
                        struct err *err)
{
    if (parse_code(body, kind, request, err) != 0 ||
        parse_language(body, limits->languages, request, err) != 0 ||
        parse_args(body, request, err) != 0 || parse_env(body, request, err) != 0 ||
        parse_time(body, time_query, limits, request, err) != 0 ||
        parse_run(body, limits, request, err) != 0)
        return -1;
    if (kind == RUN_BODY_NAMED)
        return 0;
    if (kind == RUN_BODY_NEW && parse_name(body, request, err) != 0)
        return -1;
    if (parse_network(body, limits, request, err) != 0 ||
        parse_memory(body, limits, request, err) != 0)
        return -1;
    return parse_runner(body, limits, request, err);
}

int run_body_parse(const char *text, size_t len, const char *time_query, enum run_body_kind kind,
                   const struct run_limits *limits, struct run_request *request, struct err *err)
{
    json_t *body = len > 0 ? json_parse_object(text, len, true, err) : json_object();
    if (!body)
        return -1;
    if (parse_fields(body, time_query, kind, limits, request, err) != 0) {
        json_decref(body);
        return -1;
    }
    request->hold = body;
    return 0;
}
