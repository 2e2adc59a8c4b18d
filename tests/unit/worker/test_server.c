#include "../../../src/worker/server.h"

#include "../../../src/common/json.h"
#include "../../../src/common/mem.h"
#include "../../../src/worker/footprint.h"
#include "../../../src/worker/journal.h"
#include "../../support/scratch.h"
#include "worker_rig.h"

#include <grp.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct fake_script quick = {.ending = FAKE_EXITS};
static const struct fake_script silent = {.ending = FAKE_SILENT};

struct stage {
    struct worker_rig rig;
    struct server *server;
    struct peer a, b;
};

static const char *group(void)
{
    static char name[64];
    const struct group *entry = getgrgid(getegid());
    assert_non_null(entry);
    snprintf(name, sizeof(name), "%s", entry->gr_name);
    return name;
}

static void serve(struct stage *stage)
{
    struct err err;
    stage->server = server_create(&stage->rig.services, stage->rig.folder, group(), &err);
    if (!stage->server)
        fail_msg("%s", err.msg);
}

static void open_stage(struct stage *stage, const struct fake_script *script)
{
    worker_rig_open(&stage->rig);
    worker_rig_script(&stage->rig, script);
    worker_rig_warm(&stage->rig, 1);
    serve(stage);
}

static void begin(struct stage *stage, const struct fake_script *script)
{
    *stage = (struct stage){.a = {.fd = -1}, .b = {.fd = -1}};
    worker_rig_init(&stage->rig);
    open_stage(stage, script);
}

static void finish(struct stage *stage)
{
    server_destroy(stage->server);
    worker_rig_finish(&stage->rig);
    peer_close(&stage->a);
    peer_close(&stage->b);
}

/* Connects without a word. */
static void call(struct stage *stage, struct peer *peer)
{
    peer_connect(peer, scratch_path(stage->rig.folder, SERVER_SOCKET_NAME), worker_rig_turn,
                 &stage->rig);
}

static const char *text_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_string(value) ? json_string_value(value) : "(none)";
}

#define HELLO_OF(manager) "{\"protocol\":3,\"program\":\"test\",\"manager\":\"" manager "\"}"

static void expect_hello(struct peer *peer)
{
    cleanup_json json_t *hello = peer_expect_json(peer, FRAME_LINK_HELLO);
    assert_int_equal(json_integer_value(json_object_get(hello, "protocol")), PROTOCOL_VERSION);
    assert_contains(text_of(hello, "program"), "codeland-worker ");
}

static void send_hello(struct peer *peer)
{
    peer_send_text(peer, FRAME_LINK_HELLO, HELLO_OF(RIG_MANAGER));
}

/* Connects and begins an operation. */
static void ask(struct stage *stage, struct peer *peer, enum frame_type type, const char *message)
{
    call(stage, peer);
    send_hello(peer);
    peer_send_text(peer, type, worker_rig_json(message));
    expect_hello(peer);
}

#define OTHER "ffffffffffffffffffffffffffffffff"

/* The same as another manager. */
static void ask_as_other(struct stage *stage, struct peer *peer, enum frame_type type,
                         const char *message)
{
    call(stage, peer);
    peer_send_text(peer, FRAME_LINK_HELLO, HELLO_OF(OTHER));
    peer_send_text(peer, type, worker_rig_json(message));
    expect_hello(peer);
}

static void expect_failure(struct peer *peer, enum err_code code, const char *words)
{
    cleanup_json json_t *error = peer_expect_json(peer, FRAME_LINK_ERROR);
    assert_contains(text_of(error, "message"), words);
    assert_string_equal(text_of(error, "name"), err_name(code));
    peer_expect_end(peer);
}

#define RUN "{'id':'r','argv':['sh'],'timeMs':60000,'outputBytes':10,'queueMs':60000"
#define KEEP "{'id':'k','keep':{'name':'demo','owner':'ann'},'queueMs':60000}"

static void keep_demo(struct stage *stage)
{
    struct peer peer;
    ask(stage, &peer, FRAME_RUN, KEEP);
    json_decref(peer_expect_json(&peer, FRAME_RESULT));
    peer_expect_end(&peer);
    peer_close(&peer);
}

