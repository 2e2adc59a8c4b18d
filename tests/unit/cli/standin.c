#include "standin.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

bool standin_does(const struct config *config, const char *name, const char *word)
{
    char path[PATH_MAX], words[400];
    str_format(path, sizeof(path), "%s/%s.does", config->paths_state_dir, name);
    return fd_read_file(AT_FDCWD, path, words, sizeof(words) - 1) > 0 && strstr(words, word);
}

void standin_did(const struct config *config, const char *name, const char *what)
{
    char path[PATH_MAX];
    str_format(path, sizeof(path), "%s/%s.did", config->paths_state_dir, name);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    dprintf(fd, "%s\n", what);
}
