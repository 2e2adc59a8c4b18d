#include "known_languages.h"

#include <stdio.h>
#include <stdlib.h>

static struct languages *languages;

static void forget(void)
{
    languages_free(languages);
}

const struct languages *known_languages(void)
{
    struct err err;
    if (languages)
        return languages;
    languages = languages_load(LANGUAGES_FOLDER, &err);
    if (!languages) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    atexit(forget);
    return languages;
}
