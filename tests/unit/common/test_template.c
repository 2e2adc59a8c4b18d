#include "../../../src/common/template.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

static char state[PATH_MAX];

static const char good[] =
    "{\"format\": 1, \"name\": \"base\", \"description\": \"sh\", "
    "\"from\": \"debian bookworm amd64\", \"made\": \"2026-01-31T12:00:00Z\", "
    "\"sizeBytes\": 187265024, \"packages\": [{}, {}, {}]}";

static const char *in_template(const char *below)
{
    return scratch_path(scratch_path(state, "templates/base"), below);
}

static int set_up(void **data)
{
    (void)data;
    struct err err;
    scratch_make(state);
    assert_ok(fd_mkdirs(in_template("rootfs/usr/libexec"), 0755, &err), err);
    assert_ok(fd_mkdirs(in_template("rootfs/run/codeland"), 0755, &err), err);
    scratch_write(in_template("rootfs/usr/libexec/crunner"), "");
    scratch_write(in_template("template.json"), good);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    scratch_remove(state);
    return 0;
}

static void paths_are_composed_and_bounded(void **data)
{
    (void)data;
    char path[64];
    assert_true(template_path(path, sizeof(path), "/s", "base", ""));
    assert_string_equal(path, "/s/templates/base");
    assert_true(template_path(path, sizeof(path), "/s", "base", "rootfs/usr"));
    assert_string_equal(path, "/s/templates/base/rootfs/usr");
    assert_false(template_path(path, 17, "/s", "base", ""));
}

static void a_good_one_is_read(void **data)
{
    (void)data;
    struct err err;
    struct template_info info;
    assert_ok(template_check(state, "base", &err), err);
    assert_ok(template_read(state, "base", &info, &err), err);
    assert_string_equal(info.name, "base");
    assert_string_equal(info.description, "sh");
    assert_string_equal(info.from, "debian bookworm amd64");
    assert_string_equal(info.made, "2026-01-31T12:00:00Z");
    assert_int_equal(info.size_bytes, 187265024);
    assert_int_equal(info.packages, 3);
}

static void a_missing_one_says_how_to_make_it(void **data)
{
    (void)data;
    struct err err;
    assert_fails(template_check(state, "other", &err), err, ERR_NOT_FOUND,
                 "make it: sudo codeland template build other");
    assert_fails(template_check("/nowhere", "base", &err), err, ERR_NOT_FOUND,
                 "(/nowhere/templates/base)");
}

static void a_name_cannot_lead_elsewhere(void **data)
{
    (void)data;
    struct err err;
    static const char *const names[] = {"", "..", "../base", "base/", "Base", "base.new"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_fails(template_check(state, names[i], &err), err, ERR_BAD_REQUEST,
                     "is no template's name");
}

static void a_broken_description_is_named(void **data)
{
    (void)data;
    struct err err;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "template.json: not JSON"},
        {"[]", "template.json: must be a JSON object"},
        {"{}", "template.json: format: is missing"},
        {"{\"format\": \"1\"}", "template.json: format: must be a whole number"},
        {"{\"format\": 2}", "template.json: its format is 2, this program's is 1"},
        {"{\"format\": 1}", "template.json: description: is missing"},
        {"{\"format\": 1, \"description\": 3}", "description: must be a string"},
        {"{\"format\": 1, \"description\": \"\", \"from\": \"\", \"made\": \"\", "
         "\"sizeBytes\": -1}",
         "sizeBytes: -1 is out of bounds"},
        {"{\"format\": 1, \"description\": \"\", \"from\": \"\", \"made\": \"\", "
         "\"sizeBytes\": 1, \"packages\": {}}",
         "packages: must be an array"},
        {"{\"format\": 1, \"description\": \"a\\u001b[2Jb\"}",
         "description: must not hold control characters"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scratch_write(in_template("template.json"), cases[i].text);
        assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE, cases[i].words);
        assert_contains(err.msg, "build it again: sudo codeland template build base");
    }
    assert_int_equal(unlink(in_template("template.json")), 0);
    assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE,
                 "template.json: No such file or directory");
}

