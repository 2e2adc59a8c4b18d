/* Which template has a language, and which of several is taken. */
#include "../../../src/manager/templates.h"

#include "../../../src/common/json.h"
#include "../../../src/common/mem.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/known_languages.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <string.h>

static void test_version_of_a_language(void **state)
{
    (void)state;
    cleanup_json json_t *languages =
        json_pack("[{s:s, s:s}, {s:s}, {s:s, s:s}]", "name", "sh", "version", "0.5.12", "name",
                  "lua", "name", "c", "version", "12.2.0");
    cleanup_json json_t *empty = json_array();
    assert_string_equal(template_version(languages, "sh"), "0.5.12");
    assert_string_equal(template_version(languages, "c"), "12.2.0");
    assert_string_equal(template_version(languages, "lua"), "");
    assert_null(template_version(languages, "c+"));
    assert_null(template_version(languages, ""));
    /* One that tells nothing was made before templates told their languages: it has a shell. */
    assert_string_equal(template_version(empty, "sh"), "");
    assert_string_equal(template_version(NULL, "sh"), "");
    assert_null(template_version(NULL, "c"));
}

static void test_what_is_better(void **state)
{
    (void)state;
    static const struct {
        struct template_offer offer;
        struct template_choice choice;
        bool better;
    } cases[] = {
        {{"a", 0, false}, {0}, true},
        {{"a", 5, true}, {"b", "", 6, true}, true},
        {{"a", 7, true}, {"b", "", 6, true}, false},
        {{"a", 6, true}, {"b", "", 6, true}, true},
        {{"c", 6, true}, {"b", "", 6, true}, false},
        {{"b", 6, true}, {"b", "", 6, true}, false},
        {{"a", 0, true}, {"b", "", 6, true}, false},
        {{"c", 6, true}, {"b", "", 0, true}, true},
        {{"a", 0, true}, {"b", "", 0, true}, true},
        {{"a", 9, true}, {"b", "", 1, false}, true},
        {{"a", 1, false}, {"b", "", 9, true}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (template_better(&cases[i].offer, &cases[i].choice) != cases[i].better)
            fail_msg("case %zu", i);
}

static uint64_t random_state = 11;

static uint64_t draw(uint64_t below)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (random_state >> 33) % below;
}

static struct template_choice best_of(const struct template_offer *offers, size_t count)
{
    struct template_choice choice = {0};
    for (size_t i = 0; i < count; i++)
        if (template_better(&offers[i], &choice))
            choice =
                (struct template_choice){offers[i].name, "", offers[i].bytes, offers[i].usable};
    return choice;
}

/* Workers are told in any order: the choice is the same, and nothing that was there beats it. */
static void test_the_order_does_not_matter(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int round = 0; round < 5000; round++) {
        struct template_offer offers[8];
        size_t count = 1 + draw(8);
        for (size_t i = 0; i < count; i++)
            offers[i] = (struct template_offer){names[draw(4)], (int64_t)draw(4), draw(2) > 0};
        struct template_choice one = best_of(offers, count);
        for (size_t i = count; i-- > 1;) {
            size_t other = draw(i + 1);
            struct template_offer offer = offers[i];
            offers[i] = offers[other];
            offers[other] = offer;
        }
        struct template_choice two = best_of(offers, count);
        assert_string_equal(one.name, two.name);
        assert_int_equal(one.bytes, two.bytes);
        assert_int_equal(one.usable, two.usable);
        for (size_t i = 0; i < count; i++)
            assert_false(template_better(&offers[i], &one));
    }
}

/* ---- a fleet of two ---- */

struct two {
    uv_loop_t loop;
    char folder[PATH_MAX];
    struct fake_worker *fakes[2];
    struct worker *workers[2];
    struct fleet *fleet;
};

static int set_up(void **state)
{
    struct two *two = mem_new(struct two);
    static const char *const names[] = {"one", "two"};
    uv_loop_init(&two->loop);
    scratch_make(two->folder);
    two->fleet = fleet_create(&two->loop);
    for (int i = 0; i < 2; i++) {
        const char *path = scratch_path(two->folder, names[i]);
        two->fakes[i] = fake_worker_create(&two->loop, path);
        two->workers[i] = worker_create(&two->loop, names[i], link_local_create(&two->loop, path));
        fleet_add(two->fleet, two->workers[i]);
    }
    *state = two;
    return 0;
}

