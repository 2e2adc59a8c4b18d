#include "../../../src/cli/template_disk.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/made_archive.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char folder[PATH_MAX], outside[PATH_MAX];
static struct err err;

static int set_up(void **data)
{
    (void)data;
    scratch_make(folder);
    scratch_make(outside);
    scratch_write(scratch_path(outside, "file"), "untouched");
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    assert_int_equal(chdir("/"), 0);
    scratch_remove(folder);
    scratch_remove(outside);
    return 0;
}

static struct buf archive;

static ssize_t on_read(void *data, const void **piece)
{
    (void)data;
    size_t len = archive.len;
    *piece = archive.data;
    archive.len = 0;
    return (ssize_t)len;
}

/* The sink's data is what the reader gets, too. */
static int unpack(void)
{
    struct template_unpacked unpacked;
    assert_int_equal(chdir(folder), 0);
    cleanup_close int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct template_disk *disk = template_disk_create(root);
    int rc = template_unpack(on_read, &template_disk_sink, disk, &unpacked, &err);
    if (rc == 0)
        rc = template_disk_end(disk, &err);
    template_disk_destroy(disk);
    buf_finish(&archive);
    return rc;
}

static int unpack_with(const struct made_entry *further, size_t count)
{
    made_with(&archive, further, count);
    return unpack();
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(scratch_path(folder, path), &st), 0);
    return st;
}

static void everything_is_as_it_was(void **data)
{
    (void)data;
    static const struct made_entry further[] = {
        {.path = "rootfs/closed", .mode = AE_IFDIR | 0500, .uid = 7},
        {.path = "rootfs/closed/file", .mode = AE_IFREG | 0440, .text = "text", .uid = 1000},
        {.path = "rootfs/again", .mode = AE_IFREG | 0440, .same = "rootfs/closed/file"},
        {.path = "rootfs/link", .mode = AE_IFLNK | 0777, .link = "/etc/passwd", .uid = 8},
        {.path = "rootfs/noted", .mode = AE_IFREG | 0644, .attribute = "user.note"},
        {.path = "rootfs/mail", .mode = AE_IFDIR | 02775},
    };
    assert_int_equal(unpack_with(further, 6), 0);
    struct stat st = stat_of("rootfs/closed");
    assert_int_equal(st.st_mode, S_IFDIR | 0500);
    assert_int_equal(st.st_uid, 7);
    assert_int_equal(st.st_mtime, 0); /* although a file was put into it */
    st = stat_of("rootfs/closed/file");
    assert_int_equal(st.st_mode, S_IFREG | 0440);
    assert_int_equal(st.st_uid, 1000);
    assert_int_equal(st.st_nlink, 2);
    assert_string_equal(scratch_read(scratch_path(folder, "rootfs/again")), "text");
    st = stat_of("rootfs/link");
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(st.st_uid, 8);
    assert_int_equal(stat_of("rootfs/tmp").st_mode, S_IFDIR | 01777);
    assert_int_equal(stat_of("rootfs/mail").st_mode, S_IFDIR | 02775);
    char value[8];
    assert_int_equal(getxattr(scratch_path(folder, "rootfs/noted"), "user.note", value, 8), 1);
}

static void nothing_is_written_through_a_link(void **data)
{
    (void)data;
    const struct made_entry cases[][2] = {
        {{.path = "rootfs/out", .mode = AE_IFLNK | 0777, .link = outside},
         {.path = "rootfs/out/new", .mode = AE_IFREG | 0644, .text = "x"}},
        {{.path = "rootfs/up", .mode = AE_IFLNK | 0777, .link = "usr"},
         {.path = "rootfs/up/new", .mode = AE_IFDIR | 0755}},
        {{.path = "rootfs/way", .mode = AE_IFLNK | 0777, .link = outside},
         {.path = "rootfs/new", .mode = AE_IFREG | 0644, .same = "rootfs/way/file"}},
        {{.path = "rootfs/way", .mode = AE_IFLNK | 0777, .link = "../../outside/file"},
         {.path = "rootfs/new", .mode = AE_IFREG | 0644, .same = "rootfs/way"}},
    };
    static const char *const words[] = {
        "\"rootfs/out/new\" is not in a folder that came before it, and a link is none",
        "\"rootfs/up/new\" is not in a folder that came before it, and a link is none",
        "\"rootfs/new\" is a further name of \"rootfs/way/file\", which is no file that came "
        "before",
        "\"rootfs/new\" is a further name of \"rootfs/way\", which is no file that came before",
    };
    for (size_t i = 0; i < 4; i++) {
        assert_fails(unpack_with(cases[i], 2), err, ERR_BAD_REQUEST, words[i]);
        assert_false(scratch_exists(scratch_path(outside, "new")));
        assert_string_equal(scratch_read(scratch_path(outside, "file")), "untouched");
        tear_down(NULL);
        set_up(NULL);
    }
}

