#include "../../../src/common/fd.h"

#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static char folder[PATH_MAX];
static struct err err;

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static const char *in(const char *name)
{
    return scratch_path(folder, name);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int opened_and_given_away(int *closed)
{
    cleanup_close int kept = open("/dev/null", O_RDONLY);
    cleanup_close int given = open("/dev/null", O_RDONLY);
    cleanup_close int none = -1;
    (void)none;
    *closed = kept;
    return steal_fd(&given);
}

static void cleanup_closes_what_was_not_stolen(void **state)
{
    (void)state;
    int closed;
    int given = opened_and_given_away(&closed);
    assert_true(is_open(given));
    assert_false(is_open(closed));
    int copy = given;
    fd_close(&given);
    assert_int_equal(given, -1);
    assert_false(is_open(copy));
    fd_close(&given);
}

/* Descriptor 0 is one like any other. */
static void zero_is_closed_too(void **state)
{
    (void)state;
    int real = dup(0);
    int zero = 0;
    fd_close(&zero);
    assert_false(is_open(0));
    assert_int_equal(dup2(real, 0), 0);
    close(real);
}

/* In a process of its own: the test program's own descriptors would be closed too. */
static void others_are_closed(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        const int kept[] = {206, -1, 202, 90, 202};
        for (int fd = 200; fd < 210; fd++)
            dup2(0, fd);
        if (fd_close_others(201, kept, 5) != 0)
            _exit(1);
        for (int fd = 200; fd < 210; fd++)
            if ((fcntl(fd, F_GETFD) >= 0) != (fd <= 200 || fd == 202 || fd == 206))
                _exit(fd);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void nonblock_is_set_and_taken_back(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_set_nonblock(ends[0], true), 0);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fd_set_nonblock(ends[0], false), 0);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(fd_set_nonblock(ends[0], true), -1);
}

