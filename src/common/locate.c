#include "locate.h"

#include "str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* self is BUILD/src/AREA/PROGRAM, or PREFIX/bin/PROGRAM. */
#define TO_BUILD "../.."
#define TO_PREFIX ".."

int locate_self(char path[PATH_MAX], struct err *err)
{
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (len < 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot find this program's file");
    path[len] = '\0';
    return 0;
}

int locate_file(char path[PATH_MAX], const char *self, const char *built, const char *installed,
                const char *name, struct err *err)
{
    const char *slash = strrchr(self, '/');
    int len = slash ? (int)(slash - self) : 0;
    const struct {
        const char *up, *below;
    } places[] = {{TO_BUILD, built}, {TO_PREFIX, installed}, {".", "."}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char found[PATH_MAX];
        if (str_format(found, sizeof(found), "%.*s/%s/%s/%s", len, self, places[i].up,
                       places[i].below, name) &&
            realpath(found, path))
            return 0;
    }
    return err_set(err, ERR_INTERNAL,
                   "%s is missing: not in %s of a build, %s of the prefix, or beside %s", name,
                   built, installed, self);
}
