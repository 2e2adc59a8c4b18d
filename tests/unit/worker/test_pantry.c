/* Templates on the disk and the ovens that they get, over engine_fake. */
#include "../../../src/worker/pantry.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/log.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"
#include "oven_rig.h"

#include <stdio.h>

static struct rig rig;
static struct config config;
static struct services services;
static struct pantry *pantry;
static char state[PATH_MAX];
static struct err err;

static const char *in(const char *name, const char *below)
{
    return scratch_path(scratch_path(scratch_path(state, "templates"), name), below);
}

/* A file of its own, as every change makes one: times alone may be too coarse to tell. */
static void replace(const char *name, const char *text)
{
    scratch_write(in(name, "new.json"), text);
    assert_int_equal(rename(in(name, "new.json"), in(name, "template.json")), 0);
}

static void describe(const char *name, const char *more)
{
    char text[1000];
    snprintf(text, sizeof(text),
             "{\"format\": 1, \"name\": \"%s\", \"description\": \"d\", \"from\": \"f\", \"made\": "
             "\"m\", \"sizeBytes\": 5, \"packages\": []%s}",
             name, more);
    replace(name, text);
}

static void make(const char *name, const char *more)
{
    assert_ok(fd_mkdirs(in(name, "rootfs/usr/libexec"), 0755, &err), err);
    assert_ok(fd_mkdirs(in(name, "rootfs/run/codeland"), 0755, &err), err);
    scratch_write(in(name, "rootfs/usr/libexec/crunner"), "");
    describe(name, more);
}

static int set_up(void **data)
{
    (void)data;
    scratch_make(state);
    log_init("test", (enum log_level)(LOG_ERROR + 1));
    config_defaults(&config);
    snprintf(config.paths_state_dir, sizeof(config.paths_state_dir), "%.150s", state);
    make("base", "");
    rig_defaults(&rig);
    rig_start(&rig);
    services = (struct services){.config = &config, .ovens = rig.ovens};
    pantry = pantry_create(&services);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    pantry_destroy(pantry);
    rig_finish(&rig);
    scratch_remove(state);
    return 0;
}

static void each_template_gets_an_oven(void **data)
{
    (void)data;
    assert_ptr_equal(pantry_find(pantry, "", &err), rig.oven);
    assert_int_equal(pantry_info(pantry, "base")->size_bytes, 5);
    assert_null(pantry_info(pantry, "web"));
    make("web", ", \"languages\": [{\"name\": \"php\", \"version\": \"8.2\"}]");
    struct oven *web = pantry_find(pantry, "web", &err); /* it looks by itself */
    assert_non_null(web);
    assert_string_equal(oven_template_name(web), "web");
    assert_int_equal(json_array_size(pantry_languages(pantry, "web")), 1);
    assert_int_equal(json_array_size(pantry_languages(pantry, "base")), 0);
}

static void one_that_is_not_there_says_how_to_make_it(void **data)
{
    (void)data;
    assert_null(pantry_find(pantry, "web", &err));
    assert_string_equal(err_name(err.code), err_name(ERR_NOT_AVAILABLE));
    assert_contains(err.msg, "this worker cannot run it: template \"web\" is not there");
    assert_contains(err.msg, "sudo codeland template build web");
    assert_null(pantry_find(pantry, "../base", &err));
    assert_string_equal(err_name(err.code), err_name(ERR_BAD_REQUEST));
}

static void what_builds_leave_is_no_template(void **data)
{
    (void)data;
    make("web.new", "");
    make("web.old2", "");
    pantry_look(pantry);
    assert_null(ovens_find(rig.ovens, "web"));
    assert_null(pantry_info(pantry, "web.new"));
}

static void one_that_goes_or_breaks_loses_its_oven(void **data)
{
    (void)data;
    make("web", "");
    make("jvm", "");
    pantry_look(pantry);
    assert_non_null(ovens_find(rig.ovens, "web"));
    assert_ok(fd_remove_tree(scratch_path(scratch_path(state, "templates"), "web"), &err), err);
    replace("jvm", "{}");
    pantry_look(pantry);
    assert_null(ovens_find(rig.ovens, "web"));
    assert_null(ovens_find(rig.ovens, "jvm"));
    assert_null(pantry_info(pantry, "jvm"));
    assert_null(pantry_find(pantry, "jvm", &err));
    assert_contains(err.msg, "template \"jvm\" is broken");
    describe("jvm", "");
    assert_non_null(pantry_find(pantry, "jvm", &err));
}

static void another_build_is_seen(void **data)
{
    (void)data;
    rig_pass_ms(&rig, 1);
    rig_memory(&rig, 50);
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_figures(&rig).available, 2);
    pantry_look(pantry);
    assert_int_equal(rig_figures(&rig).available, 2); /* nothing has changed */
    make("base.new", "");
    assert_int_equal(rename(in("base", "rootfs"), in("base.new", "earlier")), 0);
    assert_int_equal(rename(in("base.new", "rootfs"), in("base", "rootfs")), 0);
    pantry_look(pantry);
    assert_int_equal(rig_figures(&rig).available, 0);
}

static void languages_are_checked(void **data)
{
    (void)data;
    static const char *const bad[] = {
        ", \"languages\": 3",
        ", \"languages\": [3]",
        ", \"languages\": [{\"name\": \"a\"}]",
        ", \"languages\": [{\"name\": \"\", \"version\": \"1\"}]",
        ", \"languages\": [{\"name\": \"a\\u001b\", \"version\": \"1\"}]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        describe("base", bad[i]);
        pantry_look(pantry);
        assert_null(pantry_languages(pantry, "base"));
        assert_non_null(pantry_info(pantry, "base")); /* it is of use all the same */
    }
    describe("base", ", \"languages\": [{\"name\": \"sh\", \"version\": \"1\"}]");
    pantry_look(pantry);
    assert_int_equal(json_array_size(pantry_languages(pantry, "base")), 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(each_template_gets_an_oven),
        CASE(one_that_is_not_there_says_how_to_make_it),
        CASE(what_builds_leave_is_no_template),
        CASE(one_that_goes_or_breaks_loses_its_oven),
        CASE(another_build_is_seen),
        CASE(languages_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
