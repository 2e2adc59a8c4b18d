#include "../../../src/worker/watch.h"

#include "../../../src/common/json.h"
#include "../../../src/common/mem.h"
#include "worker_rig.h"

#include <stdlib.h>
#include <sys/socket.h>

struct stage {
    struct worker_rig rig;
    struct peer a;
};

static const struct chan_ops no_ops = {.on_frame = NULL};

static void watch_as(struct stage *stage, const char *manager, struct peer *peer)
{
    struct err err;
    int fd = peer_pair(peer, worker_rig_turn, &stage->rig);
    struct chan *chan = chan_create(&stage->rig.loop, fd, &no_ops, NULL, &err);
    assert_non_null(chan);
    watch_add(stage->rig.services.watch, manager, chan);
}

static void watch(struct stage *stage, struct peer *peer)
{
    watch_as(stage, RIG_MANAGER, peer);
}

static void begin(struct stage *stage)
{
    *stage = (struct stage){.a = {.fd = -1}};
    worker_rig_init(&stage->rig);
    worker_rig_open(&stage->rig);
    worker_rig_warm(&stage->rig, 1);
    stage->rig.oven_frozen = true; /* nothing changes by itself */
}

static void finish(struct stage *stage)
{
    worker_rig_finish(&stage->rig);
    peer_close(&stage->a);
}

static struct runner *warm_runner(struct stage *stage);

static void remember(struct runner *runner, void *data)
{
    struct runner **found = data;
    if (runner->state == RUNNER_AVAILABLE)
        *found = runner;
}

static struct runner *warm_runner(struct stage *stage)
{
    struct runner *found = NULL;
    roster_each(stage->rig.services.roster, remember, &found);
    assert_non_null(found);
    return found;
}

/* The record of a runner in a CHANGES, NULL when it is not there. */
static const json_t *record_of(const json_t *changes, const char *name)
{
    size_t i;
    json_t *record;
    json_array_foreach(json_object_get(changes, "runners"), i, record)
    {
        if (strcmp(json_string_value(json_object_get(record, "name")), name) == 0)
            return record;
    }
    return NULL;
}

static bool is_gone(const json_t *changes, const char *name)
{
    size_t i;
    json_t *gone;
    json_array_foreach(json_object_get(changes, "gone"), i, gone)
    {
        if (strcmp(json_string_value(gone), name) == 0)
            return true;
    }
    return false;
}

static const char *text_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_string(value) ? json_string_value(value) : "(none)";
}

/* The next CHANGES; SNAPSHOTs are passed over. */
static json_t *next_changes(struct peer *peer)
{
    struct frame frame;
    do
        assert_true(peer_next(peer, &frame));
    while (frame.type == FRAME_SNAPSHOT);
    assert_int_equal(frame.type, FRAME_CHANGES);
    return json_loadb(frame.payload, frame.len, 0, NULL);
}

static void every_runner_follows_the_first_snapshot(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    struct runner *runner = warm_runner(&stage);
    watch(&stage, &stage.a);
    cleanup_json json_t *snapshot = peer_expect_json(&stage.a, FRAME_SNAPSHOT);
    assert_int_equal(json_array_size(json_object_get(snapshot, "runners")), 0);
    assert_true(json_is_array(json_object_get(snapshot, "runners")));
    assert_string_equal(text_of(json_object_get(snapshot, "worker"), "name"), "rig");
    assert_true(json_is_object(json_object_get(snapshot, "memory")));
    assert_true(json_is_object(json_object_get(snapshot, "disk")));
    assert_int_equal(json_array_size(json_object_get(snapshot, "load")), 3);
    const json_t *oven = json_object_get(snapshot, "oven");
    assert_string_equal(text_of(oven, "template"), "base");
    assert_string_equal(text_of(oven, "message"), "");
    assert_int_equal(json_integer_value(json_object_get(oven, "available")), 1);
    assert_int_equal(json_integer_value(json_object_get(oven, "count")), 1);
    assert_true(json_number_value(json_object_get(oven, "cookMs")) > 0);

    cleanup_json json_t *changes = peer_expect_json(&stage.a, FRAME_CHANGES);
    const json_t *record = record_of(changes, runner->name);
    assert_string_equal(text_of(record, "state"), "available");
    assert_string_equal(text_of(record, "template"), "base");
    assert_true(json_is_null(json_object_get(record, "owner")));
    assert_true(json_is_false(json_object_get(record, "kept")));
    assert_true(json_is_null(json_object_get(record, "lastStatus")));
    assert_true(json_integer_value(json_object_get(record, "pid")) > 0);
    assert_int_equal(json_array_size(json_object_get(record, "history")), 2);
    assert_int_equal(json_object_size(record), 12);

    /* Those that come every second say nothing of runners. */
    cleanup_json json_t *second = peer_expect_json(&stage.a, FRAME_SNAPSHOT);
    assert_null(json_object_get(second, "runners"));
    finish(&stage);
}