static struct runner *find(struct stage *stage, const char *name)
{
    return roster_find(stage->rig.services.roster, RIG_MANAGER, name);
}

/* ---- connections ---- */

static void socket_is_the_groups(void **state)
{
    struct stage stage;
    struct stat st;
    (void)state;
    begin(&stage, &quick);
    assert_int_equal(stat(scratch_path(stage.rig.folder, SERVER_SOCKET_NAME), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(st.st_gid, getegid());
    finish(&stage);
    assert_false(scratch_exists(scratch_path(stage.rig.folder, SERVER_SOCKET_NAME)));
}

static void group_that_is_not_there_is_named(void **state)
{
    struct stage stage;
    struct err err;
    char path[200];
    (void)state;
    begin(&stage, &quick);
    assert_null(server_create(&stage.rig.services, stage.rig.folder, "no-such-group-here", &err));
    assert_contains(err.msg, "there is no group \"no-such-group-here\" (http.group)");
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_null(server_create(&stage.rig.services, path, group(), &err));
    assert_contains(err.msg, "longer than a socket's path");
    finish(&stage);
}

static void it_tells_its_footprint(void **state)
{
    struct stage stage;
    const struct footprint_ground ground = {
        .ids_first = 4100000000, .ids_end = 4100000001, .run_dir = "/nowhere"};
    (void)state;
    begin(&stage, &quick);
    stage.rig.services.ground = &ground;
    ask(&stage, &stage.a, FRAME_FOOTPRINT, "{}");
    cleanup_json json_t *result = peer_expect_json(&stage.a, FRAME_RESULT);
    assert_int_equal(json_integer_value(json_object_get(result, "runners")),
                     roster_total(stage.rig.services.roster));
    assert_true(json_is_array(json_object_get(result, "mounts")));
    peer_expect_end(&stage.a);
    /* One whose caller does not wait for it. */
    ask(&stage, &stage.b, FRAME_FOOTPRINT, "{}");
    while (!server_busy(stage.server))
        worker_rig_turn(&stage.rig);
    peer_close(&stage.b);
    while (server_busy(stage.server))
        worker_rig_turn(&stage.rig);
    ask(&stage, &stage.b, FRAME_FOOTPRINT, "{'all':1}");
    cleanup_json json_t *error = peer_expect_json(&stage.b, FRAME_LINK_ERROR);
    assert_string_equal(text_of(error, "name"), "badRequest");
    finish(&stage);
}

static void run_over_a_connection(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    ask(&stage, &stage.a, FRAME_RUN, RUN "}");
    peer_send(&stage.a, FRAME_STDIN_EOF, NULL, 0);
    json_decref(peer_expect_json(&stage.a, FRAME_STARTED));
    cleanup_json json_t *result = peer_expect_json(&stage.a, FRAME_RESULT);
    assert_string_equal(text_of(result, "status"), "ok");
    peer_expect_end(&stage.a);
    finish(&stage);
}

/* Managers keep connections ready: the operation may come much later. */
static void hello_and_then_a_pause(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    call(&stage, &stage.a);
    expect_hello(&stage.a);
    send_hello(&stage.a);
    for (int i = 0; i < 50; i++)
        worker_rig_turn(&stage.rig);
    assert_false(peer_has_frame(&stage.a));
    peer_send_text(&stage.a, FRAME_ZOMBIES, "{}");
    json_decref(peer_expect_json(&stage.a, FRAME_RESULT));
    peer_expect_end(&stage.a);
    finish(&stage);
}

static void connection_in_small_pieces(void **state)
{
    struct stage stage;
    static const char hello[] = HELLO_OF(RIG_MANAGER);
    unsigned char bytes[FRAME_HEADER_LEN + sizeof(hello)];
    (void)state;
    begin(&stage, &quick);
    call(&stage, &stage.a);
    frame_put_header(bytes, FRAME_LINK_HELLO, 0, sizeof(hello) - 1);
    memcpy(bytes + FRAME_HEADER_LEN, hello, sizeof(hello));
    for (size_t i = 0; i < FRAME_HEADER_LEN + sizeof(hello) - 1; i++) {
        peer_send_bytes(&stage.a, bytes + i, 1);
        worker_rig_turn(&stage.rig);
    }
    peer_send_text(&stage.a, FRAME_ZOMBIES, "{}");
    expect_hello(&stage.a);
    json_decref(peer_expect_json(&stage.a, FRAME_RESULT));
    finish(&stage);
}

static void what_does_not_begin_with_hello_is_refused(void **state)
{
    static const struct {
        enum frame_type type;
        const char *text, *words;
        enum err_code code;
    } cases[] = {
        {FRAME_RUN, RUN "}", "RUN came before LINK_HELLO", ERR_BAD_REQUEST},
        {FRAME_LINK_HELLO, "{'protocol':4,'program':'new'}", "new speaks protocol 4",
         ERR_BAD_GATEWAY},
        {FRAME_LINK_HELLO, "hello", "not JSON", ERR_BAD_REQUEST},
        {FRAME_LINK_HELLO, "{}", "protocol: is missing", ERR_BAD_REQUEST},
        {FRAME_LINK_HELLO, "{'protocol':3,'program':'x'}", "manager: is missing", ERR_BAD_REQUEST},
        {FRAME_LINK_HELLO, "{'protocol':3,'program':'x','manager':'../x'}",
         "manager: must be 32 hex digits", ERR_BAD_REQUEST},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin(&stage, &quick);
        call(&stage, &stage.a);
        peer_send_text(&stage.a, cases[i].type, worker_rig_json(cases[i].text));
        expect_hello(&stage.a);
        expect_failure(&stage.a, cases[i].code, cases[i].words);
        finish(&stage);
    }
}

static void what_is_no_operation_is_refused(void **state)
{
    static const struct {
        enum frame_type type;
        const char *text, *words;
        enum err_code code;
    } cases[] = {
        {FRAME_STDIN, "x", "STDIN is not an operation", ERR_BAD_REQUEST},
        {FRAME_AGENT_HELLO, "x", "AGENT_HELLO is not an operation", ERR_BAD_REQUEST},
        {FRAME_LINK_HELLO, "{}", "LINK_HELLO is not an operation", ERR_BAD_REQUEST},
        {FRAME_RUN, "{'id':1}", "id: must be a string", ERR_BAD_REQUEST},
        {FRAME_EXEC, "{}", "id: is missing", ERR_BAD_REQUEST},
        {FRAME_DESTROY, "{}", "runner: is missing", ERR_BAD_REQUEST},
        {FRAME_DESTROY, "{'runner':'nobody'}", "there is no runner nobody", ERR_RUNNER_NOT_FOUND},
        {FRAME_ZOMBIES, "{'remove':'yes'}", "remove: must be true or false", ERR_BAD_REQUEST},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage stage;
        begin(&stage, &quick);
        ask(&stage, &stage.a, cases[i].type, cases[i].text);
        expect_failure(&stage.a, cases[i].code, cases[i].words);
        finish(&stage);
    }
}

static void garbage_closes_the_connection_and_nothing_else(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x10\x01\x00\x00\x02\x00\x00\x00{}", /* a flag */
        "\x10\x00\x00\x00\xff\xff\xff\xff", /* longer than anything may be */
    };
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        call(&stage, &stage.a);
        peer_send_bytes(&stage.a, garbage[i], i == 0 ? strlen(garbage[i]) : 8);
        expect_hello(&stage.a);
        peer_expect_end(&stage.a);
        peer_close(&stage.a);
    }
    /* Or it leaves without a word. */
    call(&stage, &stage.a);
    peer_close(&stage.a);
    ask(&stage, &stage.b, FRAME_ZOMBIES, "{}");
    json_decref(peer_expect_json(&stage.b, FRAME_RESULT));
    finish(&stage);
}

