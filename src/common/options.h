/* What every program and verb takes: --config FILE, --set section.key=value, --help; and the words
 * that are left.
 */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include "config.h"

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_SET_MAX 64
#define OPTIONS_REST_MAX 16

struct options {
    struct config config;    /* read and checked */
    bool help;               /* --help or -h came: nothing else was looked at */
    const char *config_path; /* NULL: the default one, which may be missing */
    const char *sets[OPTIONS_SET_MAX + 1];
    size_t sets_len;
    const char *rest[OPTIONS_REST_MAX + 1]; /* the words that are no option, NULL-terminated */
    size_t rest_len;
};

/* Parses argv[1..]; the strings stay argv's. Fails on an unknown option, a missing argument, too
 * many words, and on whatever config_read and config_set refuse.
 */
int options_parse(struct options *options, int argc, char **argv, struct err *err);

/* What only one program or verb knows, taken out of the words before options_parse sees them: a
 * flag, whether it was there; an option with a text ("--name TEXT" or "--name=TEXT", the last one
 * counts), *text is left alone when it was not there. The text stays argv's.
 */
bool options_take_flag(int *argc, char **argv, const char *flag);
int options_take_text(int *argc, char **argv, const char *option, const char **text,
                      struct err *err);

/* The words that hand the same settings to another program: "--config", FILE, "--set", ...; and a
 * NULL. words has room for OPTIONS_WORDS_MAX. Returns how many, without the NULL.
 */
#define OPTIONS_WORDS_MAX (2 * OPTIONS_SET_MAX + 3)
size_t options_words(const struct options *options, const char *words[OPTIONS_WORDS_MAX]);

#endif
