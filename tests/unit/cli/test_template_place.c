#include "../../../src/cli/template_place.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char state[PATH_MAX], target[PATH_MAX], fresh[PATH_MAX];
static struct err err;
static int lock;

static int set_up(void **data)
{
    (void)data;
    scratch_make(state);
    snprintf(target, sizeof(target), "%.4000s/templates/base", state);
    snprintf(fresh, sizeof(fresh), "%.4000s/templates/base.new", state);
    lock = template_place_lock(state, &err);
    assert_true(lock >= 0);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    close(lock);
    scratch_remove(state);
    return 0;
}

/* A tree that says which it is. */
static void make(const char *path, const char *mark)
{
    assert_ok(fd_mkdirs(scratch_path(path, "rootfs"), 0755, &err), err);
    scratch_write(scratch_path(path, "mark"), mark);
}

static void put(const char *mark)
{
    make(fresh, mark);
    assert_ok(template_place_put(fresh, target, lock, &err), err);
    assert_false(scratch_exists(fresh));
}

static const char *mark_of(const char *name)
{
    return scratch_read(scratch_path(scratch_path(scratch_path(state, "templates"), name), "mark"));
}

static bool is_there(const char *name)
{
    return scratch_exists(scratch_path(scratch_path(state, "templates"), name));
}

static void one_writer_at_a_time(void **data)
{
    (void)data;
    assert_fails(template_place_lock(state, &err), err, ERR_NOT_AVAILABLE,
                 "another template is being built or imported in ");
    close(lock);
    lock = template_place_lock(state, &err);
    assert_true(lock >= 0);
}

static void what_was_there_steps_aside(void **data)
{
    (void)data;
    put("one");
    assert_string_equal(mark_of("base"), "one");
    assert_false(is_there("base.old"));
    put("two");
    put("three");
    assert_string_equal(mark_of("base"), "three");
    assert_string_equal(mark_of("base.old"), "one");
    assert_string_equal(mark_of("base.old2"), "two");
}

static void the_sweep_leaves_what_runners_live_on(void **data)
{
    (void)data;
    put("one");
    put("two");
    put("three");
    make(fresh, "half");
    make(scratch_path(state, "templates/other.older"), "no name of ours");
    int held = open(scratch_path(state, "templates/base.old2/rootfs"), O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(held, LOCK_SH | LOCK_NB), 0);
    template_place_sweep(state);
    assert_true(is_there("base"));
    assert_false(is_there("base.new"));
    assert_false(is_there("base.old"));
    assert_string_equal(mark_of("base.old2"), "two");
    assert_true(is_there("other.older"));
    assert_true(template_place_has_left_over(state, "base"));
    assert_false(template_place_has_left_over(state, "other"));
    close(held);
    template_place_sweep(state);
    assert_false(template_place_has_left_over(state, "base"));
    assert_string_equal(mark_of("base"), "three");
}

static void one_can_be_taken_away(void **data)
{
    (void)data;
    put("one");
    assert_ok(template_place_away(target, target, &err), err);
    assert_false(is_there("base"));
    assert_string_equal(mark_of("base.old"), "one");
    assert_fails(template_place_away(target, target, &err), err, ERR_INTERNAL,
                 "No such file or directory");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(one_writer_at_a_time),
        CASE(what_was_there_steps_aside),
        CASE(the_sweep_leaves_what_runners_live_on),
        CASE(one_can_be_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
