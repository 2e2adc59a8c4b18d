#include "languages.h"

#include "inifile.h"
#include "locate.h"
#include "mem.h"
#include "str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SUFFIX ".conf"

struct languages {
    struct language **list;
    size_t len;
};

static int by_name(const void *a, const void *b)
{
    const struct language *one = *(struct language *const *)a,
                          *other = *(struct language *const *)b;
    return strcmp(one->name, other->name);
}

static bool is(const char *known, const char *name, size_t len)
{
    return strlen(known) == len && memcmp(known, name, len) == 0;
}

static const struct language *look_up(const struct languages *languages, const char *name,
                                      size_t len)
{
    for (size_t i = 0; i < languages->len; i++) {
        const struct language *language = languages->list[i];
        bool hit = is(language->name, name, len);
        for (char **alias = language->aliases; *alias && !hit; alias++)
            hit = is(*alias, name, len);
        if (hit)
            return language;
    }
    return NULL;
}

static int add(struct languages *languages, struct language *take_language, const char *path,
               struct err *err)
{
    struct language *language = take_language;
    const char *taken =
        look_up(languages, language->name, strlen(language->name)) ? language->name : NULL;
    for (char **alias = language->aliases; *alias && !taken; alias++)
        if (look_up(languages, *alias, strlen(*alias)))
            taken = *alias;
    if (taken)
        err_set(err, ERR_BAD_REQUEST, "%s: \"%s\" is what another language is called", path, taken);
    else if (languages->len == LANGUAGES_MAX)
        err_set(err, ERR_BAD_REQUEST, "%s: more than %d languages", path, LANGUAGES_MAX);
    if (taken || languages->len == LANGUAGES_MAX) {
        language_free(language);
        return -1;
    }
    languages->list =
        mem_realloc(languages->list, (languages->len + 1) * sizeof(struct language *));
    languages->list[languages->len++] = language;
    return 0;
}

static int load_file(struct languages *languages, const char *folder, const char *file,
                     struct err *err)
{
    char path[PATH_MAX], name[NAME_MAX + 1];
    size_t len = strlen(file), suffix = strlen(SUFFIX);
    if (len <= suffix || strcmp(file + len - suffix, SUFFIX) != 0 || file[0] == '.')
        return 0;
    if (!str_format(path, sizeof(path), "%s/%s", folder, file) ||
        !str_format(name, sizeof(name), "%.*s", (int)(len - suffix), file))
        return err_set(err, ERR_BAD_REQUEST, "%s/%s: path too long", folder, file);
    cleanup_free char *text = inifile_read(path, err);
    struct language *language = text ? language_parse(name, text, path, err) : NULL;
    return language ? add(languages, language, path, err) : -1;
}

static int load_folder(struct languages *languages, const char *folder, struct err *err)
{
    int rc = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return err_sys(err, ERR_INTERNAL, errno, "the languages: %s", folder);
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir));)
        rc = load_file(languages, folder, entry->d_name, err);
    closedir(dir);
    if (rc == 0 && !languages_default(languages))
        return err_set(err, ERR_INTERNAL,
                       "the languages: there is no " LANGUAGE_DEFAULT SUFFIX " in %s", folder);
    return rc;
}

struct languages *languages_load(const char *folder, struct err *err)
{
    struct languages *languages = mem_new(struct languages);
    if (load_folder(languages, folder, err) != 0) {
        languages_free(languages);
        return NULL;
    }
    qsort(languages->list, languages->len, sizeof(*languages->list), by_name);
    return languages;
}

struct languages *languages_load_configured(const struct config *config, struct err *err)
{
    char self[PATH_MAX], folder[PATH_MAX];
    if (config->paths_languages[0])
        return languages_load(config->paths_languages, err);
    if (locate_self(self, err) != 0 ||
        locate_file(folder, self, ".", "share/codeland", "languages", err) != 0)
        return NULL;
    return languages_load(folder, err);
}

void languages_free(struct languages *languages)
{
    if (!languages)
        return;
    for (size_t i = 0; i < languages->len; i++)
        language_free(languages->list[i]);
    free(languages->list);
    free(languages);
}

size_t languages_len(const struct languages *languages)
{
    return languages->len;
}

const struct language *languages_at(const struct languages *languages, size_t i)
{
    return languages->list[i];
}

const struct language *languages_find(const struct languages *languages, const char *name,
                                      size_t len, struct err *err)
{
    const struct language *language = look_up(languages, name, len);
    if (language)
        return language;
    char known[sizeof(err->msg)] = "";
    for (size_t i = 0; i < languages->len; i++) {
        size_t used = strlen(known);
        str_format(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
                   languages->list[i]->name);
    }
    err_set(err, ERR_UNKNOWN_LANGUAGE, "language: \"%.*s\" is unknown; known: %s",
            len > 60 ? 60 : (int)len, name, known);
    return NULL;
}

const struct language *languages_default(const struct languages *languages)
{
    return look_up(languages, LANGUAGE_DEFAULT, strlen(LANGUAGE_DEFAULT));
}
