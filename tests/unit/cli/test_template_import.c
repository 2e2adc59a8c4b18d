#include "../../../src/cli/template_import.h"

#include "../../../src/cli/template_place.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/template.h"
#include "../../support/cm.h"
#include "../../support/made_archive.h"
#include "../../support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char state[PATH_MAX];
static struct err err;
static int never, said;

static int set_up(void **data)
{
    (void)data;
    int ends[2];
    scratch_make(state);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    never = ends[0];
    said = ends[1];
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    scratch_remove(state);
    close(never);
    close(said);
    return 0;
}

static int import(const char *path, const char *as, int stop_fd)
{
    struct screen screen;
    cleanup_close int output =
        open(scratch_path(state, "output"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct template_import spec = {
        .state_dir = state, .path = path, .as = as, .stop_fd = stop_fd};
    screen_init(&screen, output);
    screen_begin(&screen, "template", "");
    return template_import(&spec, &screen, &err);
}

/* Writes it as a file and imports that. */
static int import_made(const struct made_entry *further, size_t count, const char *as)
{
    struct buf archive;
    made_with(&archive, further, count);
    cleanup_close int fd =
        open(scratch_path(state, "archive"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, archive.data, archive.len), 0);
    buf_finish(&archive);
    return import(scratch_path(state, "archive"), as, never);
}

static void assert_templates(const char *names)
{
    struct dirent **list;
    char found[1000] = "";
    int len = scandir(scratch_path(state, "templates"), &list, NULL, alphasort);
    assert_true(len >= 0);
    for (int i = 0; i < len; i++) {
        if (list[i]->d_name[0] != '.') {
            strcat(found, list[i]->d_name);
            strcat(found, " ");
        }
        free(list[i]);
    }
    free(list);
    assert_string_equal(found, names);
}

static void a_good_one_is_in_its_place(void **data)
{
    (void)data;
    assert_ok(import_made(NULL, 0, NULL), err);
    assert_templates("made ");
    assert_ok(template_check(state, "made", &err), err);
    const char *output = scratch_read(scratch_path(state, "output"));
    assert_contains(output, "template: unpacking ");
    assert_contains(output, "template: made, 0 MB, 8 files, imported in ");
}

static void it_may_have_another_name(void **data)
{
    (void)data;
    assert_ok(import_made(NULL, 0, "other"), err);
    assert_templates("other ");
    assert_ok(template_check(state, "other", &err), err);
    assert_contains(scratch_read(scratch_path(state, "templates/other/template.json")),
                    "\"name\": \"other\"");
    assert_fails(import_made(NULL, 0, "../other"), err, ERR_BAD_REQUEST, "is no template's name");
    assert_templates("other ");
}

static void it_replaces_the_old_one_but_for_its_runners(void **data)
{
    (void)data;
    static const struct made_entry mark = {
        .path = "rootfs/mark", .mode = AE_IFREG | 0644, .text = "new"};
    assert_ok(import_made(NULL, 0, NULL), err);
    assert_ok(import_made(&mark, 1, NULL), err);
    assert_string_equal(scratch_read(scratch_path(state, "templates/made/rootfs/mark")), "new");
    assert_templates("made made.old ");
    template_place_sweep(state);
    assert_templates("made ");
}

static void a_hostile_one_changes_nothing(void **data)
{
    (void)data;
    static const struct {
        struct made_entry further;
        const char *words;
    } cases[] = {
        {{.path = "/etc/x", .mode = AE_IFREG | 0644}, "must be relative"},
        {{.path = "rootfs/../x", .mode = AE_IFREG | 0644}, "\"..\""},
        {{.path = "rootfs/null", .mode = AE_IFCHR | 0666}, "is a character device"},
        {{.path = "rootfs/su", .mode = AE_IFREG | 04755}, "is a set-user-id"},
        {{.path = "rootfs/tmp", .mode = AE_IFDIR | 0755}, "is there twice"},
    };
    assert_ok(import_made(NULL, 0, NULL), err);
    struct stat before, after;
    assert_int_equal(stat(scratch_path(state, "templates/made/rootfs"), &before), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_fails(import_made(&cases[i].further, 1, NULL), err, ERR_BAD_REQUEST, cases[i].words);
        assert_templates("made ");
    }
    assert_int_equal(stat(scratch_path(state, "templates/made/rootfs"), &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
}

static void what_is_no_whole_template_is_refused(void **data)
{
    (void)data;
    struct buf archive;
    const struct made_spec spec = {.entries = made_template, .count = MADE_TEMPLATE_LEN - 2};
    made_archive(&archive, &spec);
    const char *path = scratch_path(state, "archive");
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, archive.data, archive.len), 0);
    buf_finish(&archive);
    assert_fails(import(path, NULL, never), err, ERR_NOT_AVAILABLE,
                 "the archive is no whole template: rootfs/usr/libexec/crunner: No such file");
    assert_templates("");
    assert_fails(import(scratch_path(state, "missing"), NULL, never), err, ERR_NOT_FOUND,
                 "missing: No such file or directory");
    assert_fails(import(state, NULL, never), err, ERR_BAD_REQUEST, "Is a directory");
    assert_templates("");
}

static void one_at_a_time(void **data)
{
    (void)data;
    cleanup_close int lock = template_place_lock(state, &err);
    assert_true(lock >= 0);
    assert_fails(import_made(NULL, 0, NULL), err, ERR_NOT_AVAILABLE,
                 "another template is being built or imported in ");
}

/* Its archive is a pipe that stays open: it has all but the end. */
static void it_can_be_interrupted(void **data)
{
    (void)data;
    struct buf archive;
    char pipe_path[40];
    int ends[2], stop[2];
    assert_ok(import_made(NULL, 0, NULL), err);
    assert_int_equal(pipe2(ends, 0), 0);
    assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
    made_with(&archive, NULL, 0);
    assert_int_equal(fd_write_all(ends[1], archive.data, archive.len / 2), 0);
    buf_finish(&archive);
    assert_int_equal(fd_write_all(stop[1], "x", 1), 0);
    snprintf(pipe_path, sizeof(pipe_path), "/proc/self/fd/%d", ends[0]);
    assert_fails(import(pipe_path, NULL, stop[0]), err, ERR_TIMED_OUT,
                 "interrupted; nothing was changed");
    assert_templates("made ");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    close(ends[0]);
    close(ends[1]);
    close(stop[0]);
    close(stop[1]);
}

static void what_follows_an_archive_is_bounded(void **data)
{
    (void)data;
    static const char zeros[65536];
    const char *path = scratch_path(state, "archive");
    assert_ok(import_made(NULL, 0, NULL), err);
    cleanup_close int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    for (int i = 0; i < 40; i++)
        assert_int_equal(fd_write_all(fd, zeros, sizeof(zeros)), 0);
    assert_int_equal(import(path, NULL, never), -1);
    assert_templates("made ");
}

static void a_full_disk_is_told(void **data)
{
    (void)data;
    const struct made_entry large = {
        .path = "rootfs/large", .mode = AE_IFREG | 0644, .filler = 6000000};
    scratch_small(state, 4000000);
    assert_fails(import_made(&large, 1, NULL), err, ERR_NO_SPACE,
                 "it needs 6 MB, and the disk has room for 3 MB");
    assert_templates("");
}

int main(void)
{
    scratch_own_mounts();
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_good_one_is_in_its_place),
        CASE(it_may_have_another_name),
        CASE(it_replaces_the_old_one_but_for_its_runners),
        CASE(a_hostile_one_changes_nothing),
        CASE(what_is_no_whole_template_is_refused),
        CASE(one_at_a_time),
        CASE(it_can_be_interrupted),
        CASE(what_follows_an_archive_is_bounded),
        CASE(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
