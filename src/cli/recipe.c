#include "recipe.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    struct recipe *recipe;
    struct err *err;
    bool failed;
};

/* Debian policy 5.6.1: lower case letters, digits, plus, minus and dot. */
static bool package_name_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
            (i == 0 || !strchr("+-.", name[i])))
            return false;
    return len >= 2;
}

/* Appends a word and a comma before it. */
static int add_word(char *list, size_t room, const char *key, const char *word, struct err *err)
{
    size_t used = strlen(list);
    if (!str_format(list + used, room - used, "%s%s", used ? "," : "", word))
        return err_set(err, ERR_BAD_REQUEST, "%s: more than %zu bytes", key, room - 1);
    return 0;
}

static int add_words(char *list, size_t room, const char *key, const char *words,
                     bool (*valid)(const char *word), const char *what, struct err *err)
{
    cleanup_free char *copy = mem_strdup(words);
    char *rest = copy;
    for (char *word; (word = strtok_r(rest, " \t", &rest));) {
        if (!valid(word))
            return err_set(err, ERR_BAD_REQUEST, "%s: \"%.60s\" is no %s's name", key, word, what);
        if (add_word(list, room, key, word, err) != 0)
            return -1;
    }
    return 0;
}

static int assign(struct recipe *recipe, const char *section, const char *key, const char *value,
                  struct err *err)
{
    if (strcmp(section, "template") != 0)
        return err_set(err, ERR_BAD_REQUEST, "unknown section [%.60s]", section);
    if (strcmp(key, "packages") == 0)
        return add_words(recipe->packages, sizeof(recipe->packages), key, value, package_name_valid,
                         "package", err);
    if (strcmp(key, "with") == 0)
        return add_words(recipe->with, sizeof(recipe->with), key, value, id_name_valid, "template",
                         err);
    if (strcmp(key, "description") != 0)
        return err_set(err, ERR_BAD_REQUEST, "unknown key \"%.60s\"", key);
    if (!str_format(recipe->description, sizeof(recipe->description), "%s", value))
        return err_set(err, ERR_BAD_REQUEST, "description: more than %d bytes", TEMPLATE_TEXT_MAX);
    return 0;
}

static int on_value(void *user, const char *section, const char *key, const char *value)
{
    struct parse *parse = user;
    if (parse->failed)
        return 0;
    parse->failed = assign(parse->recipe, section, key, value ? value : "", parse->err) != 0;
    return !parse->failed;
}

int recipe_read(struct recipe *recipe, const char *path, struct err *err)
{
    struct parse parse = {.recipe = recipe, .err = err};
    memset(recipe, 0, sizeof(*recipe));
    errno = 0;
    int line = ini_parse(path, on_value, &parse);
    if (parse.failed)
        return err_context(err, "%s:%d", path, line);
    if (line < 0)
        return err_sys(err, ERR_BAD_REQUEST, errno, "cannot read %s", path);
    if (line > 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s:%d: neither a [section], a key = value nor a comment", path, line);
    return 0;
}

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at; at += *at == ',') {
        size_t known = strcspn(at, ",");
        if (known == len && strncmp(at, word, len) == 0)
            return true;
        at += known;
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order, so that a list says the same whatever order the files were read in. */
static void sort_words(char *list)
{
    cleanup_free char *copy = mem_strdup(list);
    char *words[RECIPE_PACKAGES_MAX / 2 + 1], *rest = copy;
    size_t len = 0, used = 0;
    for (char *word; (word = strtok_r(rest, ",", &rest));)
        words[len++] = word;
    if (len > 0)
        qsort(words, len, sizeof(words[0]), by_name);
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && strcmp(words[i], words[i - 1]) == 0)
            continue;
        if (used > 0)
            list[used++] = ',';
        size_t size = strlen(words[i]);
        memcpy(list + used, words[i], size);
        used += size;
    }
    list[used] = '\0';
}

int recipe_add_languages(struct recipe *recipe, const char *name, const struct languages *languages,
                         struct err *err)
{
    for (size_t i = 0; i < languages_len(languages); i++) {
        const struct language *language = languages_at(languages, i);
        if (strcmp(language->template_name, name) != 0 &&
            !has_word(recipe->with, language->template_name))
            continue;
        for (char **package = language->packages; *package; package++)
            if (!has_word(recipe->packages, *package) &&
                add_word(recipe->packages, sizeof(recipe->packages), "packages", *package, err) !=
                    0)
                return err_context(err, "language %s", language->name);
    }
    sort_words(recipe->packages);
    return 0;
}

bool recipe_os_release(const char *path, const char *key, char *value, size_t room)
{
    char text[16384];
    size_t key_len = strlen(key);
    if (fd_read_file(AT_FDCWD, path, text, sizeof(text) - 1) < 0)
        return false;
    for (const char *line = text; *line; line += strspn(line, "\n")) {
        size_t len = strcspn(line, "\n");
        if (len > key_len && strncmp(line, key, key_len) == 0 && line[key_len] == '=') {
            const char *from = line + key_len + 1;
            len -= key_len + 1;
            if (len >= 2 && from[0] == '"' && from[len - 1] == '"') {
                from++;
                len -= 2;
            }
            return len > 0 && str_format(value, room, "%.*s", (int)len, from);
        }
        line += len;
    }
    return false;
}
