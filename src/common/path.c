#include "path.h"

#include "str.h"

#include <string.h>

static int check_part(const char *part, size_t len, struct err *err)
{
    if (len == 0)
        return err_set(err, ERR_BAD_REQUEST, "must be relative, without empty components");
    if (len > PATH_PART_MAX)
        return err_set(err, ERR_BAD_REQUEST, "a component has %zu bytes, at most %d are allowed",
                       len, PATH_PART_MAX);
    if ((len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
        return err_set(err, ERR_BAD_REQUEST, "must not hold the components \".\" and \"..\"");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)part[i] < ' ' || part[i] == 0x7f)
            return err_set(err, ERR_BAD_REQUEST, "must not hold control characters");
    return 0;
}

int path_check_inside(const char *path, size_t len, struct err *err)
{
    if (len == 0 || len > PATH_INSIDE_MAX)
        return err_set(err, ERR_BAD_REQUEST, "has %zu bytes, must have 1..%d", len,
                       PATH_INSIDE_MAX);
    for (size_t at = 0; at <= len;) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t part = slash ? (size_t)(slash - path) - at : len - at;
        if (check_part(path + at, part, err) != 0)
            return -1;
        at += part + 1;
    }
    return 0;
}

bool path_is_inside(const char *path, size_t len)
{
    struct err err;
    return path_check_inside(path, len, &err) == 0 && str_utf8_valid(path, len) == len;
}
