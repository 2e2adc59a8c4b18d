#include "run_files.h"

#include "../common/base64.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/path.h"

#include <stdio.h>
#include <string.h>

/* A new string of the bytes that text stands for. */
static json_t *decode(const char *text, size_t len, struct err *err)
{
    size_t written, wrong;
    cleanup_free unsigned char *bytes = mem_calloc(1, BASE64_ROOM(len) + 1);
    if (base64_decode(text, len, bytes, &written, &wrong) == 0)
        return json_stringn_nocheck((const char *)bytes, written);
    err_set(err, ERR_BAD_REQUEST, "is not base64: see byte %zu of %zu", wrong, len);
    return NULL;
}

int run_files_parse_input(json_t *body, struct run_request *request, struct err *err)
{
    const char *text = NULL;
    size_t len = 0;
    if (json_get_string(body, "stdin", false, &request->input, &request->input_len, err) != 0 ||
        json_get_string(body, "stdinBase64", false, &text, &len, err) != 0)
        return -1;
    if (!text)
        return 0;
    if (request->input)
        return err_set(err, ERR_BAD_REQUEST, "stdinBase64: stdin was given as well");
    json_t *bytes = decode(text, len, err);
    if (!bytes)
        return err_context(err, "stdinBase64");
    json_object_set_new(body, "stdinBase64", bytes);
    request->input = json_string_value(bytes);
    request->input_len = json_string_length(bytes);
    return 0;
}

static int parse_content(const json_t *file, json_t **bytes, struct err *err)
{
    const char *text = NULL, *encoding = "utf8";
    size_t len = 0;
    if (json_get_string(file, "content", true, &text, &len, err) != 0 ||
        json_get_string(file, "encoding", false, &encoding, NULL, err) != 0)
        return -1;
    if (strcmp(encoding, "utf8") == 0) {
        *bytes = json_incref(json_object_get(file, "content"));
        return 0;
    }
    if (strcmp(encoding, "base64") != 0)
        return err_set(err, ERR_BAD_REQUEST, "encoding: must be utf8 or base64");
    *bytes = decode(text, len, err);
    return *bytes ? 0 : err_context(err, "content");
}

/* [path, mode, bytes] */
static json_t *parse_file(const json_t *file, struct err *err)
{
    static const char *const keys[] = {"path", "content", "encoding", "mode", NULL};
    const char *path = NULL;
    size_t len = 0;
    int64_t mode = 0644;
    json_t *bytes;
    if (!json_is_object(file)) {
        err_set(err, ERR_BAD_REQUEST, "must be an object");
        return NULL;
    }
    if (json_only_keys(file, keys, err) != 0 ||
        json_get_string(file, "path", true, &path, &len, err) != 0 ||
        json_get_int(file, "mode", false, 0, 0777, &mode, err) != 0)
        return NULL;
    if (path_check_inside(path, len, err) != 0) {
        err_context(err, "path");
        return NULL;
    }
    if (parse_content(file, &bytes, err) != 0)
        return NULL;
    return json_pack("[s, I, o]", path, (json_int_t)mode, bytes);
}

/* Two files of one name, or one that is another's folder. paths: of those before it. */
static int check_clash(const json_t *paths, const char *path, struct err *err)
{
    char above[PATH_INSIDE_MAX + 1];
    const char *other;
    json_t *unused;
    size_t len = strlen(path);
    if (json_object_get(paths, path))
        return err_set(err, ERR_BAD_REQUEST, "path: is given twice, or is the program's own");
    for (size_t i = 0; i < len; i++) {
        memcpy(above, path, len + 1);
        above[i] = '\0';
        if (path[i] == '/' && json_object_get(paths, above))
            return err_set(err, ERR_BAD_REQUEST, "path: is below another file");
    }
    json_object_foreach((json_t *)paths, other, unused)
    {
        if (strncmp(other, path, len) == 0 && other[len] == '/')
            return err_set(err, ERR_BAD_REQUEST, "path: is a folder of another file");
    }
    return 0;
}

static int parse_all(json_t *array, json_t *files, const char *program, struct err *err)
{
    cleanup_json json_t *paths = json_object();
    size_t i;
    json_t *item;
    if (program)
        json_object_set_new(paths, program, json_true());
    json_array_foreach(array, i, item)
    {
        json_t *file = parse_file(item, err);
        json_array_append_new(files, file ? file : json_null());
        const char *path = file ? json_string_value(json_array_get(file, 0)) : NULL;
        if (!file || check_clash(paths, path, err) != 0)
            return err_context(err, "files.%zu", i);
        json_object_set_new(paths, path, json_true());
    }
    return 0;
}

int run_files_parse(json_t *body, const char *program, struct run_request *request, struct err *err)
{
    json_t *array = NULL;
    if (json_get_array(body, "files", false, &array, err) != 0)
        return -1;
    if (!array)
        return 0;
    if (json_array_size(array) > RUN_FILES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "files: has %zu entries, at most %d are allowed",
                       json_array_size(array), RUN_FILES_MAX);
    json_t *files = json_array();
    json_object_set_new(body,
                        "\x01"
                        "files",
                        files); /* which body keeps alive */
    request->files = files;
    return parse_all(array, files, program, err);
}

int run_files_parse_collect(json_t *body, struct run_request *request, struct err *err)
{
    size_t i;
    json_t *glob;
    if (json_get_array(body, "collect", false, &request->globs, err) != 0)
        return -1;
    if (json_array_size(request->globs) > RUN_GLOBS_MAX)
        return err_set(err, ERR_BAD_REQUEST, "collect: has %zu entries, at most %d are allowed",
                       json_array_size(request->globs), RUN_GLOBS_MAX);
    json_array_foreach(request->globs, i, glob)
    {
        if (!json_is_string(glob))
            return err_set(err, ERR_BAD_REQUEST, "collect.%zu: must be a string", i);
        if (path_check_inside(json_string_value(glob), json_string_length(glob), err) != 0)
            return err_context(err, "collect.%zu", i);
    }
    if (json_array_size(request->globs) == 0)
        request->globs = NULL;
    return 0;
}
