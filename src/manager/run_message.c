#include "run_message.h"

#include "../common/mem.h"

#include <stdio.h>
#include <string.h>

/* Where the program of a run lies. On a throw-away runner in the working directory, under the name
 * that its language knows. A runner that stays has no room for that: there runs may overlap, and
 * nothing is left behind. So each run's program has a name of its own or, where a compiler writes
 * beside it and may care for its name, a folder of its own; either goes when the run is over.
 */
struct program {
    char dir[64], file[LANGUAGE_FILE_MAX + 64];
    bool unlink_after, scratch;
};

static bool stays(const struct run_request *request)
{
    return request->runner || request->keep;
}

bool run_compiles(const struct run_request *request)
{
    return request->code && request->language->compile;
}

static struct program place_program(const struct run_request *request)
{
    struct program program = {.dir = "."};
    const char *name = request->language->file, *suffix = strrchr(name, '.');
    if (!stays(request)) {
        snprintf(program.file, sizeof(program.file), "%s", name);
    } else if (run_compiles(request)) {
        program.scratch = true;
        snprintf(program.dir, sizeof(program.dir), ".run-%s", request->id);
        snprintf(program.file, sizeof(program.file), "%s/%s", program.dir, name);
    } else {
        program.unlink_after = true;
        snprintf(program.file, sizeof(program.file), ".run-%s%s", request->id,
                 suffix ? suffix : "");
    }
    return program;
}

static json_t *make_argv(char **words, const struct language_place *place)
{
    json_t *argv = json_array();
    for (char **word = words; *word; word++) {
        cleanup_free char *text = language_word(*word, place);
        json_array_append_new(argv, json_string(text));
    }
    return argv;
}

/* As the language's file has it: the worker knows how much memory the runner has. */
static json_t *make_defaults(const struct language *language)
{
    json_t *env = json_object();
    for (size_t i = 0; i < language->env_len; i++)
        json_object_set_new(env, language->env[i].name, json_string(language->env[i].value));
    return env;
}

static json_t *describe_files(const struct run_request *request, const struct program *program)
{
    size_t i;
    json_t *file;
    json_t *files =
        json_pack("[{s:s, s:i, s:I, s:b}]", "name", program->file, "mode", 0644, "bytes",
                  (json_int_t)request->code_len, "unlinkAfter", program->unlink_after);
    json_array_foreach(request->files, i, file)
    {
        json_array_append_new(files,
                              json_pack("{s:O, s:O, s:I}", "name", json_array_get(file, 0), "mode",
                                        json_array_get(file, 1), "bytes",
                                        (json_int_t)json_string_length(json_array_get(file, 2))));
    }
    return files;
}

static void add_program(json_t *message, const struct run_request *request)
{
    const struct language *language = request->language;
    const struct program program = place_program(request);
    const struct language_place place = {
        .dir = program.dir,
        .file = program.file,
        .memory_bytes = request->memory_bytes,
    };
    json_t *argv = make_argv(language->run, &place);
    json_array_extend(argv, request->args);
    json_object_set_new(message, "argv", argv);
    json_object_set_new(message, "envDefaults", make_defaults(language));
    json_object_set_new(message, "files", describe_files(request, &program));
    if (program.scratch)
        json_object_set_new(message, "scratch", json_string(program.dir));
    if (run_compiles(request))
        json_object_set_new(message, "compile",
                            json_pack("{s:o, s:I, s:I}", "argv",
                                      make_argv(language->compile, &place), "timeMs",
                                      (json_int_t)request->compile_ms, "outputBytes",
                                      (json_int_t)request->compile_output_bytes));
    if (request->globs)
        json_object_set_new(message, "collect",
                            json_pack("{s:O, s:I, s:I}", "globs", request->globs, "bytes",
                                      (json_int_t)request->collect_bytes, "files",
                                      (json_int_t)request->collect_files));
}

static void add_runner(json_t *message, const struct run_request *request)
{
    json_object_set_new(message, "template", json_string(request->template_name));
    json_object_set_new(message, "memoryBytes", json_integer(request->memory_bytes));
    json_object_set_new(message, "queueMs", json_integer(request->queue_ms));
    if (request->processes > 0)
        json_object_set_new(message, "processes", json_integer(request->processes));
    if (request->disk_bytes > 0)
        json_object_set_new(message, "diskBytes", json_integer(request->disk_bytes));
    if (request->keep)
        json_object_set_new(
            message, "keep",
            json_pack("{s:s?, s:s}", "name", request->keep_name, "owner", request->owner));
}

json_t *run_message_make(const struct run_request *request)
{
    json_t *message = json_pack(
        "{s:s, s:s, s:I, s:I}", "id", request->id, "cwd", request->cwd ? request->cwd : "",
        "timeMs", (json_int_t)request->time_ms, "outputBytes", (json_int_t)request->output_bytes);
    json_object_set_new(message, "env", request->env ? json_incref(request->env) : json_object());
    if (request->cpu_ms > 0)
        json_object_set_new(message, "cpuMs", json_integer(request->cpu_ms));
    if (request->code)
        add_program(message, request);
    if (request->runner)
        json_object_set_new(message, "runner", json_string(request->runner));
    else
        add_runner(message, request);
    if (request->nat)
        json_object_set_new(message, "network", json_string("nat"));
    return message;
}
