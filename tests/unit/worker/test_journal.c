#include "../../../src/worker/journal.h"

#include "../../../src/common/json.h"
#include "../../../src/worker/engine_fake.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct stage {
    char folder[PATH_MAX];
    struct engine_fake *fake;
    struct roster *roster;
    struct journal *journal;
};

static const struct engine_spec like = {
    .rootfs = "/templates/base/rootfs",
    .limits = {.memory_bytes = 1 << 28, .processes = 64, .cpu_percent = 100},
    .disk_bytes = 1 << 20,
    .disk_inodes = 1000,
};

static int adopt(struct journal *journal, const struct engine_spec *spec, bool may_network)
{
    struct err err;
    int adopted = journal_adopt(journal, spec, may_network, &err);
    if (adopted < 0)
        fail_msg("%s", err.msg);
    return adopted;
}

static void open_worker(struct stage *stage)
{
    struct err err;
    stage->roster =
        roster_create(engine_fake_attach(stage->fake), engine_fake_clock(stage->fake), 100);
    stage->journal = journal_create(stage->folder, stage->roster, &err);
    if (!stage->journal)
        fail_msg("%s", err.msg);
}

static void close_worker(struct stage *stage)
{
    journal_destroy(stage->journal);
    roster_destroy(stage->roster);
    stage->roster = NULL;
}

static void begin(struct stage *stage)
{
    scratch_make(stage->folder);
    stage->fake = engine_fake_create();
    open_worker(stage);
}

static void finish(struct stage *stage)
{
    if (stage->roster)
        close_worker(stage);
    engine_fake_destroy(stage->fake);
    scratch_remove(stage->folder);
}

static void pass_ms(struct stage *stage, int ms)
{
    engine_fake_advance(stage->fake, ms * US_PER_MS);
}

static struct runner *cook(struct stage *stage)
{
    struct err err;
    struct runner *runner = roster_cook(stage->roster, "base", &like, &err);
    assert_non_null(runner);
    return runner;
}

static struct runner *cook_warm(struct stage *stage)
{
    struct runner *runner = cook(stage);
    pass_ms(stage, 10);
    assert_int_equal(runner->state, RUNNER_AVAILABLE);
    return runner;
}

static void keep(struct stage *stage, struct runner *runner, const char *name)
{
    struct err err;
    runner_take(runner);
    assert_ok(runner_keep(runner, name, "ann", &err), err);
    assert_ok(journal_update(stage->journal, runner, &err), err);
}

static const char *entry(struct stage *stage, const char *container)
{
    return scratch_path(scratch_path(stage->folder, "runners"), container);
}

static bool has_entry(struct stage *stage, const struct runner *runner)
{
    return scratch_exists(entry(stage, runner->spec.name));
}

