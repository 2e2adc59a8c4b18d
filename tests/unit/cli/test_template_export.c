#include "../../../src/cli/template_export.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char state[PATH_MAX];
static struct err err;

static int set_up(void **data)
{
    (void)data;
    const char *folder;
    scratch_make(state);
    folder = scratch_path(state, "templates/base");
    assert_ok(fd_mkdirs(scratch_path(folder, "rootfs/usr/libexec"), 0755, &err), err);
    assert_ok(fd_mkdirs(scratch_path(folder, "rootfs/run/codeland"), 0755, &err), err);
    scratch_write(scratch_path(folder, "rootfs/usr/libexec/crunner"), "");
    scratch_write(scratch_path(folder, "template.json"),
                  "{\"format\": 1, \"name\": \"base\", \"description\": \"\", \"from\": \"\", "
                  "\"made\": \"\", \"sizeBytes\": 1, \"packages\": []}");
    assert_int_equal(chdir(state), 0);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    assert_int_equal(chdir("/"), 0);
    scratch_remove(state);
    return 0;
}

/* stop_fd is what process_catch_stop gives: here a pipe in its place. */
static int export(const char *name, const char *path)
{
    struct screen screen;
    int stop[2];
    assert_int_equal(pipe2(stop, O_CLOEXEC | O_NONBLOCK), 0);
    cleanup_close int output =
        open(scratch_path(state, "output"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct template_export spec = {
        .state_dir = state, .name = name, .path = path, .stop_fd = stop[0]};
    screen_init(&screen, output);
    screen_begin(&screen, "template", "");
    int rc = template_export(&spec, &screen, &err);
    close(stop[0]);
    close(stop[1]);
    return rc;
}

static void it_is_a_file_of_its_name(void **data)
{
    (void)data;
    assert_ok(export("base", NULL), err);
    assert_true(scratch_exists("base.tar.zst"));
    assert_false(scratch_exists("base.tar.zst.part"));
    const char *output = scratch_read(scratch_path(state, "output"));
    assert_contains(output, "template: base, 0 MB, 7 files, exported to base.tar.zst in ");
    assert_contains(output, "; sum ");
}

static void a_file_that_was_there_is_replaced_by_a_whole_one(void **data)
{
    (void)data;
    scratch_write("mine", "old");
    scratch_write("target", "not to be touched");
    assert_int_equal(symlink("target", "mine.part"), 0);
    assert_ok(export("base", "mine"), err);
    assert_string_not_equal(scratch_read("mine"), "old");
    assert_string_equal(scratch_read("target"), "not to be touched");
    assert_false(scratch_exists("mine.part"));
}

static void a_failure_leaves_nothing(void **data)
{
    (void)data;
    scratch_write("mine", "old");
    assert_fails(export("other", "mine"), err, ERR_NOT_FOUND, "template \"other\" is not there");
    assert_string_equal(scratch_read("mine"), "old");
    assert_false(scratch_exists("mine.part"));
    assert_fails(export("../base", "mine"), err, ERR_BAD_REQUEST, "is no template's name");
    assert_fails(export("base", "no/folder"), err, ERR_INTERNAL, "no/folder.part: No such file");
    assert_fails(export("base", state), err, ERR_INTERNAL, "Is a directory");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(it_is_a_file_of_its_name),
        CASE(a_file_that_was_there_is_replaced_by_a_whole_one),
        CASE(a_failure_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
