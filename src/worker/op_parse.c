#include "op_parse.h"

#include "runner.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/path.h"
#include "../common/signals.h"
#include "../common/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copy_strings(const json_t *array, const char *key, const char **to, size_t most,
                        uint32_t *count, struct err *err)
{
    size_t len = json_array_size(array);
    if (len > most)
        return err_set(err, ERR_BAD_REQUEST, "%s: %zu entries, at most %zu", key, len, most);
    for (size_t i = 0; i < len; i++) {
        json_t *item = json_array_get(array, i);
        if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
            return err_set(err, ERR_BAD_REQUEST, "%s[%zu]: must be a string without NUL", key, i);
        to[i] = json_string_value(item);
    }
    to[len] = NULL;
    *count = (uint32_t)len;
    return 0;
}

static int parse_file(const json_t *item, struct op_file *file, struct err *err)
{
    static const char *const keys[] = {"name", "mode", "bytes", "unlinkAfter", NULL};
    int64_t mode = 0644;
    if (!json_is_object(item))
        return err_set(err, ERR_BAD_REQUEST, "files: must hold objects");
    if (json_only_keys(item, keys, err) != 0 ||
        json_get_string(item, "name", true, &file->name, NULL, err) != 0 ||
        json_get_int(item, "mode", false, 0, 0777, &mode, err) != 0 ||
        json_get_int(item, "bytes", true, 0, OP_FILE_BYTES_MAX, &file->bytes, err) != 0 ||
        json_get_bool(item, "unlinkAfter", false, &file->unlink_after, err) != 0)
        return err_context(err, "files");
    if (!file->name[0] || strlen(file->name) > OP_PATH_MAX)
        return err_set(err, ERR_BAD_REQUEST, "files: name: must have 1..%d bytes", OP_PATH_MAX);
    file->mode = (uint32_t)mode;
    return 0;
}

static int parse_files(const json_t *array, struct op_run *run, struct err *err)
{
    if (json_array_size(array) > OP_FILES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "files: %zu entries, at most %d",
                       json_array_size(array), OP_FILES_MAX);
    for (size_t i = 0; i < json_array_size(array); i++)
        if (parse_file(json_array_get(array, i), &run->files[i], err) != 0)
            return -1;
    run->files_len = json_array_size(array);
    return 0;
}

static int parse_keep(const json_t *keep, struct op_run *run, struct err *err)
{
    static const char *const keys[] = {"name", "owner", NULL};
    if (json_only_keys(keep, keys, err) != 0 ||
        json_get_string(keep, "name", false, &run->keep_name, NULL, err) != 0 ||
        json_get_string(keep, "owner", true, &run->keep_owner, NULL, err) != 0)
        return err_context(err, "keep");
    if (run->keep_name && !id_name_valid(run->keep_name))
        return err_set(err, ERR_BAD_REQUEST, "name: must match [a-z][a-z0-9-]{0,40}");
    if (strlen(run->keep_owner) > RUNNER_OWNER_MAX)
        return err_set(err, ERR_BAD_REQUEST, "owner: longer than %d bytes", RUNNER_OWNER_MAX);
    run->keep = true;
    return 0;
}

static int parse_compile(const json_t *compile, struct op_run *run, struct err *err)
{
    static const char *const keys[] = {"argv", "timeMs", "outputBytes", NULL};
    json_t *argv = NULL;
    if (json_only_keys(compile, keys, err) != 0 ||
        json_get_array(compile, "argv", true, &argv, err) != 0 ||
        json_get_int(compile, "timeMs", true, 1, INT32_MAX, &run->compile.time_ms, err) != 0 ||
        json_get_int(compile, "outputBytes", true, 0, INT64_MAX, &run->compile.output_bytes, err) !=
            0 ||
        copy_strings(argv, "argv", run->compile.argv, AGENT_ARGV_MAX, &run->compile.argc, err) != 0)
        return err_context(err, "compile");
    return run->compile.argc > 0 ? 0 : err_set(err, ERR_BAD_REQUEST, "compile: argv: is empty");
}

static int parse_collect(const json_t *collect, struct op_run *run, struct err *err)
{
    static const char *const keys[] = {"globs", "bytes", "files", NULL};
    json_t *globs = NULL;
    if (json_only_keys(collect, keys, err) != 0 ||
        json_get_array(collect, "globs", true, &globs, err) != 0 ||
        json_get_int(collect, "bytes", true, 0, OP_COLLECT_BYTES_MAX, &run->collect.bytes, err) !=
            0 ||
        json_get_int(collect, "files", true, 1, OP_COLLECT_FILES_MAX, &run->collect.files, err) !=
            0 ||
        copy_strings(globs, "globs", run->collect.globs, OP_GLOBS_MAX, &run->collect.globs_len,
                     err) != 0)
        return err_context(err, "collect");
    for (uint32_t i = 0; i < run->collect.globs_len; i++)
        if (path_check_inside(run->collect.globs[i], strlen(run->collect.globs[i]), err) != 0)
            return err_context(err, "collect");
    return 0;
}

