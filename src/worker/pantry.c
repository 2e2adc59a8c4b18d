#include "pantry.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define JSON_MAX_BYTES (1024 * 1024)

/* How it works. A build puts a template in its place by one rename, so the inode and the times of
 * its root folder and of its template.json tell builds apart. Only when one of them is another is
 * anything read.
 */
struct item {
    struct template_info info;
    int64_t stamp;      /* of the root file system */
    int64_t text_stamp; /* of template.json */
    json_t *languages;
    bool usable, seen;
};

struct pantry {
    const struct services *services;
    struct item items[OVENS_MAX];
    unsigned count;
    bool too_many; /* said once */
};

/* 0 when it is not there. */
static int64_t stamp_of(const char *state_dir, const char *name, const char *below)
{
    char path[PATH_MAX];
    struct stat st;
    if (!template_path(path, sizeof(path), state_dir, name, below) || lstat(path, &st) != 0)
        return 0;
    const uint64_t parts[] = {st.st_dev, st.st_ino, (uint64_t)st.st_mtim.tv_sec,
                              (uint64_t)st.st_mtim.tv_nsec};
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a, a word at a time */
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        hash = (hash ^ parts[i]) * UINT64_C(1099511628211);
    return (int64_t)(hash >> 1 | 1);
}

static bool is_text(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return len > 0 && len <= PANTRY_LANGUAGE_TEXT_MAX;
}

static int parse_language(const json_t *entry, json_t *languages, struct err *err)
{
    const char *name = NULL, *version = "";
    if (!json_is_object(entry))
        return err_set(err, ERR_BAD_REQUEST, "must hold objects");
    if (json_get_string(entry, "name", true, &name, NULL, err) != 0 ||
        json_get_string(entry, "version", true, &version, NULL, err) != 0)
        return -1;
    if (!is_text(name) || !is_text(version))
        return err_set(err, ERR_BAD_REQUEST, "name, version: 1..%d printable characters each",
                       PANTRY_LANGUAGE_TEXT_MAX);
    return json_array_append_new(languages,
                                 json_pack("{s:s, s:s}", "name", name, "version", version));
}

/* The "languages" of template.json; none are no error. A new reference. */
static json_t *read_languages(const char *path, struct err *err)
{
    cleanup_free char *text = mem_calloc(1, JSON_MAX_BYTES);
    ssize_t len = fd_read_file(AT_FDCWD, path, text, JSON_MAX_BYTES);
    if (len < 0) {
        err_sys(err, ERR_NOT_AVAILABLE, errno, "%s", path);
        return NULL;
    }
    json_t *list = NULL;
    cleanup_json json_t *object = json_parse_object(text, (size_t)len, false, err);
    cleanup_json json_t *languages = json_array();
    if (!object || json_get_array(object, "languages", false, &list, err) != 0)
        return NULL;
    if (json_array_size(list) > PANTRY_LANGUAGES_MAX) {
        err_set(err, ERR_BAD_REQUEST, "languages: %zu entries, at most %d", json_array_size(list),
                PANTRY_LANGUAGES_MAX);
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (parse_language(json_array_get(list, i), languages, err) != 0) {
            err_context(err, "languages[%zu]", i);
            return NULL;
        }
    }
    return json_incref(languages);
}

static void read_item(const struct pantry *pantry, struct item *item, const char *name)
{
    const char *state_dir = pantry->services->config->paths_state_dir;
    char path[PATH_MAX];
    struct err err;
    json_decref(item->languages);
    item->languages = NULL;
    item->usable = template_check(state_dir, name, &err) == 0 &&
                   template_read(state_dir, name, &item->info, &err) == 0;
    if (!item->usable) {
        log_warn("a template cannot be used", LOG_S("template", name), LOG_ERR(&err));
        item->info = (struct template_info){0};
        str_format(item->info.name, sizeof(item->info.name), "%s", name);
        return;
    }
    if (template_path(path, sizeof(path), state_dir, name, "template.json"))
        item->languages = read_languages(path, &err);
    if (!item->languages)
        log_warn("a template's languages cannot be read", LOG_S("template", name), LOG_ERR(&err));
}

