/* One table of names over all workers: who has a name, who may take one. */
#include "../../../src/common/log.h"
#include "../../../src/manager/names.h"
#include "../../../src/manager/worker.h"
#include "../../support/cm.h"
#include "../../support/loop_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig {
    uv_loop_t loop;
    struct worker *a, *b;
    struct names *names;
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    rig->a = worker_create(&rig->loop, "a", link_local_create(&rig->loop, "/nowhere/a"));
    rig->b = worker_create(&rig->loop, "b", link_local_create(&rig->loop, "/nowhere/b"));
    rig->names = names_create();
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    worker_destroy(rig->a);
    worker_destroy(rig->b);
    names_destroy(rig->names);
    loop_finish(&rig->loop);
    free(rig);
    return 0;
}

static struct runner_info make(const char *name, bool kept, int64_t started_ms)
{
    struct runner_info info = {.kept = kept, .started_ms = started_ms};
    snprintf(info.name, sizeof(info.name), "%s", name);
    return info;
}

static void test_many(void **state)
{
    struct rig *rig = *state;
    enum { COUNT = 20000 };
    struct runner_info *infos = calloc(COUNT, sizeof(*infos));
    const struct runner_info *found;
    for (int i = 0; i < COUNT; i++) {
        char name[20];
        snprintf(name, sizeof(name), "cr-%08d", i);
        infos[i] = make(name, false, 0);
        names_add(rig->names, i % 2 ? rig->a : rig->b, &infos[i]);
    }
    assert_int_equal(names_count(rig->names), COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_ptr_equal(names_find(rig->names, infos[i].name, &found), i % 2 ? rig->a : rig->b);
        assert_ptr_equal(found, &infos[i]);
    }
    for (int i = 0; i < COUNT; i += 2)
        names_remove(rig->names, &infos[i]);
    assert_int_equal(names_count(rig->names), COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(names_find(rig->names, infos[i].name, &found), i % 2 ? rig->a : NULL);
    names_remove(rig->names, &infos[0]); /* not there */
    assert_int_equal(names_count(rig->names), COUNT / 2);
    free(infos);
}

/* Whichever came first, the same one has the name, and the other has it afterwards. */
static void test_two_workers_with_one_name(void **state)
{
    struct rig *rig = *state;
    const struct runner_info *found;
    const struct {
        struct runner_info winner, loser;
    } cases[] = {
        {make("demo", true, 9), make("demo", false, 1)},
        {make("demo", true, 1), make("demo", true, 9)},
        {make("demo", true, 5), make("demo", true, 5)}, /* a comes before b */
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        const struct runner_info *winner = &cases[i / 2].winner, *loser = &cases[i / 2].loser;
        if (i % 2)
            names_add(rig->names, rig->b, loser);
        names_add(rig->names, rig->a, winner);
        if (i % 2 == 0)
            names_add(rig->names, rig->b, loser);
        assert_ptr_equal(names_find(rig->names, "demo", &found), rig->a);
        assert_ptr_equal(found, winner);
        names_remove(rig->names, winner);
        assert_ptr_equal(names_find(rig->names, "demo", &found), rig->b);
        names_remove(rig->names, loser);
        assert_null(names_find(rig->names, "demo", &found));
        assert_null(found);
    }
}

static void test_reserved(void **state)
{
    struct rig *rig = *state;
    struct err err;
    const struct runner_info *found;
    struct runner_info demo = make("demo", true, 1);
    assert_int_equal(names_reserve(rig->names, "demo", &err), 0);
    assert_null(names_find(rig->names, "demo", &found)); /* it is nobody's yet */
    assert_int_equal(names_reserve(rig->names, "demo", &err), -1);
    assert_int_equal(err.code, ERR_NAME_TAKEN);
    names_add(rig->names, rig->a, &demo); /* it has been made */
    names_release(rig->names, "demo");
    assert_ptr_equal(names_find(rig->names, "demo", &found), rig->a);
    assert_int_equal(names_reserve(rig->names, "demo", &err), -1);
    assert_contains(err.msg, "demo");
    names_remove(rig->names, &demo);
    assert_int_equal(names_reserve(rig->names, "demo", &err), 0);
    names_release(rig->names, "demo");
    assert_int_equal(names_count(rig->names), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_many),
        TEST(test_two_workers_with_one_name),
        TEST(test_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