static int check_run(struct op_run *run, struct err *err)
{
    const char *cwd = run->exec.cwd;
    if (strlen(run->id) > OP_ID_MAX)
        return err_set(err, ERR_BAD_REQUEST, "id: at most %d characters", OP_ID_MAX);
    if ((cwd[0] && cwd[0] != '/') || strlen(cwd) > OP_PATH_MAX)
        return err_set(err, ERR_BAD_REQUEST,
                       "cwd: must be absolute, or empty, and have at most %d bytes", OP_PATH_MAX);
    if (run->runner && !id_name_valid(run->runner))
        return err_set(err, ERR_RUNNER_NOT_FOUND, "no runner has such a name");
    if (run->exec.argc == 0 && (!run->keep || run->files_len > 0))
        return err_set(err, ERR_BAD_REQUEST, "argv: is missing");
    if (run->scratch &&
        (strchr(run->scratch, '/') || !path_is_inside(run->scratch, strlen(run->scratch))))
        return err_set(err, ERR_BAD_REQUEST, "scratch: must be one component of a path");
    /* Too long an environment is found before a runner is taken for it. */
    return op_run_set_env(run, &(struct engine_limits){.memory_bytes = INT64_MAX}, err);
}

/* 0 when it is missing and may be. */
static int get_key(const json_t *json, bool required, uint64_t *key, struct err *err)
{
    const char *text = NULL;
    *key = 0;
    if (json_get_string(json, "key", required, &text, NULL, err) != 0)
        return -1;
    if (!text)
        return 0;
    if (strlen(text) == OP_KEY_LEN && strspn(text, "0123456789abcdef") == OP_KEY_LEN)
        *key = strtoull(text, NULL, 16);
    return *key
               ? 0
               : err_set(err, ERR_BAD_REQUEST, "key: must be %d hex digits, not all 0", OP_KEY_LEN);
}

static int parse_network(const char *word, bool *nat, struct err *err)
{
    *nat = strcmp(word, "nat") == 0;
    return *nat || strcmp(word, "none") == 0
               ? 0
               : err_set(err, ERR_BAD_REQUEST, "network: must be none or nat");
}

static int parse_run(struct op_run *run, bool exec_on_named, struct err *err)
{
    static const char *const run_keys[] = {
        "id",        "template",    "argv",    "env",    "envDefaults", "cwd",         "files",
        "scratch",   "compile",     "collect", "timeMs", "cpuMs",       "memoryBytes", "processes",
        "diskBytes", "outputBytes", "queueMs", "keep",   "network",     "key",         NULL};
    static const char *const exec_keys[] = {
        "id",      "runner",  "argv",   "env",   "envDefaults", "cwd", "files", "scratch",
        "compile", "collect", "timeMs", "cpuMs", "outputBytes", "key", NULL};
    const json_t *json = run->json;
    json_t *argv = NULL, *files = NULL, *keep = NULL, *compile = NULL, *collect = NULL;
    const char *network = NULL;
    if (json_only_keys(json, exec_on_named ? exec_keys : run_keys, err) != 0 ||
        json_get_string(json, "id", true, &run->id, NULL, err) != 0 ||
        json_get_array(json, "argv", exec_on_named, &argv, err) != 0 ||
        json_get_object(json, "env", false, &run->env, err) != 0 ||
        json_get_object(json, "envDefaults", false, &run->env_defaults, err) != 0 ||
        json_get_object(json, "compile", false, &compile, err) != 0 ||
        json_get_object(json, "collect", false, &collect, err) != 0 ||
        json_get_string(json, "scratch", false, &run->scratch, NULL, err) != 0 ||
        json_get_string(json, "cwd", false, &run->exec.cwd, NULL, err) != 0 ||
        json_get_array(json, "files", false, &files, err) != 0 ||
        json_get_object(json, "keep", false, &keep, err) != 0 ||
        json_get_string(json, "runner", exec_on_named, &run->runner, NULL, err) != 0 ||
        json_get_string(json, "template", false, &run->template_name, NULL, err) != 0 ||
        json_get_string(json, "network", false, &network, NULL, err) != 0 ||
        json_get_int(json, "timeMs", argv != NULL, 1, INT32_MAX, &run->time_ms, err) != 0 ||
        json_get_int(json, "memoryBytes", false, OP_MEMORY_LEAST, INT64_MAX, &run->memory_bytes,
                     err) != 0 ||
        json_get_int(json, "cpuMs", false, 0, INT32_MAX, &run->cpu_ms, err) != 0 ||
        json_get_int(json, "processes", false, OP_PROCESSES_LEAST, INT32_MAX, &run->processes,
                     err) != 0 ||
        json_get_int(json, "diskBytes", false, OP_DISK_LEAST, INT64_MAX / 2, &run->disk_bytes,
                     err) != 0 ||
        json_get_int(json, "outputBytes", argv != NULL, 0, INT64_MAX, &run->output_bytes, err) !=
            0 ||
        json_get_int(json, "queueMs", false, 0, INT32_MAX, &run->queue_ms, err) != 0)
        return -1;
    if ((network && parse_network(network, &run->nat, err) != 0) ||
        get_key(json, false, &run->key, err) != 0)
        return -1;
    if (argv &&
        copy_strings(argv, "argv", run->exec.argv, AGENT_ARGV_MAX, &run->exec.argc, err) != 0)
        return -1;
    if ((files && parse_files(files, run, err) != 0) || (keep && parse_keep(keep, run, err) != 0) ||
        (compile && parse_compile(compile, run, err) != 0) ||
        (collect && parse_collect(collect, run, err) != 0))
        return -1;
    return check_run(run, err);
}

