#include "recipe.h"

#include "../common/fd.h"
#include "../common/str.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <string.h>

struct parse {
    struct recipe *recipe;
    struct err *err;
    bool failed;
};

/* Debian policy 5.6.1: lower case letters, digits, plus, minus and dot. */
static bool package_name_valid(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
            (i == 0 || !strchr("+-.", name[i])))
            return false;
    return len >= 2;
}

static int add_packages(struct recipe *recipe, const char *names, struct err *err)
{
    while (*(names += strspn(names, " \t"))) {
        size_t len = strcspn(names, " \t");
        size_t used = strlen(recipe->packages);
        if (!package_name_valid(names, len))
            return err_set(err, ERR_BAD_REQUEST, "packages: \"%.*s\" is no package's name",
                           (int)(len < 60 ? len : 60), names);
        if (!str_format(recipe->packages + used, sizeof(recipe->packages) - used, "%s%.*s",
                        used ? "," : "", (int)len, names))
            return err_set(err, ERR_BAD_REQUEST, "packages: more than %d bytes",
                           RECIPE_PACKAGES_MAX);
        names += len;
    }
    return 0;
}

static int assign(struct recipe *recipe, const char *section, const char *key, const char *value,
                  struct err *err)
{
    if (strcmp(section, "template") != 0)
        return err_set(err, ERR_BAD_REQUEST, "unknown section [%.60s]", section);
    if (strcmp(key, "packages") == 0)
        return add_packages(recipe, value, err);
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