static void missing_mount_points_are_named(void **data)
{
    (void)data;
    struct err err;
    assert_int_equal(unlink(in_template("rootfs/usr/libexec/crunner")), 0);
    assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE,
                 "rootfs/usr/libexec/crunner: No such file");
    /* A link would lead out of the root file system. */
    assert_int_equal(symlink("/etc/passwd", in_template("rootfs/usr/libexec/crunner")), 0);
    assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE,
                 "rootfs/usr/libexec/crunner is not a file");
    assert_int_equal(unlink(in_template("rootfs/usr/libexec/crunner")), 0);
    scratch_write(in_template("rootfs/usr/libexec/crunner"), "");
    assert_int_equal(rmdir(in_template("rootfs/run/codeland")), 0);
    assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE,
                 "rootfs/run/codeland: No such file");
    assert_int_equal(rename(in_template("rootfs/usr"), in_template("usr")), 0);
    assert_int_equal(symlink("../usr", in_template("rootfs/usr")), 0);
    assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE,
                 "rootfs/usr/libexec/crunner: Too many levels of symbolic links");
    assert_ok(fd_remove_tree(in_template("rootfs"), &err), err);
    assert_fails(template_check(state, "base", &err), err, ERR_NOT_AVAILABLE,
                 "rootfs: No such file");
}

static void one_that_is_not_in_its_place_is_checked_alike(void **data)
{
    (void)data;
    struct err err;
    const char *folder = scratch_path(state, "templates/base");
    assert_ok(template_check_folder(folder, &err), err);
    assert_int_equal(unlink(in_template("rootfs/usr/libexec/crunner")), 0);
    assert_fails(template_check_folder(folder, &err), err, ERR_NOT_AVAILABLE,
                 "rootfs/usr/libexec/crunner: No such file");
    assert_null(strstr(err.msg, "build it again"));
    scratch_write(in_template("template.json"), "{}");
    assert_fails(template_check_folder(folder, &err), err, ERR_BAD_REQUEST,
                 "template.json: format: is missing");
}

/* As the monitor of a runner holds it. */
static void what_runners_live_on_is_not_removed(void **data)
{
    (void)data;
    struct err err;
    const char *base = scratch_path(state, "templates/base");
    int held = open(in_template("rootfs"), O_RDONLY | O_DIRECTORY);
    int second = open(in_template("rootfs"), O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(held, LOCK_SH | LOCK_NB), 0);
    assert_int_equal(flock(second, LOCK_SH | LOCK_NB), 0);
    assert_int_equal(template_remove_unused(base, &err), 1);
    close(held);
    assert_int_equal(template_remove_unused(base, &err), 1);
    assert_ok(template_check(state, "base", &err), err);
    close(second);
    assert_int_equal(template_remove_unused(base, &err), 0);
    assert_int_not_equal(access(base, F_OK), 0);
    assert_int_equal(template_remove_unused(base, &err), 0);
}

static void a_tree_without_a_root_is_removed(void **data)
{
    (void)data;
    struct err err;
    const char *folder = scratch_path(state, "templates/base.new");
    assert_ok(fd_mkdirs(folder, 0755, &err), err);
    scratch_write(scratch_path(folder, "left"), "x");
    assert_int_equal(template_remove_unused(folder, &err), 0);
    assert_int_not_equal(access(folder, F_OK), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(paths_are_composed_and_bounded),
        CASE(a_good_one_is_read),
        CASE(a_missing_one_says_how_to_make_it),
        CASE(a_name_cannot_lead_elsewhere),
        CASE(a_broken_description_is_named),
        CASE(missing_mount_points_are_named),
        CASE(what_runners_live_on_is_not_removed),
        CASE(a_tree_without_a_root_is_removed),
        CASE(one_that_is_not_in_its_place_is_checked_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
