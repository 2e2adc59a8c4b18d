#include "template_about.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define JSON_MAX_BYTES (1024 * 1024)

void template_upstream_version(char *text, size_t room, const char *version)
{
    const char *colon = strchr(version, ':');
    if (colon)
        version = colon + 1;
    size_t len = strcspn(version, "-+~");
    const char *dfsg = memmem(version, len, ".dfsg", 5);
    if (dfsg)
        len = (size_t)(dfsg - version);
    str_format(text, room, "%.*s", (int)(len < room ? len : room - 1), version);
}

static const char *installed(const json_t *packages, const char *name)
{
    size_t i;
    const json_t *package;
    json_array_foreach(packages, i, package)
    {
        const char *known = json_string_value(json_object_get(package, "name"));
        if (known && strcmp(known, name) == 0)
            return json_string_value(json_object_get(package, "version"));
    }
    return NULL;
}

json_t *template_languages(const struct languages *languages, const json_t *packages)
{
    json_t *list = json_array();
    for (size_t i = 0; i < languages_len(languages); i++) {
        const struct language *language = languages_at(languages, i);
        char version[80];
        bool whole = true;
        for (char **package = language->packages; *package && whole; package++)
            whole = installed(packages, *package) != NULL;
        if (!whole)
            continue;
        template_upstream_version(version, sizeof(version),
                                  installed(packages, language->packages[0]));
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "name", language->name, "version", version));
    }
    return list;
}

json_t *template_read_json(const char *path, struct err *err)
{
    cleanup_free char *text = mem_calloc(1, JSON_MAX_BYTES);
    ssize_t len = fd_read_file(AT_FDCWD, path, text, JSON_MAX_BYTES);
    if (len < 0) {
        err_sys(err, ERR_NOT_AVAILABLE, errno, "%s", path);
        return NULL;
    }
    return json_parse_object(text, (size_t)len, false, err);
}

int template_write(const char *path, const json_t *about, struct err *err)
{
    cleanup_free char *text = about ? json_dumps(about, JSON_INDENT(2)) : NULL;
    if (!text)
        return err_set(err, ERR_INTERNAL, "cannot describe the template");
    return fd_replace_file(path, text, strlen(text), 0644, true, err);
}