/* ---- DESTROY ---- */

#define HOUR_US (3600 * (mono_us)US_PER_SEC)

static void all_stay(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                     void *data)
{
    (void)nth, (void)spec, (void)data;
    fate->gone_us = HOUR_US;
}

static void destroy_is_answered_when_the_runner_is_gone(void **state)
{
    struct stage stage = {.a = {.fd = -1}, .b = {.fd = -1}};
    (void)state;
    worker_rig_init(&stage.rig);
    engine_fake_on_create(stage.rig.fake, all_stay, NULL);
    open_stage(&stage, &silent);
    keep_demo(&stage);
    /* Twice at once, with a program going on. */
    struct peer exec;
    ask(&stage, &exec, FRAME_EXEC,
        "{'id':'e','runner':'demo','argv':['sh'],'timeMs':60000,'outputBytes':10}");
    json_decref(peer_expect_json(&exec, FRAME_STARTED));
    ask(&stage, &stage.a, FRAME_DESTROY, "{'runner':'demo'}");
    ask(&stage, &stage.b, FRAME_DESTROY, "{'runner':'demo'}");
    struct peer later; /* what was sent before it has been read by the time it is answered */
    ask(&stage, &later, FRAME_ZOMBIES, "{}");
    json_decref(peer_expect_json(&later, FRAME_RESULT));
    peer_close(&later);
    engine_fake_advance(stage.rig.fake, HOUR_US);
    cleanup_json json_t *first = peer_expect_json(&stage.a, FRAME_RESULT);
    assert_string_equal(text_of(first, "runner"), "demo");
    assert_null(find(&stage, "demo"));
    peer_expect_end(&stage.a);
    cleanup_json json_t *second = peer_expect_json(&stage.b, FRAME_RESULT);
    assert_string_equal(text_of(second, "runner"), "demo");
    peer_expect_end(&stage.b);
    cleanup_json json_t *killed = peer_expect_json(&exec, FRAME_RESULT);
    assert_string_equal(text_of(killed, "status"), "killed");
    peer_close(&exec);
    peer_close(&stage.a);
    ask(&stage, &stage.a, FRAME_DESTROY, "{'runner':'demo'}");
    expect_failure(&stage.a, ERR_RUNNER_NOT_FOUND, "demo");
    finish(&stage);
}

