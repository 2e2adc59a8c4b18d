/* The body of a request that runs code; the first byte says of which kind, and up to a newline it
 * is followed by the text of ?time=.
 */
#include "fuzz.h"

#include "../../src/common/path.h"
#include "../../src/common/str.h"
#include "../../src/http/run_body.h"
#include "../../src/http/run_files.h"
#include "../support/known_languages.h"

static struct run_limits limits = {
    .time_ms = 60000,
    .time_max_ms = 600000,
    .memory_bytes = 256 << 20,
    .memory_max_bytes = 1 << 30,
    .cpu_max_ms = 600000,
    .processes_max = 1024,
    .disk_max_bytes = 1 << 30,
    .output_max_bytes = 16 << 20,
    .queue_max_ms = 60000,
};

/* Whatever is accepted stays inside its folder. */
static void check_files(const struct run_request *request)
{
    size_t i;
    json_t *file;
    must(json_array_size(request->files) <= RUN_FILES_MAX);
    must(json_array_size(request->globs) <= RUN_GLOBS_MAX);
    json_array_foreach(request->files, i, file)
    {
        const char *path = json_string_value(json_array_get(file, 0));
        must(path_is_inside(path, strlen(path)));
        must(json_integer_value(json_array_get(file, 1)) <= 0777);
        must(json_is_string(json_array_get(file, 2)));
    }
    json_array_foreach(request->globs, i, file)
        must(path_is_inside(json_string_value(file), json_string_length(file)));
}

static void check_request(const struct run_request *request, enum run_body_kind kind)
{
    must(request->language);
    must(request->time_ms >= 1 && request->time_ms <= limits.time_max_ms);
    if (kind != RUN_BODY_NAMED)
        must(request->memory_bytes >= RUN_MEMORY_LEAST &&
             request->memory_bytes <= limits.memory_max_bytes);
    must(request->code || kind == RUN_BODY_NEW);
    if (request->code) /* every byte is there, and text */
        must(str_utf8_valid(request->code, request->code_len) == request->code_len);
    must(request->cpu_ms >= 0 && request->cpu_ms <= limits.cpu_max_ms);
    must(request->queue_ms >= 0 && request->queue_ms <= limits.queue_max_ms);
    must(request->output_bytes >= 0 && request->output_bytes <= limits.output_max_bytes);
    must(!request->cwd || request->cwd[0] == '/');
    check_files(request);
    must(json_array_size(request->args) <= RUN_ARGS_MAX);
    size_t i;
    json_t *value;
    json_array_foreach(request->args, i, value) must(
        json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value));
    must(json_object_size(request->env) <= RUN_ENV_MAX);
    const char *name;
    json_object_foreach(request->env, name, value)
        must(name[0] && !strchr(name, '=') && json_is_string(value) &&
             strlen(json_string_value(value)) == json_string_length(value));
    if (request->keep_name)
        must(kind == RUN_BODY_NEW && id_name_valid(request->keep_name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!end || end - data > 50)
        return 0;
    enum run_body_kind kind = (enum run_body_kind)(data[0] % 3);
    char query[64];
    snprintf(query, sizeof(query), "%.*s", (int)(end - data), (const char *)data);
    struct run_request request = {.time_ms = 0};
    limits.languages = known_languages();
    limits.admin = data[0] / 3 % 2;
    struct err err = {0};
    const char *body = (const char *)end + 1;
    size_t len = size - (size_t)(end + 1 - data);
    if (run_body_parse(body, len, query[0] ? query + 1 : NULL, kind, &limits, &request, &err) ==
        0) {
        check_request(&request, kind);
        json_decref(request.hold);
    } else {
        must(err.code == ERR_BAD_REQUEST || err.code == ERR_UNKNOWN_LANGUAGE ||
             (err.code == ERR_FORBIDDEN && !limits.admin));
        size_t said = strlen(err.msg);
        must(said > 0 && str_utf8_valid(err.msg, said) == said);
    }
    return 0;
}
