#include "worker.h"

#include "../common/mem.h"
#include "../common/str.h"
#include "process.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct verb {
    const char *name;
    int (*run)(struct worker_words *words);
    bool named;
} verbs[] = {
    {"add", cli_worker_add, true},       {"ls", cli_worker_ls, false},
    {"show", cli_worker_show, true},     {"rm", cli_worker_rm, true},
    {"drain", cli_worker_drain, true},   {"resume", cli_worker_resume, true},
    {"doctor", cli_worker_doctor, true},
};

int cli_worker_failed(const struct err *err)
{
    fprintf(stderr, "codeland worker: %s\n", err->msg);
    return EXIT_FAILED;
}

void cli_worker_path(char path[120], const char *name, const char *below)
{
    str_format(path, 120, "/workers/%s%s", name, below);
}

static int take(struct worker_words *words, int argc, char **argv, int *at, bool *taken,
                struct err *err)
{
    const struct {
        const char *option, **value;
    } texts[] = {
        {"--ssh", &words->ssh},       {"--identity", &words->identity},
        {"--jump", &words->jump},     {"--accept-key", &words->accept_key},
        {"--socket", &words->socket},
    };
    *taken = true;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size_t len = strlen(texts[i].option);
        if (strncmp(argv[*at], texts[i].option, len) != 0)
            continue;
        if (argv[*at][len] == '=')
            *texts[i].value = argv[*at] + len + 1;
        else if (argv[*at][len] == '\0' && *at + 1 < argc)
            *texts[i].value = argv[++*at];
        else
            continue;
        return 0;
    }
    if (strcmp(argv[*at], "--install") == 0)
        words->install = true;
    else if (strcmp(argv[*at], "--force") == 0)
        words->force = true;
    else
        *taken = false;
    for (size_t i = 0; i < ARRAY_LEN(texts) && !*taken; i++)
        if (strcmp(argv[*at], texts[i].option) == 0)
            return err_set(err, ERR_BAD_REQUEST, "%s needs a value", texts[i].option);
    return 0;
}

/* Ours first; what is left is for options_parse. */
static int parse(struct worker_words *words, int argc, char **argv, struct err *err)
{
    cleanup_free char **rest = mem_calloc((size_t)argc + 1, sizeof(*rest));
    int count = 0;
    for (int i = 0; i < argc; i++) {
        bool taken = false;
        if (i > 0 && take(words, argc, argv, &i, &taken, err) != 0)
            return -1;
        if (!taken)
            rest[count++] = argv[i];
    }
    return options_parse(&words->options, count, rest, err);
}

int cli_worker(int argc, char **argv)
{
    static struct worker_words words; /* too large for a stack */
    struct err err;
    words.name = "";
    if (parse(&words, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland worker: %s\n", err.msg);
        return EXIT_USAGE;
    }
    const char *verb = words.options.rest_len > 0 ? words.options.rest[0] : "";
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].name, verb) != 0)
            continue;
        if (words.options.rest_len != (verbs[i].named ? 2u : 1u))
            break;
        words.name = verbs[i].named ? words.options.rest[1] : "";
        if (verbs[i].named && !id_name_valid(words.name)) {
            fprintf(stderr, "codeland worker: \"%.60s\" is no name of a worker\n", words.name);
            return EXIT_USAGE;
        }
        screen_init(&words.screen, STDOUT_FILENO);
        if (api_init(&words.api, &words.options.config, process_catch_stop(), &err) != 0)
            return cli_worker_failed(&err);
        return verbs[i].run(&words);
    }
    fprintf(stderr, "codeland worker: expected add|show|rm|drain|resume|doctor NAME, or ls; see "
                    "codeland worker --help\n");
    return EXIT_USAGE;
}