/* ---- two managers ---- */

static void remember_warm(struct runner *runner, void *data)
{
    struct runner **found = data;
    if (runner->state == RUNNER_AVAILABLE)
        *found = runner;
}

static void each_manager_has_its_own_runners(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    keep_demo(&stage);
    struct runner *ours = find(&stage, "demo");
    ask_as_other(&stage, &stage.b, FRAME_EXEC,
                 "{'id':'e','runner':'demo','argv':['sh'],'timeMs':60000,'outputBytes':10}");
    expect_failure(&stage.b, ERR_RUNNER_NOT_FOUND, "demo");
    peer_close(&stage.b);
    ask_as_other(&stage, &stage.b, FRAME_DESTROY, "{'runner':'demo'}");
    expect_failure(&stage.b, ERR_RUNNER_NOT_FOUND, "demo");
    peer_close(&stage.b);
    /* One of the same name, which does not matter to the first. */
    ask_as_other(&stage, &stage.b, FRAME_RUN, KEEP);
    json_decref(peer_expect_json(&stage.b, FRAME_RESULT));
    peer_close(&stage.b);
    const struct runner *theirs = roster_find(stage.rig.services.roster, OTHER, "demo");
    assert_true(theirs && theirs != ours);
    ask_as_other(&stage, &stage.b, FRAME_RUN, KEEP);
    expect_failure(&stage.b, ERR_NAME_TAKEN, "demo");
    peer_close(&stage.b);
    ask_as_other(&stage, &stage.b, FRAME_DESTROY, "{'runner':'demo'}");
    json_decref(peer_expect_json(&stage.b, FRAME_RESULT));
    assert_null(roster_find(stage.rig.services.roster, OTHER, "demo"));
    assert_ptr_equal(find(&stage, "demo"), ours);
    assert_int_equal(ours->state, RUNNER_IN_USE);
    finish(&stage);
}

/* Whose connections end changes nothing for the other's program. */
static void the_end_of_one_manager_is_not_the_others(void **state)
{
    struct stage stage;
    struct peer watcher;
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    struct runner *ours = find(&stage, "demo");
    ask_as_other(&stage, &watcher, FRAME_WATCH, "{}");
    json_decref(peer_expect_json(&watcher, FRAME_SNAPSHOT));
    ask_as_other(&stage, &stage.b, FRAME_RUN, RUN "}");
    json_decref(peer_expect_json(&stage.b, FRAME_STARTED));
    ask(&stage, &stage.a, FRAME_EXEC,
        "{'id':'e','runner':'demo','argv':['sh'],'timeMs':60000,'outputBytes':10}");
    json_decref(peer_expect_json(&stage.a, FRAME_STARTED));
    assert_int_equal(worker_rig_count(&stage.rig, RUNNER_IN_USE), 2);
    peer_close(&stage.b);
    peer_close(&watcher);
    worker_rig_wait(&stage.rig, worker_rig_count(&stage.rig, RUNNER_IN_USE) == 1);
    assert_ptr_equal(find(&stage, "demo"), ours);
    assert_int_equal(ours->active, 1);
    assert_false(peer_has_frame(&stage.a));
    finish(&stage);
}