static void changes_come_and_say_only_the_last_of_many(void **state)
{
    struct stage stage;
    struct err err;
    char earlier[NAME_MAX_LEN + 1];
    (void)state;
    begin(&stage);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    json_decref(next_changes(&stage.a));

    struct runner *runner = warm_runner(&stage);
    strcpy(earlier, runner->name);
    runner_take(runner);
    runner->last_status = "ok";
    runner_give(runner, RIG_MANAGER);
    assert_ok(runner_keep(runner, "demo", "ann", &err), err);
    watch_renamed(stage.rig.services.watch, runner, earlier);
    watch_touch(stage.rig.services.watch, runner);
    cleanup_json json_t *changes = next_changes(&stage.a);
    const json_t *record = record_of(changes, "demo");
    assert_string_equal(text_of(record, "state"), "inUse");
    assert_string_equal(text_of(record, "owner"), "ann");
    assert_string_equal(text_of(record, "lastStatus"), "ok");
    assert_true(is_gone(changes, earlier));
    assert_null(record_of(changes, earlier));

    runner_destroy(runner);
    worker_rig_wait(&stage.rig, !roster_find(stage.rig.services.roster, RIG_MANAGER, "demo"));
    bool gone = false;
    while (!gone) { /* "freeing" may come by itself */
        cleanup_json json_t *next = next_changes(&stage.a);
        gone = is_gone(next, "demo");
        if (!gone)
            assert_string_equal(text_of(record_of(next, "demo"), "state"), "freeing");
        else
            assert_null(record_of(next, "demo"));
    }
    finish(&stage);
}

static void flush_sends_at_once(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    json_decref(next_changes(&stage.a));
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT)); /* that was all */
    runner_take(warm_runner(&stage));
    assert_false(peer_has_frame(&stage.a));
    watch_flush(stage.rig.services.watch);
    assert_true(peer_has_frame(&stage.a)); /* without a turn of the loop */
    json_decref(next_changes(&stage.a));
    watch_flush(stage.rig.services.watch);
    assert_false(peer_has_frame(&stage.a)); /* nothing new */
    finish(&stage);
}

static void memory_of_runners_in_use_is_sampled(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    struct runner *runner = warm_runner(&stage);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    json_decref(next_changes(&stage.a));
    runner_take(runner);
    json_decref(next_changes(&stage.a));
    assert_true(engine_fake_set_stats(stage.rig.fake, runner->name,
                                      &(struct engine_stats){.memory_bytes = 4711}));
    int64_t memory = 0;
    while (memory != 4711) { /* a sample may have come before */
        cleanup_json json_t *changes = next_changes(&stage.a);
        memory = json_integer_value(json_object_get(record_of(changes, runner->name), "memory"));
    }
    finish(&stage);
}

static void many_runners_come_in_several_frames(void **state)
{
    struct stage stage;
    enum { RUNNERS = 2100 };
    (void)state;
    stage = (struct stage){.a = {.fd = -1}};
    worker_rig_init(&stage.rig);
    stage.rig.oven_config.max_runners = stage.rig.oven_config.min_available = RUNNERS;
    stage.rig.oven_config.cook_parallel = 64;
    worker_rig_open(&stage.rig);
    worker_rig_warm(&stage.rig, RUNNERS);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    size_t records = 0;
    while (records < RUNNERS) {
        cleanup_json json_t *changes = next_changes(&stage.a);
        size_t some = json_array_size(json_object_get(changes, "runners"));
        assert_in_range(some, 1, 1000);
        records += some;
    }
    assert_int_equal(records, RUNNERS);
    finish(&stage);
}

