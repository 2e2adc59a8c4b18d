#include "../../../src/worker/rootfs.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"
#include "../../../src/worker/idmap.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE 1610612736u
#define COUNT 65536u
#define SLOT 3

/* rootfs_mount spends its process: each test mounts and looks in a child, which says what is wrong
 * on a pipe.
 */
static char folder[PATH_MAX];
static struct idmap *idmap;
static int complaints;

__attribute__((format(printf, 1, 2))) _Noreturn static void complain(const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fd_write_all(complaints, text, (size_t)len);
    _exit(1);
}

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            complain("line %d: %s (%s)", __LINE__, #condition, strerror(errno));                   \
    } while (0)

static int setup(void **state)
{
    (void)state;
    scratch_make(folder);
    chmod(folder, 0755); /* the runner's root looks in */
    idmap = idmap_create(BASE, COUNT);
    mkdir(scratch_path(folder, "mnt"), 0755);
    mkdir(scratch_path(folder, "template"), 0755);
    mkdir(scratch_path(folder, "template/home"), 0755);
    scratch_write(scratch_path(folder, "template/file"), "of the template");
    scratch_write(scratch_path(folder, "agent"), "the agent");
    return chown(scratch_path(folder, "template/home"), 1000, 1000);
}

static int teardown(void **state)
{
    (void)state;
    idmap_destroy(idmap);
    scratch_remove(folder);
    return 0;
}

static struct rootfs_spec spec(void)
{
    struct err err;
    int userns = idmap_userns(idmap, SLOT, &err);
    if (userns < 0)
        fail_msg("%s", err.msg);
    return (struct rootfs_spec){
        .template_path = scratch_path(folder, "template"),
        .userns = userns,
        .first_id = idmap_first(idmap, SLOT),
        .disk_bytes = 1 << 20,
        .disk_inodes = 50,
        .agent = scratch_path(folder, "agent"),
        .mount_point = scratch_path(folder, "mnt"),
    };
}

/* What is wrong, "" when nothing is. */
static const char *in_child(const struct rootfs_spec *what, void (*look)(void))
{
    static char text[512];
    int pair[2], status;
    struct err err;
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        complaints = pair[1];
        if (rootfs_mount(what, &err) != 0)
            complain("%s", err.msg);
        if (look)
            look();
        _exit(0);
    }
    close(pair[1]);
    ssize_t len = read(pair[0], text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    close(pair[0]);
    waitpid(pid, &status, 0);
    if (len <= 0 && status != 0)
        str_format(text, sizeof(text), "it ended with status %d", status);
    return text;
}

static const char *merged(const char *name)
{
    return scratch_path(scratch_path(folder, "mnt/" ROOTFS_MERGED), name);
}

static void look_at_owners(void)
{
    struct stat st;
    uint32_t first = idmap_first(idmap, SLOT);
    check(stat(merged("file"), &st) == 0 && st.st_uid == first && st.st_gid == first);
    check(stat(merged("home"), &st) == 0 && st.st_uid == first + 1000);
    check(stat(merged("."), &st) == 0 && st.st_uid == first && (st.st_mode & 07777) == 0755);
    /* On the template's own disk nothing has changed. */
    check(stat(scratch_path(folder, "template/file"), &st) == 0 && st.st_uid == 0);
}

static void template_belongs_to_the_runners_root(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_string_equal(in_child(&what, look_at_owners), "");
}