/* The entry of a worker that wrote no manager down: the first that greets has it, for good. */
static void named_runners_of_an_earlier_version_are_the_first_managers(void **state)
{
    struct stage stage;
    struct err err;
    (void)state;
    begin(&stage, &quick);
    worker_rig_warm(&stage.rig, 1);
    struct runner *runner = NULL;
    roster_each(stage.rig.services.roster, remember_warm, &runner);
    runner_take(runner);
    assert_ok(runner_keep(runner, "demo", "ann", &err), err);
    assert_ok(journal_update(stage.rig.services.journal, runner, &err), err);
    for (int life = 0; life < 2; life++) {
        server_destroy(stage.server);
        worker_rig_close(&stage.rig);
        worker_rig_open(&stage.rig);
        serve(&stage);
        if (life == 0) {
            assert_non_null(roster_find(stage.rig.services.roster, "", "demo"));
            ask(&stage, &stage.a, FRAME_ZOMBIES, "{}");
            json_decref(peer_expect_json(&stage.a, FRAME_RESULT));
            peer_close(&stage.a);
        }
        ask_as_other(&stage, &stage.b, FRAME_DESTROY, "{'runner':'demo'}");
        expect_failure(&stage.b, ERR_RUNNER_NOT_FOUND, "demo");
        peer_close(&stage.b);
        runner = find(&stage, "demo");
        assert_non_null(runner);
        worker_rig_wait(&stage.rig, runner->state == RUNNER_IN_USE);
    }
    finish(&stage);
}

/* ---- steering ---- */

static void signal_by(struct peer *peer, const char *name)
{
    char text[64];
    snprintf(text, sizeof(text), "{\"signal\":\"%s\"}", name);
    peer_send_text(peer, FRAME_SIGNAL, text);
}

static void run_is_steered_by_its_manager_alone(void **state)
{
    struct stage stage;
    struct peer other;
    (void)state;
    begin(&stage, &silent);
    ask(&stage, &stage.a, FRAME_RUN, RUN ",'key':'00000000000000ab'}");
    json_decref(peer_expect_json(&stage.a, FRAME_STARTED));
    ask_as_other(&stage, &other, FRAME_STEER, "{'key':'00000000000000ab'}");
    signal_by(&other, "SIGKILL");
    signal_by(&other, "nonsense"); /* what came before has been looked at when this is answered */
    expect_failure(&other, ERR_BAD_REQUEST, "signal: \"nonsense\" is no signal's name");
    assert_false(peer_has_frame(&stage.a));
    ask(&stage, &stage.b, FRAME_STEER, "{'key':'00000000000000ab'}");
    signal_by(&stage.b, "SIGTERM");
    cleanup_json json_t *result = peer_expect_json(&stage.a, FRAME_RESULT);
    assert_string_equal(text_of(result, "status"), "signal");
    assert_string_equal(text_of(result, "signal"), "SIGTERM");
    peer_expect_end(&stage.a);
    signal_by(&stage.b, "SIGTERM"); /* there is none any more, which is no error */
    for (int i = 0; i < 20; i++)
        worker_rig_turn(&stage.rig);
    assert_false(peer_has_frame(&stage.b));
    assert_false(stage.b.over);
    peer_close(&other);
    finish(&stage);
}