/* The longest records that can be still fit into their frame. */
static void longest_records_fit(void **state)
{
    struct stage stage;
    struct err err;
    enum { RUNNERS = 1700 };
    char owner[RUNNER_OWNER_MAX + 1], name[NAME_MAX_LEN + 1], template_name[NAME_MAX_LEN + 1];
    (void)state;
    stage = (struct stage){.a = {.fd = -1}};
    worker_rig_init(&stage.rig);
    stage.rig.oven_config.max_runners = stage.rig.oven_config.min_available = RUNNERS;
    stage.rig.oven_config.cook_parallel = 64;
    memset(template_name, 't', NAME_MAX_LEN);
    template_name[NAME_MAX_LEN] = '\0';
    stage.rig.oven_config.template.name = template_name;
    worker_rig_open(&stage.rig);
    worker_rig_warm(&stage.rig, RUNNERS);
    stage.rig.oven_frozen = true;
    memset(owner, '\x01', RUNNER_OWNER_MAX);
    owner[RUNNER_OWNER_MAX] = '\0';
    for (int i = 0; i < RUNNERS - 1; i++) {
        struct runner *runner = warm_runner(&stage);
        runner_take(runner);
        snprintf(name, sizeof(name), "a%040d", i);
        runner_give(runner, RIG_MANAGER);
        assert_ok(runner_keep(runner, name, owner, &err), err);
        runner->history_len = RUNNER_HISTORY;
        for (int k = 0; k < RUNNER_HISTORY; k++)
            runner->history[k].wall_ms = INT64_MAX;
        runner->memory_bytes = INT64_MAX;
        runner->last_status = "timeout";
        runner->operations = UINT32_MAX;
    }
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    size_t records = 0;
    while (records < RUNNERS) {
        cleanup_json json_t *changes = next_changes(&stage.a);
        records += json_array_size(json_object_get(changes, "runners"));
    }
    finish(&stage);
}

static void drain(struct peer *peer)
{
    struct frame frame;
    while (peer_has_frame(peer))
        assert_true(peer_next(peer, &frame));
}