static int tear_down(void **state)
{
    struct two *two = *state;
    fleet_destroy(two->fleet);
    fake_worker_destroy(two->fakes[0]);
    fake_worker_destroy(two->fakes[1]);
    scratch_remove(two->folder);
    loop_finish(&two->loop);
    free(two);
    return 0;
}

static json_t *template(const char *name, int bytes, const char *language, const char *version)
{
    return json_pack("{s:s, s:i, s:[{s:s, s:s}]}", "name", name, "bytes", bytes, "languages",
                     "name", language, "version", version);
}

static bool has(const struct two *two, int i, const char *name)
{
    return worker_up(two->workers[i]) && worker_oven(two->workers[i], name);
}

static const struct language *language(const char *name)
{
    struct err err;
    return languages_find(known_languages(), name, strlen(name), &err);
}

static void assert_chosen(const struct two *two, const char *name, const char *wanted)
{
    struct err err;
    const char *chosen = templates_choose(two->fleet, language(name), &err);
    if (!chosen)
        fail_msg("%s", err.msg);
    assert_string_equal(chosen, wanted);
}

static void test_the_smallest_of_all_workers(void **state)
{
    struct two *two = *state;
    /* Nobody was reached yet: whoever comes may have it. */
    assert_chosen(two, "c", "native");
    assert_chosen(two, "sh", "base");
    fake_worker_templates(two->fakes[0], json_pack("[o, o]", template("base", 10, "sh", "0.5"),
                                                   template("full", 90, "c", "12.1")));
    fake_worker_templates(two->fakes[1], json_pack("[o, o]", template("base", 11, "sh", "0.6"),
                                                   template("native", 50, "c", "12.2")));
    loop_wait(&two->loop, has(two, 0, "full") && has(two, 1, "native"));
    assert_chosen(two, "c", "native");
    assert_chosen(two, "sh", "base");
    struct template_choice choice = templates_find(two->fleet, "sh");
    assert_string_equal(choice.version, "0.5");
    assert_true(choice.usable);
    struct err err;
    assert_null(templates_choose(two->fleet, language("rust"), &err));
    assert_int_equal(err.code, ERR_NOT_AVAILABLE);
    assert_contains(err.msg, "\"rust\"");
    char command[120];
    snprintf(command, sizeof(command), "sudo codeland template build %s",
             language("rust")->template_name);
    assert_contains(err.msg, command);

    /* The same for all at once. */
    struct template_choice choices[LANGUAGES_MAX];
    templates_find_all(two->fleet, known_languages(), choices);
    for (size_t i = 0; i < languages_len(known_languages()); i++) {
        const char *name = languages_at(known_languages(), i)->name;
        choice = templates_find(two->fleet, name);
        assert_int_equal(choices[i].name != NULL, choice.name != NULL);
        assert_int_equal(choice.name != NULL, strcmp(name, "c") == 0 || strcmp(name, "sh") == 0);
        if (choice.name)
            assert_string_equal(choices[i].name, choice.name);
    }
}

/* A larger template where runs are taken is better than a smaller one where none is; the latter is
 * still better than nothing, as that worker may be back.
 */
static void test_workers_that_take_no_runs(void **state)
{
    struct two *two = *state;
    fake_worker_templates(two->fakes[0], json_pack("[o]", template("full", 90, "c", "12")));
    fake_worker_templates(two->fakes[1], json_pack("[o]", template("native", 50, "c", "12")));
    loop_wait(&two->loop, has(two, 0, "full") && has(two, 1, "native"));
    assert_chosen(two, "c", "native");
    worker_set_draining(two->workers[1], true);
    assert_chosen(two, "c", "full");
    fake_worker_destroy(steal_ptr(two->fakes[0]));
    loop_wait(&two->loop, !worker_up(two->workers[0]));
    assert_chosen(two, "c", "native");
    assert_false(templates_find(two->fleet, "c").usable);
    worker_set_draining(two->workers[1], false);
    assert_true(templates_find(two->fleet, "c").usable);
    /* An oven that drains refuses runs as well. */
    json_t *drained = template("native", 50, "c", "12");
    json_object_set_new(drained, "draining", json_true());
    fake_worker_templates(two->fakes[1], json_pack("[o]", drained));
    loop_wait(&two->loop, worker_oven(two->workers[1], "native")->draining);
    assert_chosen(two, "c", "native");
    assert_false(templates_find(two->fleet, "c").usable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_of_a_language),
        cmocka_unit_test(test_what_is_better),
        cmocka_unit_test(test_the_order_does_not_matter),
        cmocka_unit_test_setup_teardown(test_the_smallest_of_all_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_workers_that_take_no_runs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
