#include "../common/config.h"
#include "../common/options.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#define MARKDOWN_HEAD                                                                              \
    "# Settings\n\n"                                                                               \
    "Made by `codeland config markdown` from `src/common/config.def`. A file holds `key = value` " \
    "below\n`[section]`; `codeland config example` prints one with every default.\n\n"

/* `codeland config check | example | markdown` */
int cli_config(int argc, char **argv)
{
    struct err err;
    struct options options;
    if (options_parse(&options, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland config: %s\n", err.msg);
        return EXIT_USAGE;
    }
    const char *what = options.rest_len == 1 ? options.rest[0] : "";
    if (strcmp(what, "check") == 0) {
        puts("the settings are right");
    } else if (strcmp(what, "example") == 0) {
        config_print_example();
    } else if (strcmp(what, "markdown") == 0) {
        fputs(MARKDOWN_HEAD, stdout);
        config_print_markdown();
    } else {
        fprintf(stderr, "codeland config: say check, example or markdown\n");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}
