#include "options.h"

#include <string.h>

/* The argument of an option, from "--name=value" or the next word; NULL when there is none. */
static const char *argument(int argc, char **argv, int *at, const char *name)
{
    size_t len = strlen(name);
    if (argv[*at][len] == '=')
        return argv[*at] + len + 1;
    return *at + 1 < argc ? argv[++*at] : NULL;
}

static bool is_option(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && (word[len] == '\0' || word[len] == '=');
}

/* Takes count words out, from the one at `at`; the NULL behind the last moves along. */
static void take_words(int *argc, char **argv, int at, int count)
{
    memmove(argv + at, argv + at + count, sizeof(*argv) * (size_t)(*argc - at - count + 1));
    *argc -= count;
}

bool options_take_flag(int *argc, char **argv, const char *flag)
{
    bool found = false;
    for (int i = 1; i < *argc;) {
        if (strcmp(argv[i], flag) != 0) {
            i++;
            continue;
        }
        take_words(argc, argv, i, 1);
        found = true;
    }
    return found;
}

int options_take_text(int *argc, char **argv, const char *option, const char **text,
                      struct err *err)
{
    for (int i = 1; i < *argc;) {
        if (!is_option(argv[i], option)) {
            i++;
            continue;
        }
        int last = i;
        *text = argument(*argc, argv, &last, option);
        if (!*text)
            return err_set(err, ERR_BAD_REQUEST, "%s needs a value", option);
        take_words(argc, argv, i, last - i + 1);
    }
    return 0;
}

static int parse_words(struct options *options, int argc, char **argv, struct err *err)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            options->help = true;
            return 0;
        }
        if (is_option(word, "--config")) {
            options->config_path = argument(argc, argv, &i, "--config");
            if (!options->config_path || !options->config_path[0])
                return err_set(err, ERR_BAD_REQUEST, "--config needs a file");
        } else if (is_option(word, "--set")) {
            const char *assignment = argument(argc, argv, &i, "--set");
            if (!assignment)
                return err_set(err, ERR_BAD_REQUEST, "--set needs section.key=value");
            if (options->sets_len == OPTIONS_SET_MAX)
                return err_set(err, ERR_BAD_REQUEST, "more than %d times --set", OPTIONS_SET_MAX);
            options->sets[options->sets_len++] = assignment;
        } else if (word[0] == '-' && word[1] != '\0') {
            return err_set(err, ERR_BAD_REQUEST, "unknown option %s", word);
        } else {
            if (options->rest_len == OPTIONS_REST_MAX)
                return err_set(err, ERR_BAD_REQUEST, "too many words after \"%s\"",
                               options->rest[OPTIONS_REST_MAX - 1]);
            options->rest[options->rest_len++] = word;
        }
    }
    return 0;
}

int options_parse(struct options *options, int argc, char **argv, struct err *err)
{
    memset(options, 0, sizeof(*options));
    config_defaults(&options->config);
    if (parse_words(options, argc, argv, err) != 0)
        return -1;
    if (options->help)
        return 0;
    const char *path = options->config_path ? options->config_path : CONFIG_DEFAULT_PATH;
    if (config_read(&options->config, path, !options->config_path, err) != 0)
        return -1;
    for (size_t i = 0; i < options->sets_len; i++)
        if (config_set(&options->config, options->sets[i], err) != 0)
            return -1;
    return config_check(&options->config, err);
}

size_t options_words(const struct options *options, const char *words[OPTIONS_WORDS_MAX])
{
    size_t len = 0;
    if (options->config_path) {
        words[len++] = "--config";
        words[len++] = options->config_path;
    }
    for (size_t i = 0; i < options->sets_len; i++) {
        words[len++] = "--set";
        words[len++] = options->sets[i];
    }
    words[len] = NULL;
    return len;
}
