#include "exec_client.h"
#include "hello.h"
#include "verbs.h"

#include "../common/buf.h"
#include "../common/fd.h"
#include "../common/json.h"
#include "../common/languages.h"
#include "../common/mem.h"
#include "../common/options.h"
#include "../common/signals.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_TIMED_OUT = 124, EXIT_NOT_RUN = 125 };

#define PROGRAM_MAX (64 * 1024 * 1024)

/* What the words of the command line say. */
struct words {
    struct options options;
    const char *language, *runner, *worker, *time, *memory, *address, *token;
    const char *file;
    char **args; /* NULL-terminated */
};

static int complain(const struct err *err)
{
    fprintf(stderr, "codeland run: %s\n", err->msg);
    return EXIT_NOT_RUN;
}

/* ---- the command line ---- */

static const char **place_of(struct words *words, const char *name, size_t len)
{
    const struct {
        const char *name;
        const char **value;
    } ours[] = {
        {"--language", &words->language}, {"--runner", &words->runner},
        {"--time", &words->time},         {"--memory", &words->memory},
        {"--address", &words->address},   {"--token", &words->token},
        {"--worker", &words->worker},
    };
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strlen(ours[i].name) == len && memcmp(ours[i].name, name, len) == 0)
            return ours[i].value;
    return NULL;
}

/* Options end with FILE; what follows is the program's. Ours are taken out, options_parse sees the
 * others.
 */
static int parse_words(struct words *words, int argc, char **argv, struct err *err)
{
    char *others[OPTIONS_WORDS_MAX + 2] = {argv[0]};
    int others_len = 1, at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        size_t len = strcspn(argv[at], "=");
        const char **place = place_of(words, argv[at], len);
        bool takes_word = argv[at][len] != '=';
        if (!place && others_len + 1 >= (int)ARRAY_LEN(others))
            return err_set(err, ERR_BAD_REQUEST, "too many options");
        if (!place)
            others[others_len++] = argv[at];
        if (takes_word && at + 1 == argc)
            return err_set(err, ERR_BAD_REQUEST, "%s needs a value", argv[at]);
        const char *value = takes_word ? argv[++at] : argv[at] + len + 1;
        if (place)
            *place = value;
        else if (takes_word)
            others[others_len++] = argv[at];
    }
    if (options_parse(&words->options, others_len, others, err) != 0)
        return -1;
    if (at == argc)
        return err_set(err, ERR_BAD_REQUEST, "which file?");
    words->file = argv[at];
    words->args = argv + at + 1;
    return 0;
}

/* ---- what is asked for ---- */

static int read_program(const char *path, struct buf *code, struct err *err)
{
    char piece[65536];
    ssize_t got;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, ERR_BAD_REQUEST, errno, "%s", path);
    while ((got = read(fd, piece, sizeof(piece))) > 0)
        if (!buf_append(code, piece, (size_t)got))
            return err_set(err, ERR_BAD_REQUEST, "%s: longer than %d bytes", path, PROGRAM_MAX);
    if (got < 0)
        return err_sys(err, ERR_BAD_REQUEST, errno, "%s", path);
    if (code->len > 0 && str_utf8_valid(code->data, code->len) < code->len)
        return err_set(err, ERR_BAD_REQUEST, "%s: is not UTF-8", path);
    return 0;
}

static int put_number(json_t *start, const char *key, const char *text, struct err *err)
{
    char *end;
    if (!text)
        return 0;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(number >= 0 && number < 1e15))
        return err_set(err, ERR_BAD_REQUEST, "--%s: \"%.40s\" is not a number", key, text);
    bool whole = number == (double)(json_int_t)number;
    json_object_set_new(start, key, whole ? json_integer((json_int_t)number) : json_real(number));
    return 0;
}

static const char *suffix_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot > name && dot[1] ? dot + 1 : NULL;
}

/* As the language files have it; a suffix that is nobody's file's may still be a name or an alias,
 * which the server knows.
 */
static json_t *language_name(const struct words *words)
{
    const char *suffix = suffix_of(words->file);
    struct err ignored;
    if (words->language || !suffix)
        return json_string(words->language ? words->language : "sh");
    struct languages *languages = languages_load_configured(&words->options.config, &ignored);
    const char *name = suffix;
    for (size_t i = 0; languages && i < languages_len(languages); i++) {
        const struct language *language = languages_at(languages, i);
        const char *has = suffix_of(language->file);
        if (has && strcmp(has, suffix) == 0)
            name = language->name;
    }
    json_t *found = json_string(name);
    languages_free(languages);
    return found;
}

