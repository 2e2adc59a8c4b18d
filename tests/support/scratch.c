#include "scratch.h"

#include "../../src/common/fd.h"
#include "cm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

static _Noreturn void give_up(const char *doing)
{
    fprintf(stderr, "this machine cannot %s: %s\n", doing, strerror(errno));
    exit(1);
}

/* Without root it takes a user namespace, in which this user is root. */
static void become_root(void)
{
    uid_t uid = getuid();
    gid_t gid = getgid();
    char map[64];
    if (unshare(CLONE_NEWUSER) != 0)
        give_up("make a user namespace");
    fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
    if (fd_write_file(AT_FDCWD, "/proc/self/uid_map", map) != 0)
        give_up("map a user id");
    snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
    if (fd_write_file(AT_FDCWD, "/proc/self/gid_map", map) != 0)
        give_up("map a group id");
}

void scratch_own_mounts(void)
{
    if (geteuid() != 0)
        become_root();
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        give_up("make a mount namespace");
}

void scratch_make(char path[PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, PATH_MAX, "%s/codeland-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path))
        fail_msg("mkdtemp %s: %s", path, strerror(errno));
}

void scratch_remove(const char *path)
{
    while (umount2(path, MNT_DETACH) == 0)
        ;
    struct err err;
    assert_ok(fd_remove_tree(path, &err), err);
}

void scratch_small(const char *path, unsigned long bytes)
{
    char options[64];
    snprintf(options, sizeof(options), "size=%lu,mode=0755", bytes);
    if (mount("tmpfs", path, "tmpfs", 0, options) != 0)
        fail_msg("mount a tmpfs on %s: %s", path, strerror(errno));
}

void scratch_fill(const char *folder)
{
    cleanup_close int fd =
        open(scratch_path(folder, "filler"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    static const char block[4096];
    for (size_t len = sizeof(block); len > 0; len /= 2)
        while (write(fd, block, len) == (ssize_t)len)
            ;
    assert_int_equal(errno, ENOSPC);
}

void scratch_unfill(const char *folder)
{
    assert_int_equal(unlink(scratch_path(folder, "filler")), 0);
}

const char *scratch_path(const char *folder, const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    int len = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    assert_in_range(len, 1, PATH_MAX - 1);
    return path;
}

void scratch_write(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || fd_write_all(fd, text, strlen(text)) != 0)
        fail_msg("%s: %s", path, strerror(errno));
}

const char *scratch_read(const char *path)
{
    static char text[65536];
    if (fd_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return text;
}

bool scratch_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}