static void one_who_does_not_read_is_dropped_and_the_others_are_not(void **state)
{
    struct stage stage;
    struct peer deaf;
    (void)state;
    begin(&stage);
    watch(&stage, &deaf);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    /* Far more than is kept for one who does not take it. */
    struct runner *runner = warm_runner(&stage);
    for (int i = 0; i < 40000; i++) {
        watch_touch(stage.rig.services.watch, runner);
        watch_flush(stage.rig.services.watch);
        if (i % 50 == 0) {
            worker_rig_turn(&stage.rig);
            drain(&stage.a);
        }
    }
    drain(&stage.a);
    static char bytes[65536];
    worker_rig_wait(&stage.rig, recv(deaf.fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 0);
    peer_close(&deaf);
    runner_take(runner);
    watch_flush(stage.rig.services.watch);
    bool in_use = false;
    while (!in_use) {
        cleanup_json json_t *changes = next_changes(&stage.a);
        in_use = strcmp(text_of(record_of(changes, runner->name), "state"), "inUse") == 0;
    }
    finish(&stage);
}

static void watchers_come_and_go(void **state)
{
    struct stage stage;
    struct peer peers[64];
    (void)state;
    begin(&stage);
    for (int i = 0; i < 64; i++)
        watch(&stage, &peers[i]);
    watch(&stage, &stage.a);
    cleanup_json json_t *error = peer_expect_json(&stage.a, FRAME_LINK_ERROR);
    assert_string_equal(text_of(error, "name"), err_name(ERR_NOT_AVAILABLE));
    assert_contains(text_of(error, "message"), "64 managers watch this worker already");
    peer_expect_end(&stage.a);
    peer_close(&stage.a);
    for (int i = 0; i < 64; i++)
        peer_close(&peers[i]);
    for (int i = 0; i < 100; i++)
        worker_rig_turn(&stage.rig);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    /* One that talks has no business here. */
    peer_send_text(&stage.a, FRAME_WATCH, "{}");
    struct frame frame;
    while (peer_next(&stage.a, &frame))
        ;
    finish(&stage);
}

#define OTHER "ffffffffffffffffffffffffffffffff"

/* As run.c does it: taken, given, kept under a name. */
static struct runner *keep_for(struct stage *stage, const char *manager, const char *name)
{
    struct err err;
    struct watch *watch = stage->rig.services.watch;
    struct runner *runner = warm_runner(stage);
    char earlier[NAME_MAX_LEN + 1];
    strcpy(earlier, runner->name);
    runner_take(runner);
    runner_give(runner, manager);
    watch_given(watch, runner);
    assert_ok(runner_keep(runner, name, "ann", &err), err);
    watch_renamed(watch, runner, earlier);
    watch_touch(watch, runner);
    return runner;
}

/* Nothing but its own and what is idle, whatever happens to the others'. */
static void managers_hear_of_their_own(void **state)
{
    struct stage stage;
    struct peer b;
    (void)state;
    begin(&stage);
    stage.rig.oven_frozen = false;
    worker_rig_warm(&stage.rig, 1);
    watch(&stage, &stage.a);
    watch_as(&stage, OTHER, &b);
    struct runner *theirs = keep_for(&stage, OTHER, "demo");
    watch_flush(stage.rig.services.watch);
    worker_rig_warm(&stage.rig, 1);
    struct runner *ours = keep_for(&stage, RIG_MANAGER, "demo");
    char our_container[NAME_MAX_LEN + 1], their_container[NAME_MAX_LEN + 1];
    strcpy(our_container, ours->spec.name);
    strcpy(their_container, theirs->spec.name);
    watch_flush(stage.rig.services.watch);
    theirs->last_status = "theirs";
    watch_touch(stage.rig.services.watch, theirs);
    runner_destroy(theirs);
    worker_rig_wait(&stage.rig, !roster_find(stage.rig.services.roster, OTHER, "demo"));
    watch_flush(stage.rig.services.watch);
    unsigned records = 0, gone = 0, idle = 0;
    struct frame frame;
    while (peer_has_frame(&stage.a)) {
        assert_true(peer_next(&stage.a, &frame));
        cleanup_json json_t *changes = json_loadb(frame.payload, frame.len, 0, NULL);
        const json_t *record = record_of(changes, "demo");
        if (frame.type != FRAME_CHANGES)
            continue;
        if (record)
            assert_string_not_equal(text_of(record, "lastStatus"), "theirs");
        records += record != NULL;
        idle += is_gone(changes, their_container); /* it saw it idle, and then no more */
        assert_false(is_gone(changes, "demo"));
    }
    assert_true(records > 0 && idle > 0);
    records = idle = 0;
    while (peer_has_frame(&b)) {
        assert_true(peer_next(&b, &frame));
        cleanup_json json_t *changes = json_loadb(frame.payload, frame.len, 0, NULL);
        if (frame.type != FRAME_CHANGES)
            continue;
        records += record_of(changes, "demo") != NULL;
        gone += is_gone(changes, "demo");
        idle += is_gone(changes, our_container);
    }
    assert_true(records > 0 && gone == 1 && idle > 0);
    assert_ptr_equal(roster_find(stage.rig.services.roster, RIG_MANAGER, "demo"), ours);
    /* Who comes later hears the same. */
    struct peer c;
    watch_as(&stage, OTHER, &c);
    json_decref(peer_expect_json(&c, FRAME_SNAPSHOT));
    while (peer_has_frame(&c)) {
        assert_true(peer_next(&c, &frame));
        cleanup_json json_t *changes = json_loadb(frame.payload, frame.len, 0, NULL);
        assert_null(record_of(changes, "demo"));
    }
    peer_close(&b);
    peer_close(&c);
    finish(&stage);
}

static void nobody_watches(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    struct runner *runner = warm_runner(&stage);
    watch_touch(stage.rig.services.watch, runner);
    watch_renamed(stage.rig.services.watch, runner, "earlier");
    watch_flush(stage.rig.services.watch);
    runner_take(runner);
    watch(&stage, &stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_SNAPSHOT));
    cleanup_json json_t *changes = next_changes(&stage.a);
    assert_false(is_gone(changes, "earlier")); /* it never knew of it */
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_runner_follows_the_first_snapshot),
        cmocka_unit_test(changes_come_and_say_only_the_last_of_many),
        cmocka_unit_test(flush_sends_at_once),
        cmocka_unit_test(memory_of_runners_in_use_is_sampled),
        cmocka_unit_test(managers_hear_of_their_own),
        cmocka_unit_test(many_runners_come_in_several_frames),
        cmocka_unit_test(longest_records_fit),
        cmocka_unit_test(one_who_does_not_read_is_dropped_and_the_others_are_not),
        cmocka_unit_test(watchers_come_and_go),
        cmocka_unit_test(nobody_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