static json_t *make_start(const struct words *words, struct err *err)
{
    struct buf code;
    buf_init(&code, PROGRAM_MAX);
    json_t *start = json_object(), *args = json_array();
    int rc = read_program(words->file, &code, err);
    if (rc == 0)
        rc = put_number(start, "time", words->time, err);
    if (rc == 0)
        rc = put_number(start, "memory", words->memory, err);
    for (char **arg = words->args; rc == 0 && *arg; arg++)
        if (json_array_append_new(args, json_string(*arg)) != 0)
            rc = err_set(err, ERR_BAD_REQUEST, "argument %d: is not UTF-8",
                         (int)(arg - words->args) + 1);
    if (rc == 0) {
        json_object_set_new(start, "code", json_stringn(code.data ? code.data : "", code.len));
        json_object_set(start, "args", args);
        json_object_set_new(start, "language", language_name(words));
        if (words->worker)
            json_object_set_new(start, "worker", json_string(words->worker));
    }
    json_decref(args);
    buf_finish(&code);
    if (rc == 0)
        return start;
    json_decref(start);
    return NULL;
}

/* ---- how it ended ---- */

static void show_compile(const json_t *result)
{
    const json_t *compile = json_object_get(result, "compile");
    static const char *const streams[] = {"stdout", "stderr"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *text = json_object_get(compile, streams[i]);
        if (json_string_length(text) > 0)
            fwrite(json_string_value(text), 1, json_string_length(text), stderr);
    }
}

static int exit_as(const json_t *result)
{
    const char *status = json_string_value(json_object_get(result, "status"));
    const char *signal = json_string_value(json_object_get(result, "signal"));
    const json_t *code = json_object_get(result, "exit");
    const json_t *truncated = json_object_get(result, "truncated");
    if (!status)
        status = "error";
    show_compile(result);
    if (json_is_true(json_object_get(truncated, "stdout")) ||
        json_is_true(json_object_get(truncated, "stderr")))
        fprintf(stderr, "codeland run: the output was cut\n");
    bool plain = strcmp(status, "ok") == 0 || strcmp(status, "exit") == 0;
    if (!plain)
        fprintf(stderr, "codeland run: %s%s%s\n", status, signal ? ": " : "", signal ? signal : "");
    if (strcmp(status, "timeout") == 0)
        return EXIT_TIMED_OUT;
    if (signal)
        return 128 + signals_number(signal);
    if (json_is_integer(code) && (plain || json_integer_value(code) != 0))
        return (int)json_integer_value(code);
    return EXIT_NOT_RUN;
}

static int run(const struct words *words, struct err *err)
{
    char token[HELLO_TOKEN_MAX], path[128] = "/api/v1/runner/run/exec";
    const char *from_env = getenv("CODELAND_TOKEN");
    struct exec_request request = {
        .address = words->address ? words->address : words->options.config.http_listen,
        .path = path,
        .token = words->token ? words->token : from_env,
        .stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
    };
    if (words->runner && (strchr(words->runner, '/') || strpbrk(words->runner, "\r\n ?#") ||
                          !str_format(path, sizeof(path), "/api/v1/runner/%s/exec", words->runner)))
        return err_set(err, ERR_BAD_REQUEST, "--runner: \"%.60s\" is no runner's name",
                       words->runner);
    if (!request.token && hello_token(&words->options.config, token, err) != 0)
        return -1;
    if (!request.token)
        request.token = token;
    if (strpbrk(request.token, "\r\n"))
        return err_set(err, ERR_BAD_REQUEST, "--token: holds the end of a line");
    cleanup_json json_t *start = make_start(words, err);
    if (!start)
        return -1;
    request.start = start;
    int interrupted;
    json_t *result;
    if (exec_client_run(&request, &result, &interrupted, err) != 0)
        return -1;
    int code = interrupted ? 128 + interrupted : exit_as(result);
    json_decref(result);
    return code;
}

/* `codeland run FILE [ARGUMENT]...` */
int cli_run(int argc, char **argv)
{
    struct err err;
    struct words words = {0};
    if (parse_words(&words, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland run: %s\n", err.msg);
        return EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    int code = run(&words, &err);
    return code < 0 ? complain(&err) : code;
}
