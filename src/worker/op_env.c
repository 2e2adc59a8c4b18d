#include "op_parse.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "engine.h"

#include <inttypes.h>
#include <string.h>

/* What a program of user `runner` finds, unless the request says otherwise. */
static const char *const standard_env[] = {
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "HOME=/home/runner",
    "USER=runner",
    "LOGNAME=runner",
    "SHELL=/bin/sh",
    "LANG=C.UTF-8",
};

#define MIB (1024 * 1024)
#define NUMBER_ROOM 24

/* The number that a word in braces stands for; false when it is none of ours and stays as it is. */
static bool number_of(const char *word, size_t len, const struct engine_limits *limits,
                      char number[NUMBER_ROOM])
{
    const struct {
        const char *word;
        int64_t value;
    } numbers[] = {
        {"memory", limits->memory_bytes},
        {"heap", limits->memory_bytes / 4 * 3 / MIB},
        {"cpus", limits->cpu_percent > 100 ? limits->cpu_percent / 100 : 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (strlen(numbers[i].word) == len && memcmp(numbers[i].word, word, len) == 0)
            return str_format(number, NUMBER_ROOM, "%" PRId64, numbers[i].value);
    return false;
}

/* value with its words replaced; the caller frees it. */
static char *replace(const char *value, const struct engine_limits *limits)
{
    size_t len = 0, room = strlen(value) * NUMBER_ROOM + 1;
    char *text = mem_calloc(1, room); /* a word has more bytes than none, a number less than that */
    for (const char *at = value; *at;) {
        char number[NUMBER_ROOM];
        size_t word = *at == '{' ? strcspn(at + 1, "}") : 0;
        if (*at == '{' && at[1 + word] == '}' && number_of(at + 1, word, limits, number)) {
            size_t digits = strlen(number);
            memcpy(text + len, number, digits);
            len += digits;
            at += word + 2;
        } else {
            text[len++] = *at++;
        }
    }
    return text;
}

static int add_line(json_t *lines, const char *name, const char *value, struct err *err)
{
    if (!name[0] || strchr(name, '=') || !value)
        return err_set(err, ERR_BAD_REQUEST,
                       "env: \"%.60s\": names have no '=' and are not empty, values are strings",
                       name);
    if (json_array_append_new(lines, json_sprintf("%s=%s", name, value)) != 0)
        return err_set(err, ERR_BAD_REQUEST, "env.%.60s: is not valid UTF-8", name);
    return 0;
}

static int add_defaults(json_t *lines, const struct op_run *run, const struct engine_limits *limits,
                        struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(run->env_defaults, name, value)
    {
        if (json_object_get(run->env, name))
            continue;
        const char *text = json_string_value(value);
        cleanup_free char *replaced = text ? replace(text, limits) : NULL;
        if (add_line(lines, name, replaced, err) != 0)
            return -1;
    }
    return 0;
}

static void add_standard(json_t *lines, const struct op_run *run)
{
    for (size_t i = 0; i < ARRAY_LEN(standard_env); i++) {
        size_t len = strcspn(standard_env[i], "=");
        if (!json_object_getn(run->env, standard_env[i], len) &&
            !json_object_getn(run->env_defaults, standard_env[i], len))
            json_array_append_new(lines, json_string(standard_env[i]));
    }
}

/* AGENT_EXEC's length: four numbers and the strings, each with a length and a NUL. */
static size_t exec_len(const struct agent_exec *exec, const char *const *argv, uint32_t argc)
{
    size_t len = 4 * 4 + strlen(exec->cwd) + 1;
    for (uint32_t i = 0; i < argc; i++)
        len += 4 + strlen(argv[i]) + 1;
    for (uint32_t i = 0; i < exec->envc; i++)
        len += 4 + strlen(exec->env[i]) + 1;
    return len;
}

static int check_len(const struct op_run *run, struct err *err)
{
    size_t len = exec_len(&run->exec, run->exec.argv, run->exec.argc);
    size_t compile = exec_len(&run->exec, run->compile.argv, run->compile.argc);
    if (compile > len)
        len = compile;
    if ((int64_t)len <= frame_max_len(FRAME_AGENT_EXEC))
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "argv, env: %zu bytes, at most %d fit", len,
                   (int)frame_max_len(FRAME_AGENT_EXEC));
}

int op_run_set_env(struct op_run *run, const struct engine_limits *limits, struct err *err)
{
    json_t *lines = json_array();
    json_object_set_new(run->json, "\x01lines", lines); /* which keeps the strings alive */
    add_standard(lines, run);
    if (add_defaults(lines, run, limits, err) != 0)
        return -1;
    const char *name;
    json_t *value;
    json_object_foreach(run->env, name, value)
    {
        if (add_line(lines, name, json_string_value(value), err) != 0)
            return -1;
    }
    size_t count = json_array_size(lines);
    if (count > AGENT_ENV_MAX)
        return err_set(err, ERR_BAD_REQUEST, "env: %zu entries, at most %d", count, AGENT_ENV_MAX);
    for (size_t i = 0; i < count; i++)
        run->exec.env[i] = json_string_value(json_array_get(lines, i));
    run->exec.env[count] = NULL;
    run->exec.envc = (uint32_t)count;
    return check_len(run, err);
}