static void serve_item(const struct pantry *pantry, const struct item *item)
{
    char rootfs[PATH_MAX];
    struct err err;
    const struct oven_template template = {
        .name = item->info.name, .rootfs = rootfs, .stamp = item->stamp};
    if (!item->usable)
        return;
    if (!template_path(rootfs, sizeof(rootfs), pantry->services->config->paths_state_dir,
                       item->info.name, "rootfs") ||
        !ovens_put(pantry->services->ovens, &template, &err))
        log_error("a template gets no oven", LOG_S("template", item->info.name));
}

static struct item *find(const struct pantry *pantry, const char *name)
{
    for (unsigned i = 0; i < pantry->count; i++)
        if (strcmp(pantry->items[i].info.name, name) == 0)
            return (struct item *)&pantry->items[i];
    return NULL;
}

static void look_at(struct pantry *pantry, const char *name)
{
    const char *state_dir = pantry->services->config->paths_state_dir;
    int64_t stamp = stamp_of(state_dir, name, "rootfs");
    int64_t text_stamp = stamp_of(state_dir, name, "template.json");
    struct item *item = find(pantry, name);
    if (!item && pantry->count == OVENS_MAX) {
        if (!pantry->too_many)
            log_warn("too many templates; the others are left alone", LOG_S("template", name),
                     LOG_D("most", OVENS_MAX));
        pantry->too_many = true;
        return;
    }
    if (!item)
        item = &pantry->items[pantry->count++];
    item->seen = true;
    if (item->info.name[0] && item->stamp == stamp && item->text_stamp == text_stamp)
        return;
    if (item->info.name[0])
        log_info("template changed", LOG_S("template", name));
    item->stamp = stamp;
    item->text_stamp = text_stamp;
    read_item(pantry, item, name);
    serve_item(pantry, item);
}

static void drop(struct pantry *pantry, unsigned i)
{
    json_decref(pantry->items[i].languages);
    pantry->items[i] = pantry->items[--pantry->count];
}

/* An oven whose template is not there, or is broken, ends. */
static void close_if_bare(struct oven *oven, void *data)
{
    const struct pantry *pantry = data;
    const struct item *item = find(pantry, oven_template_name(oven));
    if (!item || !item->usable)
        ovens_remove(pantry->services->ovens, oven);
}

void pantry_look(struct pantry *pantry)
{
    char path[PATH_MAX];
    DIR *folder =
        str_format(path, sizeof(path), "%s/templates", pantry->services->config->paths_state_dir)
            ? opendir(path)
            : NULL;
    for (unsigned i = 0; i < pantry->count; i++)
        pantry->items[i].seen = false;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (id_name_valid(entry->d_name)) /* not those that are being built */
            look_at(pantry, entry->d_name);
    if (folder)
        closedir(folder);
    for (unsigned i = pantry->count; i-- > 0;)
        if (!pantry->items[i].seen)
            drop(pantry, i);
    ovens_each(pantry->services->ovens, close_if_bare, pantry);
}

struct oven *pantry_find(struct pantry *pantry, const char *template_name, struct err *err)
{
    const struct services *services = pantry->services;
    struct oven *oven = ovens_find(services->ovens, template_name);
    if (oven)
        return oven;
    if (!id_name_valid(template_name)) {
        err_set(err, ERR_BAD_REQUEST, "template: must match [a-z][a-z0-9-]{0,40}");
        return NULL;
    }
    pantry_look(pantry);
    oven = ovens_find(services->ovens, template_name);
    if (oven)
        return oven;
    struct err why;
    if (template_check(services->config->paths_state_dir, template_name, &why) == 0)
        err_set(&why, ERR_NOT_AVAILABLE, "there are more than %d templates", OVENS_MAX);
    err_set(err, ERR_NOT_AVAILABLE, "this worker cannot run it: %s", why.msg);
    return NULL;
}

const struct template_info *pantry_info(const struct pantry *pantry, const char *template_name)
{
    const struct item *item = find(pantry, template_name);
    return item && item->usable ? &item->info : NULL;
}

const json_t *pantry_languages(const struct pantry *pantry, const char *template_name)
{
    const struct item *item = find(pantry, template_name);
    return item ? item->languages : NULL;
}

struct pantry *pantry_create(const struct services *services)
{
    struct pantry *pantry = mem_new(struct pantry);
    pantry->services = services;
    pantry_look(pantry);
    return pantry;
}

void pantry_destroy(struct pantry *pantry)
{
    if (!pantry)
        return;
    while (pantry->count > 0)
        drop(pantry, pantry->count - 1);
    free(pantry);
}