static void what_steers_nothing_is_refused(void **state)
{
    struct stage stage;
    struct peer peer;
    (void)state;
    begin(&stage, &silent);
    ask(&stage, &peer, FRAME_STEER, "{'key':'ab'}");
    expect_failure(&peer, ERR_BAD_REQUEST, "key: must be 16 hex digits");
    peer_close(&peer);
    ask(&stage, &peer, FRAME_SIGNAL, "{'signal':'SIGTERM'}");
    expect_failure(&peer, ERR_BAD_REQUEST, "SIGNAL is not an operation");
    peer_close(&peer);
    ask(&stage, &peer, FRAME_STEER, "{'key':'00000000000000ab'}");
    peer_send_text(&peer, FRAME_STDIN, "x");
    expect_failure(&peer, ERR_BAD_REQUEST, "STDIN steers no run");
    peer_close(&peer);
    finish(&stage);
}

static void destroy_goes_on_without_who_asked(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    keep_demo(&stage);
    ask(&stage, &stage.a, FRAME_DESTROY, "{'runner':'demo'}");
    peer_send_text(&stage.a, FRAME_DESTROY, "{}"); /* which nobody listens to any more */
    peer_close(&stage.a);
    worker_rig_wait(&stage.rig, !find(&stage, "demo"));
    finish(&stage);
}

static void watchers_hear_of_the_end_before_the_answer(void **state)
{
    struct stage stage;
    struct peer watcher;
    struct frame frame;
    (void)state;
    begin(&stage, &quick);
    keep_demo(&stage);
    ask(&stage, &watcher, FRAME_WATCH, "{}");
    ask(&stage, &stage.a, FRAME_DESTROY, "{'runner':'demo'}");
    json_decref(peer_expect_json(&stage.a, FRAME_RESULT));
    bool gone = false;
    while (peer_has_frame(&watcher)) {
        assert_true(peer_next(&watcher, &frame));
        cleanup_json json_t *json = json_loadb(frame.payload, frame.len, 0, NULL);
        size_t i;
        json_t *name;
        json_array_foreach(json_object_get(json, "gone"), i, name)
        {
            gone = gone || strcmp(json_string_value(name), "demo") == 0;
        }
    }
    assert_true(gone);
    peer_close(&watcher);
    finish(&stage);
}

/* ---- ZOMBIES ---- */

/* Containers that an earlier worker left and this one did not adopt. */
static void make_zombies(struct stage *stage, unsigned count)
{
    struct err err;
    struct roster *roster =
        roster_create(engine_fake_attach(stage->rig.fake), engine_fake_clock(stage->rig.fake), 8);
    for (unsigned i = 0; i < count; i++)
        assert_non_null(roster_cook(roster, "base", &stage->rig.oven_config.spec, &err));
    roster_destroy(roster);
}

static void begin_with_zombies(struct stage *stage, unsigned count)
{
    *stage = (struct stage){.a = {.fd = -1}, .b = {.fd = -1}};
    worker_rig_init(&stage->rig);
    make_zombies(stage, count);
    stage->rig.keep_zombies = true;
    stage->rig.oven_config.min_available = 0; /* none may get a zombie's slot */
    worker_rig_open(&stage->rig);
    serve(stage);
}

static void zombies_are_listed_and_removed(void **state)
{
    struct stage stage;
    (void)state;
    begin_with_zombies(&stage, 3);
    ask(&stage, &stage.a, FRAME_ZOMBIES, "{}");
    cleanup_json json_t *list = peer_expect_json(&stage.a, FRAME_RESULT);
    assert_int_equal(json_array_size(json_object_get(list, "zombies")), 3);
    assert_int_equal(engine_fake_count(stage.rig.fake).live, 3);
    peer_expect_end(&stage.a);
    ask(&stage, &stage.b, FRAME_ZOMBIES, "{'remove':true}");
    cleanup_json json_t *removed = peer_expect_json(&stage.b, FRAME_RESULT);
    assert_true(json_equal(removed, list));
    assert_int_equal(engine_fake_count(stage.rig.fake).live, 0);
    assert_false(server_busy(stage.server));
    finish(&stage);
}

/* A removal that takes its time. */
static atomic_bool may_go_on;
static atomic_int removals;
static struct engine_ops slow_ops;

static int slow_removal(struct engine *engine, const char *name, struct err *err)
{
    (void)engine, (void)name, (void)err;
    while (!atomic_load(&may_go_on))
        usleep(1000);
    atomic_fetch_add(&removals, 1);
    return 0;
}

