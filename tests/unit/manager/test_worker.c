/* A worker seen from here: up, down, what it told. */
#include "../../../src/common/log.h"
#include "../../../src/manager/fleet.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <stdlib.h>

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX], path[PATH_MAX];
    struct fake_worker *fake;
    struct fleet *fleet;
    struct worker *worker;
    struct listener listener;
    unsigned changes;
};

static const struct fleet_tried none;

static void on_changed(struct listener *listener)
{
    struct rig *rig = (struct rig *)((char *)listener - offsetof(struct rig, listener));
    rig->changes++;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    snprintf(rig->path, sizeof(rig->path), "%s", scratch_path(rig->folder, "worker.sock"));
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    rig->worker = worker_create(&rig->loop, "local", link_local_create(&rig->loop, rig->path));
    rig->fleet = fleet_create(&rig->loop);
    fleet_add(rig->fleet, rig->worker);
    rig->listener.changed = on_changed;
    worker_listen(rig->worker, &rig->listener);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    worker_unlisten(rig->worker, &rig->listener);
    fleet_destroy(rig->fleet);
    fake_worker_destroy(rig->fake);
    scratch_remove(rig->folder);
    loop_finish(&rig->loop);
    free(rig);
    return 0;
}

static void test_figures(void **state)
{
    struct rig *rig = *state;
    assert_false(worker_up(rig->worker));
    assert_null(worker_get_figures(rig->worker));
    loop_wait(&rig->loop, worker_up(rig->worker));
    assert_int_equal(rig->changes, 1);
    const struct worker_figures *figures = worker_get_figures(rig->worker);
    assert_int_equal(figures->memory.total, 1000);
    assert_string_equal(figures->disk.filesystem, "ext4");
    assert_int_equal(figures->oven.available, 5);
    assert_true(figures->load[1] == 0.25);
    assert_ptr_equal(fleet_place(rig->fleet, "base", &none), rig->worker);
    fake_worker_oven(rig->fake, 77, 3, "full", "many");
    loop_wait(&rig->loop, worker_get_figures(rig->worker)->oven.available == 77);
    assert_int_equal(rig->changes, 1);
}

static void test_runners_come_and_go(void **state)
{
    struct rig *rig = *state;
    const struct registry *runners = worker_runners(rig->worker);
    const struct runner_info *info;
    fake_worker_runner(rig->fake, "before", "inUse", "admin");
    loop_wait(&rig->loop, worker_up(rig->worker));
    assert_non_null(registry_find(runners, "before"));
    fake_worker_runner(rig->fake, "later", "available", NULL);
    loop_wait(&rig->loop, registry_find(runners, "later"));
    assert_ptr_equal(fleet_find(rig->fleet, "later", &info), rig->worker);
    assert_string_equal(info->state, "available");
    fake_worker_runner(rig->fake, "before", NULL, NULL);
    loop_wait(&rig->loop, !registry_find(runners, "before"));
    assert_null(fleet_find(rig->fleet, "before", &info));
}

static void test_down_and_up_again(void **state)
{
    struct rig *rig = *state;
    const struct registry *runners = worker_runners(rig->worker);
    fake_worker_runner(rig->fake, "old", "inUse", "admin");
    loop_wait(&rig->loop, worker_up(rig->worker));
    fake_worker_destroy(rig->fake);
    loop_wait(&rig->loop, !worker_up(rig->worker));
    assert_int_equal(rig->changes, 2);
    assert_contains(worker_last_error(rig->worker), "closed");
    assert_non_null(registry_find(runners, "old")); /* believed until the next one speaks */
    assert_null(fleet_place(rig->fleet, "base", &none));
    assert_true(fleet_hope_until(rig->fleet, &none) > 0);
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    loop_wait(&rig->loop, worker_up(rig->worker));
    assert_int_equal(rig->changes, 3);
    loop_wait(&rig->loop, !registry_find(runners, "old"));
}

/* What it has is not forgotten because it was cut off as it began to tell. */
static void test_cut_off_in_its_greeting(void **state)
{
    struct rig *rig = *state;
    const struct registry *runners = worker_runners(rig->worker);
    fake_worker_runner(rig->fake, "old", "inUse", "admin");
    loop_wait(&rig->loop, worker_up(rig->worker));
    loop_wait(&rig->loop, registry_find(runners, "old"));
    fake_worker_destroy(rig->fake);
    loop_wait(&rig->loop, !worker_up(rig->worker));
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    fake_worker_break_off(rig->fake, true);
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->watches >= 2);
    assert_non_null(registry_find(runners, "old"));
    fake_worker_break_off(rig->fake, false);
    loop_wait(&rig->loop, !registry_find(runners, "old"));
}

static void test_watch_cut_alone(void **state)
{
    struct rig *rig = *state;
    loop_wait(&rig->loop, worker_up(rig->worker));
    fake_worker_cut_watch(rig->fake);
    loop_wait(&rig->loop, !worker_up(rig->worker));
    loop_wait(&rig->loop, worker_up(rig->worker));
    assert_int_equal(fake_worker_seen(rig->fake)->watches, 2);
}

/* A worker that talks nonsense is down, with the reason, and is tried again. */
static void test_nonsense(void **state)
{
    struct rig *rig = *state;
    static const struct {
        enum frame_type type;
        const char *text, *words;
    } cases[] = {
        {FRAME_SNAPSHOT, "{}", "worker: is missing"},
        {FRAME_SNAPSHOT, "nonsense", "not JSON"},
        {FRAME_CHANGES, "{\"runners\":[{}]}", "CHANGES of the worker: runners: name"},
        {FRAME_CHANGES, "{\"gone\":[1]}", "gone: must hold names"},
        {FRAME_RESULT, "{}", "no answer to WATCH"},
        {FRAME_LINK_ERROR, "{\"name\":\"internal\",\"message\":\"no more\"}", "no more"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        loop_wait(&rig->loop, worker_up(rig->worker));
        fake_worker_tell(rig->fake, cases[i].type, cases[i].text);
        loop_wait(&rig->loop, !worker_up(rig->worker));
        assert_contains(worker_last_error(rig->worker), cases[i].words);
    }
}

/* An answer that is faster than the WATCH. */
static void test_notes(void **state)
{
    struct rig *rig = *state;
    const struct runner_info *info;
    loop_wait(&rig->loop, worker_up(rig->worker));
    worker_note_kept(rig->worker, "mine", "user");
    assert_non_null(fleet_find(rig->fleet, "mine", &info));
    assert_true(info->kept);
    assert_string_equal(info->owner, "user");
    assert_string_equal(info->template_name, "base");
    fake_worker_runner(rig->fake, "mine", "inUse", "user");
    loop_wait(&rig->loop, registry_find(worker_runners(rig->worker), "mine")->pid == 4711);
    worker_note_kept(rig->worker, "mine", "user"); /* knows less, changes nothing */
    assert_int_equal(registry_find(worker_runners(rig->worker), "mine")->pid, 4711);
    worker_note_gone(rig->worker, "mine");
    assert_null(fleet_find(rig->fleet, "mine", &info));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_figures),
        TEST(test_runners_come_and_go),
        TEST(test_down_and_up_again),
        TEST(test_cut_off_in_its_greeting),
        TEST(test_watch_cut_alone),
        TEST(test_nonsense),
        TEST(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