static unsigned entries(struct stage *stage)
{
    unsigned count = 0;
    DIR *folder = opendir(scratch_path(stage->folder, "runners"));
    assert_non_null(folder);
    for (struct dirent *at; (at = readdir(folder));)
        count += at->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void only_what_may_be_adopted_has_an_entry(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    struct runner *runner = cook(&stage);
    assert_false(has_entry(&stage, runner)); /* cooking */
    pass_ms(&stage, 10);
    assert_true(has_entry(&stage, runner)); /* warm */
    runner_take(runner);
    assert_false(has_entry(&stage, runner)); /* before its program can start */
    runner_destroy(runner);
    pass_ms(&stage, 10);
    assert_int_equal(entries(&stage), 0);

    runner = cook_warm(&stage);
    keep(&stage, runner, "demo");
    assert_true(has_entry(&stage, runner));
    runner_destroy(runner);
    assert_false(has_entry(&stage, runner));
    pass_ms(&stage, 10);

    runner = cook_warm(&stage);
    engine_fake_kill(stage.fake, runner->spec.name);
    pass_ms(&stage, 10);
    assert_int_equal(entries(&stage), 0);
    finish(&stage);
}

static void folder_is_for_root_alone(void **state)
{
    struct stage stage;
    struct stat st;
    (void)state;
    begin(&stage);
    assert_int_equal(stat(scratch_path(stage.folder, "runners"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    struct runner *runner = cook_warm(&stage);
    assert_int_equal(stat(entry(&stage, runner->spec.name), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    finish(&stage);
}

static void next_worker_has_the_warm_and_the_kept(void **state)
{
    struct stage stage;
    char warm[NAME_MAX_LEN + 1], kept[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage);
    strcpy(warm, cook_warm(&stage)->name);
    struct runner *runner = cook_warm(&stage);
    strcpy(kept, runner->spec.name);
    unsigned slot = runner->spec.slot;
    keep(&stage, runner, "demo");
    runner_take(cook_warm(&stage)); /* a run's */
    cook(&stage);
    close_worker(&stage);

    open_worker(&stage);
    assert_int_equal(adopt(stage.journal, &like, true), 2);
    pass_ms(&stage, 10);
    runner = roster_find(stage.roster, "", warm);
    assert_int_equal(runner->state, RUNNER_AVAILABLE);
    assert_true(runner->adopted && !runner->kept);
    runner = roster_find(stage.roster, "", "demo");
    assert_int_equal(runner->state, RUNNER_IN_USE);
    assert_true(runner->kept);
    assert_string_equal(runner->owner, "ann");
    assert_string_equal(runner->template_name, "base");
    assert_string_equal(runner->spec.name, kept);
    assert_int_equal(runner->spec.slot, slot);
    assert_int_equal(roster_total(stage.roster), 2);
    assert_int_equal(entries(&stage), 2);
    close_worker(&stage);

    open_worker(&stage); /* and the one after it too */
    assert_int_equal(adopt(stage.journal, &like, true), 2);
    finish(&stage);
}

static void on_attached(const struct err *why, void *data)
{
    assert_null(why);
    ((struct runner *)data)->spec.networked = true;
}

/* As run.c does. */
static void give_network(struct stage *stage, struct runner *runner)
{
    struct engine *engine = roster_engine(stage->roster);
    engine->ops->attach_network(engine, runner->handle, on_attached, runner);
    pass_ms(stage, 1);
    assert_true(runner->spec.networked);
}

static void one_with_a_network_is_adopted_only_where_it_may_have_one(void **state)
{
    (void)state;
    for (int may = 0; may < 2; may++) {
        struct stage stage;
        begin(&stage);
        struct runner *runner = cook_warm(&stage);
        give_network(&stage, runner);
        keep(&stage, runner, "demo");
        close_worker(&stage);
        open_worker(&stage);
        assert_int_equal(adopt(stage.journal, &like, may), may);
        pass_ms(&stage, 10);
        runner = roster_find(stage.roster, "", "demo");
        assert_int_equal(runner && runner->spec.networked, may);
        assert_int_equal(entries(&stage), may);
        finish(&stage);
    }
}

static void one_that_is_not_there_any_more_loses_its_entry(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    keep(&stage, cook_warm(&stage), "demo");
    close_worker(&stage);
    engine_fake_destroy(stage.fake); /* the machine was started anew */
    stage.fake = engine_fake_create();
    open_worker(&stage);
    assert_int_equal(adopt(stage.journal, &like, true), 1);
    pass_ms(&stage, 10);
    assert_null(roster_find(stage.roster, "", "demo"));
    assert_int_equal(entries(&stage), 0);
    finish(&stage);
}

static void warm_one_with_another_disk_is_of_no_use(void **state)
{
    struct stage stage;
    struct engine_spec other = like;
    (void)state;
    begin(&stage);
    keep(&stage, cook_warm(&stage), "demo");
    cook_warm(&stage);
    close_worker(&stage);
    open_worker(&stage);
    other.disk_bytes *= 2;
    assert_int_equal(adopt(stage.journal, &other, true), 1);
    assert_int_equal(roster_find(stage.roster, "", "demo")->spec.disk_bytes, like.disk_bytes);
    assert_int_equal(entries(&stage), 1);
    finish(&stage);
}

static void write_entry(struct stage *stage, const char *file, const char *text)
{
    scratch_write(entry(stage, file), text);
}

static void entries_that_make_no_sense_are_removed(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"container\":\"cr-00000001\"}",
        /* A slot that does not exist, and numbers that are none. */
        "{\"container\":\"cr-00000001\",\"name\":\"x\",\"slot\":65536,\"template\":\"base\","
        "\"kept\":true,\"owner\":\"\",\"operations\":0,\"pid\":5,\"disk\":1,\"inodes\":1}",
        "{\"container\":\"cr-00000001\",\"name\":\"x\",\"slot\":-1,\"template\":\"base\","
        "\"kept\":true,\"owner\":\"\",\"operations\":0,\"pid\":5,\"disk\":1,\"inodes\":1}",
        "{\"container\":\"cr-00000001\",\"name\":\"x\",\"slot\":1,\"template\":\"base\","
        "\"kept\":true,\"owner\":\"\",\"operations\":0,\"pid\":0,\"disk\":1,\"inodes\":1}",
        /* Names that could leave a folder. */
        "{\"container\":\"cr-00000001\",\"name\":\"../../x\",\"slot\":1,\"template\":\"base\","
        "\"kept\":true,\"owner\":\"\",\"operations\":0,\"pid\":5,\"disk\":1,\"inodes\":1}",
        "{\"container\":\"cr-00000001\",\"name\":\"x\",\"slot\":1,\"template\":\"../base\","
        "\"kept\":true,\"owner\":\"\",\"operations\":0,\"pid\":5,\"disk\":1,\"inodes\":1}",
        /* Another container's. */
        "{\"container\":\"cr-00000002\",\"name\":\"x\",\"slot\":1,\"template\":\"base\","
        "\"kept\":true,\"owner\":\"\",\"operations\":0,\"pid\":5,\"disk\":1,\"inodes\":1}",
        "{\"container\":\"cr-00000001\",\"name\":\"x\",\"slot\":1,\"template\":\"base\","
        "\"kept\":true,\"owner\":"
        "\"12345678901234567890123456789012345678901234567890123456789012345"
        "\",\"operations\":0,\"pid\":5,\"disk\":1,\"inodes\":1}",
    };
    struct stage stage;
    (void)state;
    begin(&stage);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_entry(&stage, "cr-00000001", texts[i]);
        if (adopt(stage.journal, &like, true) != 0)
            fail_msg("adopted: %s", texts[i]);
        assert_int_equal(entries(&stage), 0);
    }
    /* What a crash left of a write, a file that is too long, names that are none. */
    static char long_text[8192];
    memset(long_text, ' ', sizeof(long_text) - 1);
    write_entry(&stage, "cr-00000001.new.77", "{\"container\":");
    write_entry(&stage, "cr-00000002", long_text);
    write_entry(&stage, "UPPER", "{}");
    assert_int_equal(adopt(stage.journal, &like, true), 0);
    assert_int_equal(entries(&stage), 0);
    assert_int_equal(roster_total(stage.roster), 0);
    finish(&stage);
}

static void two_entries_for_one_name_or_slot(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    for (int i = 1; i <= 2; i++) {
        char file[32], text[512];
        snprintf(file, sizeof(file), "cr-0000000%d", i);
        snprintf(text, sizeof(text),
                 "{\"container\":\"%s\",\"name\":\"demo\",\"slot\":%d,\"template\":\"base\","
                 "\"kept\":true,\"owner\":\"a\",\"operations\":0,\"pid\":5,\"disk\":1,"
                 "\"inodes\":1}",
                 file, i);
        write_entry(&stage, file, text);
    }
    assert_int_equal(adopt(stage.journal, &like, true), 1);
    assert_int_equal(entries(&stage), 1);
    assert_non_null(roster_find(stage.roster, "", "demo"));
    finish(&stage);
}

#define ANN "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BEN "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* Two managers' runners of one name, and one of a worker that knew of no managers. */
static void whose_they_are_is_remembered(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    static const char *const managers[] = {ANN, BEN, ""};
    for (size_t i = 0; i < 3; i++) {
        struct err err;
        struct runner *runner = cook_warm(&stage);
        runner_take(runner);
        runner_give(runner, managers[i]);
        assert_ok(runner_keep(runner, "demo", "ann", &err), err);
        runner->operations = (uint32_t)i + 1;
        assert_ok(journal_update(stage.journal, runner, &err), err);
    }
    close_worker(&stage);
    open_worker(&stage);
    assert_int_equal(adopt(stage.journal, &like, true), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct runner *runner = roster_find(stage.roster, managers[i], "demo");
        assert_non_null(runner);
        assert_string_equal(runner->manager, managers[i]);
        assert_int_equal(runner->operations, i + 1);
    }
    finish(&stage);
}

static void full_disk_costs_adoption_and_nothing_else(void **state)
{
    struct stage stage;
    struct err err;
    (void)state;
    scratch_make(stage.folder);
    scratch_small(stage.folder, 65536);
    stage.fake = engine_fake_create();
    open_worker(&stage);
    struct runner *kept = cook_warm(&stage);
    keep(&stage, kept, "demo");
    scratch_fill(stage.folder);
    struct runner *warm = cook_warm(&stage);
    assert_false(has_entry(&stage, warm)); /* not even an empty one */
    runner_take(warm);
    assert_ok(runner_keep(warm, "next", "ann", &err), err);
    assert_fails(journal_update(stage.journal, warm, &err), err, ERR_NO_SPACE,
                 "the worker cannot note that it has next");
    assert_false(has_entry(&stage, warm));
    /* The entry that was there before survives an attempt to write it anew. */
    assert_int_equal(journal_update(stage.journal, kept, &err), -1);
    close_worker(&stage);
    open_worker(&stage);
    assert_int_equal(adopt(stage.journal, &like, true), 1);
    assert_non_null(roster_find(stage.roster, "", "demo"));
    finish(&stage);
}

static void folder_that_cannot_be_made(void **state)
{
    struct stage stage;
    struct err err = {0};
    char path[PATH_MAX];
    (void)state;
    begin(&stage);
    scratch_write(scratch_path(stage.folder, "file"), "");
    assert_null(journal_create(scratch_path(stage.folder, "file"), stage.roster, &err));
    assert_contains(err.msg, "file");
    memset(path, 'x', 300);
    path[300] = '\0';
    assert_null(journal_create(path, stage.roster, &err));
    assert_contains(err.msg, "path too long");
    finish(&stage);
}

/* Also with one that allows for the folder, but for no entry in it. */
static void without_descriptors_nothing_is_lost(void **state)
{
    struct stage stage;
    struct rlimit before, few;
    (void)state;
    begin(&stage);
    cook_warm(&stage);
    close_worker(&stage);
    open_worker(&stage);
    int next = dup(STDIN_FILENO);
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    for (unsigned more = 0; more < 2; more++) {
        struct err err;
        few = (struct rlimit){(rlim_t)next + more, before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        int adopted = journal_adopt(stage.journal, &like, true, &err);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(adopted, -1);
        assert_int_equal(err.sys_errno, EMFILE);
        assert_int_equal(entries(&stage), 1);
    }
    assert_int_equal(adopt(stage.journal, &like, true), 1);
    finish(&stage);
}

int main(void)
{
    scratch_own_mounts();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_may_be_adopted_has_an_entry),
        cmocka_unit_test(folder_is_for_root_alone),
        cmocka_unit_test(next_worker_has_the_warm_and_the_kept),
        cmocka_unit_test(one_with_a_network_is_adopted_only_where_it_may_have_one),
        cmocka_unit_test(one_that_is_not_there_any_more_loses_its_entry),
        cmocka_unit_test(warm_one_with_another_disk_is_of_no_use),
        cmocka_unit_test(entries_that_make_no_sense_are_removed),
        cmocka_unit_test(two_entries_for_one_name_or_slot),
        cmocka_unit_test(without_descriptors_nothing_is_lost),
        cmocka_unit_test(whose_they_are_is_remembered),
        cmocka_unit_test(full_disk_costs_adoption_and_nothing_else),
        cmocka_unit_test(folder_that_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
