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

/* Ours first; what is left is for options_parse. */
static int parse(struct worker_words *words, int argc, char **argv, struct err *err)
{
    const struct {
        const char *option, **value;
    } texts[] = {
        {"--ssh", &words->ssh},       {"--identity", &words->identity},
        {"--jump", &words->jump},     {"--accept-key", &words->accept_key},
        {"--socket", &words->socket}, {"--send-template", &words->send_template},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (options_take_text(&argc, argv, texts[i].option, texts[i].value, err) != 0)
            return -1;
    words->install = options_take_flag(&argc, argv, "--install");
    words->force = options_take_flag(&argc, argv, "--force");
    if (words->send_template && !words->install)
        return err_set(err, ERR_BAD_REQUEST, "--send-template goes with --install");
    return options_parse(&words->options, argc, argv, err);
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
