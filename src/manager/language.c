#include "language.h"

#include "../common/mem.h"

#include <stdio.h>
#include <string.h>

static const struct language languages[] = {
    {"sh", (const char *const[]){"shell", NULL}, "sh", ".sh"},
};

const struct language *language_default(void)
{
    return &languages[0];
}

static bool same(const char *known, const char *name, size_t len)
{
    return strlen(known) == len && memcmp(known, name, len) == 0;
}

const struct language *language_find(const char *name, size_t len, struct err *err)
{
    char known[120] = "";
    for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
        const struct language *language = &languages[i];
        bool hit = same(language->name, name, len);
        for (const char *const *alias = language->aliases; *alias && !hit; alias++)
            hit = same(*alias, name, len);
        if (hit)
            return language;
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", language->name);
    }
    err_set(err, ERR_UNKNOWN_LANGUAGE, "language: \"%.*s\" is unknown; known: %s",
            len > 60 ? 60 : (int)len, name, known);
    return NULL;
}