static void write_all_reports_what_fails(void **state)
{
    (void)state;
    assert_int_equal(fd_write_all(-1, "x", 1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(fd_write_all(-1, "", 0), 0);
    int full = open("/dev/full", O_WRONLY);
    assert_int_equal(fd_write_all(full, "x", 1), -1);
    assert_int_equal(errno, ENOSPC);
    close(full);
}

static void descriptors_go_over_a_socket(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        int ends[2], pipes[4], got[FD_SEND_MAX];
        assert_int_equal(socketpair(AF_UNIX, type ? SOCK_SEQPACKET : SOCK_STREAM, 0, ends), 0);
        for (size_t count = 0; count <= FD_SEND_MAX; count++) {
            assert_int_equal(pipe(pipes), 0);
            assert_int_equal(pipe(pipes + 2), 0);
            assert_int_equal(fd_send(ends[0], "hello", 5, pipes, count), 0);
            char text[16];
            assert_int_equal(fd_recv(ends[1], text, sizeof(text), got), 5);
            assert_memory_equal(text, "hello", 5);
            for (size_t i = 0; i < FD_SEND_MAX; i++) {
                if (i >= count) {
                    assert_int_equal(got[i], -1);
                    continue;
                }
                struct stat sent, received;
                assert_int_equal(fstat(pipes[i], &sent), 0);
                assert_int_equal(fstat(got[i], &received), 0);
                assert_true(sent.st_ino == received.st_ino);
                assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
                close(got[i]);
            }
            for (size_t i = 0; i < 4; i++)
                close(pipes[i]);
        }
        close(ends[0]);
        assert_int_equal(fd_recv(ends[1], &(char){0}, 1, got), 0); /* end of file */
        close(ends[1]);
    }
}

static void send_that_cannot(void **state)
{
    (void)state;
    int ends[2], fds[FD_SEND_MAX + 1] = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(fd_send(ends[0], "x", 1, fds, FD_SEND_MAX + 1), -1);
    assert_int_equal(errno, EINVAL);

    static char much[4 << 20]; /* more than a socket takes at once */
    assert_int_equal(fd_send(ends[0], much, sizeof(much), NULL, 0), -1);
    assert_int_equal(errno, EMSGSIZE); /* a second try would send its beginning twice */
    while (send(ends[0], much, 4096, MSG_NOSIGNAL) > 0)
        ;
    assert_int_equal(fd_send(ends[0], "x", 1, NULL, 0), -1);
    assert_int_equal(errno, EAGAIN);

    int none[FD_SEND_MAX];
    assert_int_equal(fd_recv(ends[0], &(char){0}, 1, none), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(none[0], -1);
    close(ends[1]);
    assert_int_equal(fd_send(ends[0], "x", 1, NULL, 0), -1); /* an error, and no SIGPIPE */
    close(ends[0]);
}

static void small_files(void **state)
{
    (void)state;
    scratch_write(in("file"), "1234567");
    char text[8];
    assert_int_equal(fd_read_file(AT_FDCWD, in("file"), text, sizeof(text)), 7);
    assert_string_equal(text, "1234567");
    assert_int_equal(fd_read_file(AT_FDCWD, in("file"), text, 7), -1);
    assert_int_equal(errno, EFBIG);
    assert_int_equal(fd_read_file(AT_FDCWD, in("file"), text, 0), -1);
    assert_int_equal(fd_read_file(AT_FDCWD, in("none"), text, sizeof(text)), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fd_read_file(AT_FDCWD, folder, text, sizeof(text)), -1);
    assert_int_equal(errno, EISDIR);

    cleanup_close int dir = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(fd_write_file(dir, "file", "abc"), 0);
    assert_int_equal(fd_read_file(dir, "file", text, sizeof(text)), 7);
    assert_string_equal(text, "abc4567"); /* as cgroup files want it: nothing is cut first */
    assert_int_equal(fd_write_file(dir, "none", "abc"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fd_write_file(AT_FDCWD, "/dev/full", "x"), -1);
    assert_int_equal(errno, ENOSPC);
    scratch_write(in("empty"), "");
    assert_int_equal(fd_read_file(dir, "empty", text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

/* How many entries the scratch folder has: nothing temporary may stay. */
static size_t entries(void)
{
    struct stat st;
    static const char *const names[] = {"file", "link", "filler"};
    size_t known = 0;
    for (size_t i = 0; i < 3; i++)
        known += lstat(in(names[i]), &st) == 0;
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof(temporary), "%s.new.%d", in("file"), (int)getpid());
    return known + (lstat(temporary, &st) == 0 ? 100 : 0);
}

static void replace_file(void **state)
{
    (void)state;
    mode_t before = umask(077);
    for (int durable = 0; durable < 2; durable++) {
        assert_ok(fd_replace_file(in("file"), "one", 3, 0644, durable, &err), err);
        assert_string_equal(scratch_read(in("file")), "one");
        struct stat st;
        stat(in("file"), &st);
        assert_int_equal(st.st_mode & 07777, 0644); /* whatever the umask */
        assert_ok(fd_replace_file(in("file"), "", 0, 0600, durable, &err), err);
        assert_string_equal(scratch_read(in("file")), "");
        stat(in("file"), &st);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    umask(before);
    assert_int_equal(entries(), 1);
    assert_int_equal(chdir(folder), 0);
    assert_ok(fd_replace_file("file", "two", 3, 0600, true, &err), err); /* no slash in it */
    assert_int_equal(chdir("/"), 0);
    assert_string_equal(scratch_read(in("file")), "two");
}

static void replace_writes_through_nothing(void **state)
{
    (void)state;
    scratch_write(in("file"), "victim");
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof(temporary), "%s.new.%d", in("target"), (int)getpid());
    assert_int_equal(symlink(in("file"), temporary), 0);
    assert_ok(fd_replace_file(in("target"), "new", 3, 0600, false, &err), err);
    assert_string_equal(scratch_read(in("file")), "victim");
    assert_string_equal(scratch_read(in("target")), "new");
    /* and a link that stands at the path itself is replaced, not followed */
    assert_int_equal(symlink(in("file"), in("link")), 0);
    assert_ok(fd_replace_file(in("link"), "new", 3, 0600, false, &err), err);
    assert_string_equal(scratch_read(in("file")), "victim");
    struct stat st;
    assert_int_equal(lstat(in("link"), &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

static void replace_that_fails_keeps_the_old(void **state)
{
    (void)state;
    assert_fails(fd_replace_file(in("no/such"), "x", 1, 0600, false, &err), err, ERR_INTERNAL,
                 "No such file");
    assert_int_equal(mkdir(in("file"), 0700), 0);
    assert_fails(fd_replace_file(in("file"), "x", 1, 0600, false, &err), err, ERR_INTERNAL,
                 "Is a directory");
    assert_int_equal(entries(), 1);
    char far[PATH_MAX];
    memset(far, 'x', sizeof(far) - 1);
    far[sizeof(far) - 1] = '\0';
    assert_fails(fd_replace_file(far, "x", 1, 0600, false, &err), err, ERR_INTERNAL,
                 "path too long");
}

static void replace_on_a_full_disk_keeps_the_old(void **state)
{
    (void)state;
    static char text[60000], back[60001];
    scratch_small(folder, 128 << 10);
    memset(text, 'a', sizeof(text));
    assert_ok(fd_replace_file(in("file"), text, sizeof(text), 0600, true, &err), err);
    scratch_fill(folder);
    memset(text, 'b', sizeof(text));
    for (int durable = 0; durable < 2; durable++)
        assert_fails(fd_replace_file(in("file"), text, sizeof(text), 0600, durable, &err), err,
                     ERR_NO_SPACE, "No space left");
    assert_int_equal(fd_read_file(AT_FDCWD, in("file"), back, sizeof(back)), sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++)
        assert_int_equal(back[i], 'a');
    assert_int_equal(entries(), 2);
    scratch_unfill(folder);
    assert_ok(fd_replace_file(in("file"), text, sizeof(text), 0600, true, &err), err);
    fd_read_file(AT_FDCWD, in("file"), back, sizeof(back));
    assert_int_equal(back[0], 'b');
}

static void mkdirs(void **state)
{
    (void)state;
    mode_t before = umask(077);
    assert_ok(fd_mkdirs(in("a/b//c/"), 0755, &err), err);
    umask(before);
    struct stat st;
    assert_int_equal(stat(in("a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(chmod(in("a/b"), 0700), 0);
    assert_ok(fd_mkdirs(in("a/b/c"), 0755, &err), err);
    assert_int_equal(stat(in("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700); /* what was there stays as it is */
    assert_ok(fd_mkdirs("/", 0755, &err), err);
    assert_int_equal(chdir(folder), 0);
    assert_ok(fd_mkdirs("r/s", 0755, &err), err);
    assert_true(scratch_exists(in("r/s")));
    assert_int_equal(chdir("/"), 0);

    scratch_write(in("file"), "");
    assert_fails(fd_mkdirs(in("file"), 0755, &err), err, ERR_INTERNAL, "Not a directory");
    assert_fails(fd_mkdirs(in("file/x"), 0755, &err), err, ERR_INTERNAL, "Not a directory");
    assert_fails(fd_mkdirs("", 0755, &err), err, ERR_INTERNAL, "No such file");
    assert_int_equal(symlink(in("a"), in("link")), 0);
    assert_ok(fd_mkdirs(in("link/new"), 0755, &err), err);
    assert_true(scratch_exists(in("a/new")));
}

static void removed_tree_is_gone(void **state)
{
    (void)state;
    assert_ok(fd_remove_tree(in("none"), &err), err);
    assert_ok(fd_mkdirs(in("tree/a/b/c"), 0755, &err), err);
    assert_ok(fd_mkdirs(in("tree/empty"), 0755, &err), err);
    scratch_write(in("tree/a/file"), "x");
    scratch_write(in("tree/a/b/.hidden"), "x");
    scratch_write(in("tree/a/read only"), "x");
    assert_int_equal(chmod(in("tree/a/read only"), 0), 0);
    assert_int_equal(mkfifo(in("tree/fifo"), 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", in("tree/socket"));
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(symlink("nowhere", in("tree/dangling")), 0);
    assert_ok(fd_remove_tree(in("tree"), &err), err);
    assert_false(scratch_exists(in("tree")));
    scratch_write(in("single"), "x");
    assert_ok(fd_remove_tree(in("single"), &err), err);
    assert_false(scratch_exists(in("single")));
    assert_fails(fd_remove_tree("/proc/self/status", &err), err, ERR_INTERNAL, "cannot remove");
}

static void remove_follows_no_link(void **state)
{
    (void)state;
    assert_ok(fd_mkdirs(in("outside/kept"), 0755, &err), err);
    scratch_write(in("outside/file"), "kept");
    assert_ok(fd_mkdirs(in("tree/a"), 0755, &err), err);
    assert_int_equal(symlink(in("outside"), in("tree/link")), 0);
    assert_int_equal(symlink("../../outside", in("tree/a/link")), 0);
    assert_int_equal(symlink(in("outside/file"), in("tree/a/file")), 0);
    assert_ok(fd_remove_tree(in("tree"), &err), err);
    assert_false(scratch_exists(in("tree")));
    assert_string_equal(scratch_read(in("outside/file")), "kept");
    assert_true(scratch_exists(in("outside/kept")));
    /* the path itself is a link: the link goes, nothing else */
    assert_int_equal(symlink(in("outside"), in("link")), 0);
    assert_ok(fd_remove_tree(in("link"), &err), err);
    assert_false(scratch_exists(in("link")));
    assert_true(scratch_exists(in("outside/kept")));
}

static void remove_crosses_no_mount(void **state)
{
    (void)state;
    assert_ok(fd_mkdirs(in("tree/tmpfs"), 0755, &err), err);
    assert_ok(fd_mkdirs(in("tree/bound"), 0755, &err), err);
    assert_ok(fd_mkdirs(in("outside"), 0755, &err), err);
    scratch_write(in("outside/file"), "kept");
    scratch_write(in("tree/file"), "goes");
    scratch_small(in("tree/tmpfs"), 65536);
    scratch_write(in("tree/tmpfs/file"), "kept");
    /* a bind mount is of the same file system, and no less outside */
    assert_int_equal(mount(in("outside"), in("tree/bound"), NULL, MS_BIND, NULL), 0);
    assert_int_equal(fd_remove_tree(in("tree"), &err), -1);
    assert_false(scratch_exists(in("tree/file"))); /* what could go is gone */
    assert_string_equal(scratch_read(in("tree/tmpfs/file")), "kept");
    assert_string_equal(scratch_read(in("outside/file")), "kept");
    assert_int_equal(umount(in("tree/bound")), 0);
    assert_int_equal(umount(in("tree/tmpfs")), 0);
    assert_ok(fd_remove_tree(in("tree"), &err), err);
}

/* Deeper than there may be descriptors, and than a path may be long. */
static void deep_tree_is_removed(void **state)
{
    (void)state;
    char name[201];
    memset(name, 'd', 200);
    name[200] = '\0';
    assert_int_equal(mkdir(in("tree"), 0755), 0);
    int at = open(in("tree"), O_RDONLY | O_DIRECTORY);
    for (int depth = 0; depth < 3000; depth++) {
        assert_int_equal(mkdirat(at, name, 0755), 0);
        if (depth == 350) /* a name that the remover would use is taken */
            assert_int_equal(mkdirat(at, ".removing-0", 0755), 0);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(mkdir(in("tree/.removing-1"), 0755), 0);
    scratch_write(in("tree/.removing-2"), "");
    int first_free = dup(0);
    close(first_free);
    assert_ok(fd_remove_tree(in("tree"), &err), err);
    assert_false(scratch_exists(in("tree")));
    int still_free = dup(0);
    close(still_free);
    assert_int_equal(first_free, still_free); /* no descriptor is left behind */
}

int main(void)
{
    scratch_own_mounts();
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(cleanup_closes_what_was_not_stolen),
        TEST(zero_is_closed_too),
        TEST(others_are_closed),
        TEST(nonblock_is_set_and_taken_back),
        TEST(write_all_reports_what_fails),
        TEST(descriptors_go_over_a_socket),
        TEST(send_that_cannot),
        TEST(small_files),
        TEST(replace_file),
        TEST(replace_writes_through_nothing),
        TEST(replace_that_fails_keeps_the_old),
        TEST(replace_on_a_full_disk_keeps_the_old),
        TEST(mkdirs),
        TEST(removed_tree_is_gone),
        TEST(remove_follows_no_link),
        TEST(remove_crosses_no_mount),
        TEST(deep_tree_is_removed),
    };
    return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