static void begin_slow(struct stage *stage)
{
    begin_with_zombies(stage, 3);
    struct engine *engine = roster_engine(stage->rig.services.roster);
    slow_ops = *engine->ops;
    slow_ops.remove_zombie = slow_removal;
    engine->ops = &slow_ops;
    atomic_store(&may_go_on, false);
    atomic_store(&removals, 0);
}

static void removal_goes_on_without_who_asked(void **state)
{
    struct stage stage;
    (void)state;
    begin_slow(&stage);
    ask(&stage, &stage.a, FRAME_ZOMBIES, "{'remove':true}");
    worker_rig_wait(&stage.rig, server_busy(stage.server));
    peer_close(&stage.a);
    for (int i = 0; i < 20; i++)
        worker_rig_turn(&stage.rig);
    assert_true(server_busy(stage.server));
    atomic_store(&may_go_on, true);
    worker_rig_wait(&stage.rig, !server_busy(stage.server));
    assert_int_equal(atomic_load(&removals), 3);
    finish(&stage);
}

static void removal_is_cut_short_by_the_servers_end(void **state)
{
    struct stage stage;
    (void)state;
    begin_slow(&stage);
    ask(&stage, &stage.a, FRAME_ZOMBIES, "{'remove':true}");
    worker_rig_wait(&stage.rig, server_busy(stage.server));
    server_stop(stage.server);
    atomic_store(&may_go_on, true);
    expect_failure(&stage.a, ERR_NOT_AVAILABLE, "the worker is ending");
    assert_false(server_busy(stage.server));
    assert_in_range(atomic_load(&removals), 0, 1);
    finish(&stage);
}

/* ---- the end ---- */

static void stop_leaves_operations_alone_and_drops_the_idle(void **state)
{
    struct stage stage;
    struct peer idle, mute;
    (void)state;
    begin(&stage, &silent);
    keep_demo(&stage);
    call(&stage, &mute);
    expect_hello(&mute);
    call(&stage, &idle);
    send_hello(&idle);
    expect_hello(&idle);
    ask(&stage, &stage.a, FRAME_RUN, RUN "}");
    json_decref(peer_expect_json(&stage.a, FRAME_STARTED));
    server_stop(stage.server);
    assert_false(scratch_exists(scratch_path(stage.rig.folder, SERVER_SOCKET_NAME)));
    peer_expect_end(&idle);
    peer_expect_end(&mute);
    assert_false(peer_has_frame(&stage.a));
    assert_false(stage.a.over);
    peer_close(&idle);
    peer_close(&mute);
    finish(&stage);
}

static void end_closes_what_still_waits(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, &quick);
    keep_demo(&stage);
    ask(&stage, &stage.a, FRAME_DESTROY, "{'runner':'demo'}");
    server_destroy(stage.server);
    stage.server = NULL;
    peer_expect_end(&stage.a);
    server_destroy(NULL);
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socket_is_the_groups),
        cmocka_unit_test(group_that_is_not_there_is_named),
        cmocka_unit_test(it_tells_its_footprint),
        cmocka_unit_test(run_over_a_connection),
        cmocka_unit_test(hello_and_then_a_pause),
        cmocka_unit_test(connection_in_small_pieces),
        cmocka_unit_test(what_does_not_begin_with_hello_is_refused),
        cmocka_unit_test(what_is_no_operation_is_refused),
        cmocka_unit_test(garbage_closes_the_connection_and_nothing_else),
        cmocka_unit_test(destroy_is_answered_when_the_runner_is_gone),
        cmocka_unit_test(each_manager_has_its_own_runners),
        cmocka_unit_test(the_end_of_one_manager_is_not_the_others),
        cmocka_unit_test(named_runners_of_an_earlier_version_are_the_first_managers),
        cmocka_unit_test(run_is_steered_by_its_manager_alone),
        cmocka_unit_test(what_steers_nothing_is_refused),
        cmocka_unit_test(destroy_goes_on_without_who_asked),
        cmocka_unit_test(watchers_hear_of_the_end_before_the_answer),
        cmocka_unit_test(zombies_are_listed_and_removed),
        cmocka_unit_test(removal_goes_on_without_who_asked),
        cmocka_unit_test(removal_is_cut_short_by_the_servers_end),
        cmocka_unit_test(stop_leaves_operations_alone_and_drops_the_idle),
        cmocka_unit_test(end_closes_what_still_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
