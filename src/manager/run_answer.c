#include "run_answer.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/path.h"

#include <string.h>

static int parse_word(const json_t *json, const char *key, bool required, char *word,
                      struct err *err)
{
    const char *text = "";
    if (json_get_string(json, key, required, &text, NULL, err) != 0)
        return -1;
    if (strlen(text) > RUNNER_WORD_LEN)
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %d bytes", key, RUNNER_WORD_LEN);
    strcpy(word, text);
    return 0;
}

int run_answer_runner(const json_t *json, struct run_result *result, struct err *err)
{
    const char *runner = "";
    if (json_get_string(json, "runner", true, &runner, NULL, err) != 0)
        return -1;
    if (!id_name_valid(runner))
        return err_set(err, ERR_BAD_REQUEST, "runner: \"%.50s\" is no runner's name", runner);
    strcpy(result->runner, runner);
    return 0;
}

static int parse_truncated(const json_t *json, struct run_end *end, struct err *err)
{
    static const char *const keys[] = {"stdout", "stderr", NULL};
    json_t *truncated = NULL;
    bool out = false, both = false;
    if (json_get_object(json, "truncated", false, &truncated, err) != 0)
        return -1;
    if (truncated && (json_only_keys(truncated, keys, err) != 0 ||
                      json_get_bool(truncated, "stdout", false, &out, err) != 0 ||
                      json_get_bool(truncated, "stderr", false, &both, err) != 0))
        return -1;
    end->out_truncated |= out;
    end->err_truncated |= both;
    return 0;
}

static int parse_end(const json_t *json, struct run_end *end, struct err *err)
{
    int64_t code = -1;
    if (parse_word(json, "status", true, end->status, err) != 0 ||
        parse_word(json, "signal", false, end->signal, err) != 0 ||
        json_get_int(json, "exit", false, 0, 255, &code, err) != 0 ||
        json_get_number(json, "wall", false, 0, 1e15, &end->wall_ms, err) != 0 ||
        json_get_number(json, "cpuUser", false, 0, 1e15, &end->cpu_user_ms, err) != 0 ||
        json_get_number(json, "cpuSys", false, 0, 1e15, &end->cpu_sys_ms, err) != 0 ||
        json_get_int(json, "memoryPeak", false, 0, INT64_MAX, &end->memory_peak_bytes, err) != 0)
        return -1;
    end->exit = (int)code;
    return parse_truncated(json, end, err);
}

int run_answer_result(const json_t *json, bool ran, struct run_result *result, struct err *err)
{
    static const char *const keys[] = {"runner", "status",    "exit",     "signal",
                                       "wall",   "cpuUser",   "cpuSys",   "memoryPeak",
                                       "queued", "truncated", "filesCut", NULL};
    if (json_only_keys(json, keys, err) != 0 || run_answer_runner(json, result, err) != 0 ||
        json_get_number(json, "queued", false, 0, 1e15, &result->queued_ms, err) != 0 ||
        json_get_bool(json, "filesCut", false, &result->files_cut, err) != 0)
        return -1;
    return ran ? parse_end(json, &result->program, err) : 0;
}

int run_answer_compiled(const json_t *json, struct run_result *result, struct err *err)
{
    static const char *const keys[] = {"status", "exit",       "signal",    "wall", "cpuUser",
                                       "cpuSys", "memoryPeak", "truncated", NULL};
    struct run_end *compile = &result->compile, *program = &result->program;
    if (compile->status[0])
        return err_set(err, ERR_BAD_REQUEST, "came twice");
    compile->out_truncated = program->out_truncated;
    compile->err_truncated = program->err_truncated;
    program->out_truncated = program->err_truncated = false;
    output_move(&compile->output, &program->output);
    return json_only_keys(json, keys, err) != 0 ? -1 : parse_end(json, compile, err);
}

int run_answer_found(const json_t *json, int64_t most_files, int64_t most_bytes,
                     struct run_result *result, struct err *err)
{
    static const char *const keys[] = {"path", "size", "mode", "error", NULL};
    const char *path = "";
    int64_t mode = 0;
    struct run_found found = {.path = NULL};
    if (json_only_keys(json, keys, err) != 0 ||
        json_get_string(json, "path", true, &path, NULL, err) != 0 ||
        json_get_int(json, "size", true, 0, INT64_MAX, &found.size_bytes, err) != 0 ||
        json_get_int(json, "mode", true, 0, 0777, &mode, err) != 0 ||
        parse_word(json, "error", false, found.error, err) != 0 ||
        path_check_inside(path, strlen(path), err) != 0)
        return -1;
    if ((int64_t)result->files_len >= most_files)
        return err_set(err, ERR_BAD_REQUEST, "more than %d files", (int)most_files);
    found.path = mem_strdup(path);
    found.mode = (unsigned)mode;
    buf_init(&found.data, (size_t)most_bytes);
    result->files = mem_realloc(result->files, (result->files_len + 1) * sizeof(*result->files));
    result->files[result->files_len++] = found;
    return 0;
}

int run_answer_data(const void *data, size_t len, struct run_result *result, struct err *err)
{
    struct run_found *last = result->files_len ? &result->files[result->files_len - 1] : NULL;
    if (!last || last->error[0] || !buf_append(&last->data, data, len))
        return err_set(err, ERR_BAD_REQUEST, "is more than was asked for");
    return 0;
}