int op_run_parse(const char *text, size_t len, bool exec_on_named, struct op_run *run,
                 struct err *err)
{
    *run = (struct op_run){.id = "", .template_name = "", .exec = {.cwd = ""}};
    run->json = json_parse_object(text, len, false, err);
    if (!run->json)
        return -1;
    if (parse_run(run, exec_on_named, err) == 0)
        return 0;
    op_run_finish(run);
    return -1;
}

void op_run_finish(struct op_run *run)
{
    json_decref(run->json);
    run->json = NULL;
}

int op_destroy_parse(const char *text, size_t len, char name[NAME_MAX_LEN + 1], struct err *err)
{
    static const char *const keys[] = {"runner", NULL};
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    const char *runner = NULL;
    if (!json || json_only_keys(json, keys, err) != 0 ||
        json_get_string(json, "runner", true, &runner, NULL, err) != 0)
        return -1;
    if (!id_name_valid(runner))
        return err_set(err, ERR_RUNNER_NOT_FOUND, "no runner has such a name");
    strcpy(name, runner);
    return 0;
}

int op_signal_parse(const char *text, size_t len, int *signal, struct err *err)
{
    static const char *const keys[] = {"signal", NULL};
    const char *name = "";
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    if (!json || json_only_keys(json, keys, err) != 0 ||
        json_get_string(json, "signal", true, &name, NULL, err) != 0)
        return -1;
    *signal = signals_number(name);
    if (*signal == 0)
        return err_set(err, ERR_BAD_REQUEST, "signal: \"%.40s\" is no signal's name", name);
    return 0;
}

int op_zombies_parse(const char *text, size_t len, bool *remove, struct err *err)
{
    static const char *const keys[] = {"remove", NULL};
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    *remove = false;
    return json && json_only_keys(json, keys, err) == 0
               ? json_get_bool(json, "remove", false, remove, err)
               : -1;
}

int op_footprint_parse(const char *text, size_t len, struct err *err)
{
    static const char *const keys[] = {NULL};
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    return json ? json_only_keys(json, keys, err) : -1;
}

int op_key_parse(const char *text, size_t len, uint64_t *key, struct err *err)
{
    static const char *const keys[] = {"key", NULL};
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    if (!json || json_only_keys(json, keys, err) != 0)
        return -1;
    return get_key(json, true, key, err);
}

int op_hello_parse(const char *text, size_t len, char manager[MANAGER_ID_LEN + 1], struct err *err)
{
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    int64_t protocol = 0;
    const char *program = "", *id = "";
    if (!json || json_get_int(json, "protocol", true, 0, INT32_MAX, &protocol, err) != 0 ||
        json_get_string(json, "program", true, &program, NULL, err) != 0)
        return -1;
    if (protocol != PROTOCOL_VERSION)
        return err_set(err, ERR_BAD_GATEWAY, "%.60s speaks protocol %d, this worker %d", program,
                       (int)protocol, PROTOCOL_VERSION);
    if (json_get_string(json, "manager", true, &id, NULL, err) != 0)
        return -1;
    if (!id_manager_valid(id))
        return err_set(err, ERR_BAD_REQUEST, "manager: must be %d hex digits", MANAGER_ID_LEN);
    strcpy(manager, id);
    return 0;
}