static void each_name_comes_once_and_after_its_folder(void **data)
{
    (void)data;
    static const struct {
        struct made_entry further[2];
        const char *words;
    } cases[] = {
        {{{.path = "rootfs/a", .mode = AE_IFREG | 0644}, {.path = "rootfs/a", .mode = AE_IFREG}},
         "\"rootfs/a\" is there twice"},
        {{{.path = "rootfs/a", .mode = AE_IFLNK | 0777, .link = "/etc/passwd"},
          {.path = "rootfs/a", .mode = AE_IFREG | 0644, .text = "x"}},
         "\"rootfs/a\" is there twice"},
        {{{.path = "rootfs/a", .mode = AE_IFDIR | 0755}, {.path = "rootfs/a", .mode = AE_IFDIR}},
         "\"rootfs/a\" is there twice"},
        {{{.path = "rootfs/a", .mode = AE_IFREG | 0644},
          {.path = "template.json", .mode = AE_IFREG | 0644}},
         "\"template.json\" is there twice"},
        {{{.path = "rootfs/a", .mode = AE_IFREG | 0644},
          {.path = "rootfs/b/c", .mode = AE_IFREG | 0644}},
         "\"rootfs/b/c\" is not in a folder that came before it"},
        {{{.path = "rootfs/a", .mode = AE_IFREG | 0644},
          {.path = "rootfs/a/c", .mode = AE_IFREG | 0644}},
         "\"rootfs/a/c\" is not in a folder that came before it"},
        {{{.path = "rootfs/a", .mode = AE_IFREG | 0644, .same = "rootfs/b"},
          {.path = "rootfs/b", .mode = AE_IFREG | 0644}},
         "\"rootfs/a\" is a further name of \"rootfs/b\", which is no file that came before"},
        {{{.path = "rootfs/a", .mode = AE_IFREG | 0644, .same = "rootfs/usr"},
          {.path = "rootfs/b", .mode = AE_IFREG | 0644}},
         "which is no file that came before"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_fails(unpack_with(cases[i].further, 2), err, ERR_BAD_REQUEST, cases[i].words);
        tear_down(NULL);
        set_up(NULL);
    }
}

static void what_does_not_fit_is_told_before(void **data)
{
    (void)data;
    scratch_small(folder, 2000000);
    const struct made_entry large = {
        .path = "rootfs/large", .mode = AE_IFREG | 0644, .filler = 3000000};
    assert_fails(unpack_with(&large, 1), err, ERR_NO_SPACE,
                 "it needs 3 MB, and the disk has room for 2 MB");
    assert_false(scratch_exists(scratch_path(folder, "rootfs")));
}

static void a_disk_that_fills_up_is_told(void **data)
{
    (void)data;
    static const char *const names[] = {"rootfs/a", "rootfs/b", "rootfs/c", "rootfs/d",
                                        "rootfs/e", "rootfs/f", "rootfs/g", "rootfs/h"};
    struct made_entry files[8];
    for (size_t i = 0; i < 8; i++)
        files[i] =
            (struct made_entry){.path = names[i], .mode = AE_IFREG | 0644, .text = "a page each"};
    scratch_small(folder, 16384);
    assert_fails(unpack_with(files, 8), err, ERR_NO_SPACE, "No space left on device");
}

int main(void)
{
    scratch_own_mounts();
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(everything_is_as_it_was),
        CASE(nothing_is_written_through_a_link),
        CASE(each_name_comes_once_and_after_its_folder),
        CASE(what_does_not_fit_is_told_before),
        CASE(a_disk_that_fills_up_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
