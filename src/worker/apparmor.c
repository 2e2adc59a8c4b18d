#include "apparmor.h"

#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool apparmor_is_on(void)
{
    char text[8];
    return fd_read_file(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", text, sizeof(text)) >
               0 &&
           text[0] == 'Y';
}

static int start_parser(const char *parser, const char *file, int output, pid_t *pid)
{
    const char *const argv[] = {parser, "--replace", "--write-cache", file, NULL};
    const char *const environment[] = {"LC_ALL=C", NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    int error =
        posix_spawn(pid, parser, &actions, NULL, (char *const *)argv, (char *const *)environment);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* The beginning of what it says; all of it is read, so that it never waits for us. */
static void read_all(int fd, char *text, size_t room)
{
    size_t len = 0;
    char rest[512];
    for (ssize_t got; (got = read(fd, rest, sizeof(rest))) > 0 || (got < 0 && errno == EINTR);) {
        size_t keep = got < 0 ? 0 : (size_t)got;
        if (keep > room - 1 - len)
            keep = room - 1 - len;
        memcpy(text + len, rest, keep);
        len += keep;
    }
    text[len] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

int apparmor_load(const char *parser, const char *file, struct err *err)
{
    int output[2], status;
    char said[160];
    pid_t pid;
    if (pipe2(output, O_CLOEXEC) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "pipe");
    int error = start_parser(parser, file, output[1], &pid);
    close(output[1]);
    if (error == 0)
        read_all(output[0], said, sizeof(said));
    close(output[0]);
    if (error != 0)
        return err_sys(err, ERR_NOT_AVAILABLE, error, "cannot execute %s", parser);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(err, ERR_NOT_AVAILABLE, "%s does not load %s: %s", parser, file, said);
}