/* 1, 0, or -1 when it cannot be told. */
static int locked_by_others(void)
{
    cleanup_close int template = open(scratch_path(folder, "template"), O_RDONLY | O_DIRECTORY);
    if (template <0)
        return -1;
    if (flock(template, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? 1 : -1;
}

static void look_at_the_lock(void)
{
    check(locked_by_others() == 1);
}

/* So that nobody removes it; the lock goes with the process. */
static void template_is_locked_as_long_as_it_is_mounted(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_int_equal(locked_by_others(), 0);
    assert_string_equal(in_child(&what, look_at_the_lock), "");
    assert_int_equal(locked_by_others(), 0);
}

static void write_into_it(void)
{
    uint32_t first = idmap_first(idmap, SLOT);
    check(setgid(first) == 0 && setuid(first) == 0);
    int fd = open(merged("file"), O_WRONLY | O_TRUNC);
    check(fd >= 0 && write(fd, "mine", 4) == 4);
    check(mkdir(merged("new"), 0755) == 0);
    check(unlink(merged("file")) == 0);
    check(access(merged("file"), F_OK) != 0);
    check(open(scratch_path(folder, "mnt/lower/file"), O_WRONLY) < 0);
}

static void template_is_never_written_to(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_string_equal(in_child(&what, write_into_it), "");
    assert_string_equal(scratch_read(scratch_path(folder, "template/file")), "of the template");
    assert_false(scratch_exists(scratch_path(folder, "template/new")));
    assert_string_equal(in_child(&what, look_at_owners), ""); /* the next begins anew */
}

static void write_as_root(void)
{
    int fd = open(scratch_path(folder, "mnt/lower/file"), O_WRONLY);
    check(fd < 0 && errno == EROFS);
}

static void template_is_read_only_for_the_hosts_root_too(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_string_equal(in_child(&what, write_as_root), "");
}

static void fill_bytes(void)
{
    static char block[65536];
    int fd = open(merged("big"), O_WRONLY | O_CREAT, 0644);
    check(fd >= 0);
    size_t total = 0;
    ssize_t wrote;
    while ((wrote = write(fd, block, sizeof(block))) > 0)
        total += (size_t)wrote;
    check(errno == ENOSPC && total > 900000 && total <= 1 << 20);
}

static void fill_inodes(void)
{
    int count = 0;
    for (; count < 1000; count++) {
        char name[32];
        snprintf(name, sizeof(name), "f%d", count);
        int fd = open(merged(name), O_WRONLY | O_CREAT, 0644);
        if (fd < 0)
            break;
        close(fd);
    }
    check(errno == ENOSPC && count >= 48 && count <= 51);
}

static void disk_is_bounded(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_string_equal(in_child(&what, fill_bytes), "");
    assert_string_equal(in_child(&what, fill_inodes), "");
}

static void look_at_agent(void)
{
    char text[64];
    check(fd_read_file(AT_FDCWD, scratch_path(folder, "mnt/" ROOTFS_AGENT), text, sizeof(text)) >
          0);
    check(strcmp(text, "the agent") == 0);
}

static void agent_is_within_reach(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_string_equal(in_child(&what, look_at_agent), "");
}

static bool mounted_here(const char *path)
{
    static char mounts[1 << 20];
    assert_true(fd_read_file(AT_FDCWD, "/proc/self/mountinfo", mounts, sizeof(mounts)) > 0);
    return strstr(mounts, path) != NULL;
}

static void mount_and_stay(void)
{
    check(mounted_here(folder));
}

static void nothing_of_it_shows_outside(void **state)
{
    (void)state;
    const struct rootfs_spec what = spec();
    assert_string_equal(in_child(&what, mount_and_stay), "");
    assert_false(mounted_here(folder));
    assert_false(scratch_exists(merged(".")));
}

static void failures_say_what_could_not_be_done(void **state)
{
    (void)state;
    struct rootfs_spec what = spec();
    what.template_path = "/nonexistent/rootfs";
    assert_string_equal(in_child(&what, NULL), "cannot mount /nonexistent/rootfs with the runner's "
                                               "ids: No such file or directory");
    what = spec();
    what.mount_point = "/nonexistent/mnt";
    assert_string_equal(in_child(&what, NULL),
                        "cannot mount a tmpfs at /nonexistent/mnt: No such file or directory");
    what = spec();
    what.agent = "/nonexistent/crunner";
    assert_string_equal(in_child(&what, NULL),
                        "cannot bind the agent, /nonexistent/crunner: No such file or directory");
    what = spec();
    what.userns = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_contains(in_child(&what, NULL), "with the runner's ids: Invalid argument");
    close(what.userns);
    what = spec();
    what.disk_inodes = -4; /* fewer than the mounts themselves need */
    assert_string_equal(in_child(&what, NULL),
                        "cannot make the overlay's folders: No space left on device");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    if (geteuid() != 0) {
        fprintf(stderr, "this test makes mounts and needs root\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        IN_FOLDER(template_belongs_to_the_runners_root),
        IN_FOLDER(template_is_locked_as_long_as_it_is_mounted),
        IN_FOLDER(template_is_never_written_to),
        IN_FOLDER(template_is_read_only_for_the_hosts_root_too),
        IN_FOLDER(disk_is_bounded),
        IN_FOLDER(agent_is_within_reach),
        IN_FOLDER(nothing_of_it_shows_outside),
        IN_FOLDER(failures_say_what_could_not_be_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
