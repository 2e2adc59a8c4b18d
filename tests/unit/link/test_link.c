#include "../../../src/common/log.h"
#include "../../../src/link/link.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <jansson.h>
#include <stdlib.h>

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX], path[PATH_MAX];
    struct fake_worker *fake;
    struct link *link;
};

/* What a connection's owner has seen. */
struct owner {
    unsigned frames, closed;
    uint8_t last_type;
    char last[200];
    struct err why;
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    snprintf(rig->path, sizeof(rig->path), "%s", scratch_path(rig->folder, "worker.sock"));
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    rig->link = link_local_create(&rig->loop, rig->path);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    link_destroy(rig->link);
    fake_worker_destroy(rig->fake);
    scratch_remove(rig->folder);
    loop_finish(&rig->loop);
    free(rig);
    return 0;
}

static void on_frame(struct link_conn *conn, const struct frame *frame, void *data)
{
    struct owner *owner = data;
    (void)conn;
    owner->frames++;
    owner->last_type = frame->type;
    snprintf(owner->last, sizeof(owner->last), "%.*s", (int)frame->len, frame->payload);
}

static void on_closed(struct link_conn *conn, const struct err *why, void *data)
{
    struct owner *owner = data;
    (void)conn;
    owner->closed++;
    owner->why = *why;
}

static const struct link_conn_ops ops = {.on_frame = on_frame, .on_closed = on_closed};

static struct link_conn *open_and_ask(struct rig *rig, struct owner *owner)
{
    struct err err;
    *owner = (struct owner){0};
    struct link_conn *conn = link_open(rig->link, &ops, owner, &err);
    if (!conn)
        fail_msg("%s", err.msg);
    link_conn_send(conn, FRAME_ZOMBIES, "{}", 2);
    return conn;
}

static void test_an_operation(void **state)
{
    struct rig *rig = *state;
    struct owner owner;
    assert_false(link_get_status(rig->link)->up);
    struct link_conn *conn = open_and_ask(rig, &owner);
    loop_wait(&rig->loop, owner.closed);
    assert_int_equal(owner.frames, 1); /* its hello is the link's business */
    assert_int_equal(owner.last_type, FRAME_RESULT);
    assert_string_equal(owner.last, "{\"zombies\":[\"cr-zombie\"]}");
    assert_int_equal(owner.why.code, ERR_NONE);
    assert_true(link_get_status(rig->link)->up);
    assert_string_equal(link_location(rig->link), "local");
    link_conn_destroy(conn);
}

static void test_spares(void **state)
{
    struct rig *rig = *state;
    struct owner owner;
    const struct fake_seen *seen = fake_worker_seen(rig->fake);
    struct link_conn *conn = open_and_ask(rig, &owner);
    loop_wait(&rig->loop, owner.closed);
    link_conn_destroy(conn);
    conn = open_and_ask(rig, &owner); /* from here the link knows that it is up */
    loop_wait(&rig->loop, owner.closed);
    link_conn_destroy(conn);
    loop_wait(&rig->loop, seen->connections == 2 + LINK_SPARES);
    /* The next one is there already, and is replaced. */
    conn = open_and_ask(rig, &owner);
    loop_wait(&rig->loop, owner.closed && seen->connections == 3 + LINK_SPARES);
    assert_int_equal(owner.frames, 1);
    link_conn_destroy(conn);
}

/* Spares that died with their worker are not handed out once that is known, nor made anew while
 * nobody asks.
 */
static void test_spares_of_a_worker_that_died(void **state)
{
    struct rig *rig = *state;
    struct owner owner;
    for (int i = 0; i < 2; i++) {
        struct link_conn *conn = open_and_ask(rig, &owner);
        loop_wait(&rig->loop, owner.closed);
        link_conn_destroy(conn);
    }
    loop_wait(&rig->loop, fake_worker_seen(rig->fake)->connections == 2 + LINK_SPARES);
    fake_worker_destroy(rig->fake);
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_int_equal(fake_worker_seen(rig->fake)->connections, 0);
    struct link_conn *conn = open_and_ask(rig, &owner);
    loop_wait(&rig->loop, owner.closed);
    assert_int_equal(owner.frames, 1);
    link_conn_destroy(conn);
}

static void test_nobody_listens(void **state)
{
    struct rig *rig = *state;
    struct owner owner;
    fake_worker_destroy(rig->fake);
    rig->fake = NULL;
    struct link_conn *conn = open_and_ask(rig, &owner);
    loop_wait(&rig->loop, owner.closed);
    assert_int_equal(owner.frames, 0);
    assert_contains(owner.why.msg, "connect");
    const struct link_status *status = link_get_status(rig->link);
    assert_false(status->up);
    assert_true(status->since_ms > 0);
    assert_contains(status->last_error, "connect");
    link_conn_destroy(conn);
}

static void test_hellos_that_are_wrong(void **state)
{
    struct rig *rig = *state;
    static const struct {
        enum frame_type type;
        const char *text, *words;
    } cases[] = {
        {FRAME_LINK_HELLO, "{\"protocol\":99,\"program\":\"x\"}",
         "the worker (x, protocol 99) is newer than this manager"},
        {FRAME_LINK_HELLO, "{\"protocol\":0,\"program\":\"codeland-worker 9.0.0\"}",
         "the worker (codeland-worker 9.0.0, protocol 0) is older than this manager"},
        {FRAME_LINK_HELLO, "{\"program\":\"x\"}", "protocol: is missing"},
        {FRAME_LINK_HELLO, "nonsense", "not JSON"},
        {FRAME_RESULT, "{}", "RESULT before its hello"},
        {FRAME_LINK_ERROR, "{\"name\":\"badRequest\",\"message\":\"too old\"}", "refused: too old"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct owner owner;
        fake_worker_hello(rig->fake, cases[i].type, cases[i].text);
        struct link_conn *conn = open_and_ask(rig, &owner);
        loop_wait(&rig->loop, owner.closed);
        assert_int_equal(owner.frames, 0);
        assert_contains(owner.why.msg, cases[i].words);
        assert_int_equal(owner.why.code, ERR_BAD_GATEWAY);
        assert_false(link_get_status(rig->link)->up);
        link_conn_destroy(conn);
    }
}

/* Only what this very version says fits; who tells no version fits by the protocol. */
static void test_versions(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *program;
        enum link_fit fit;
    } cases[] = {
        {"codeland-worker 0.0.1", LINK_OLDER},
        {"codeland-worker 999.0.0", LINK_NEWER},
        {"codeland-worker " CODELAND_VERSION, LINK_FITS},
        {"something else", LINK_FITS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char hello[200];
        struct owner owner;
        snprintf(hello, sizeof(hello), "{\"protocol\":%d,\"program\":\"%s\"}", PROTOCOL_VERSION,
                 cases[i].program);
        fake_worker_hello(rig->fake, FRAME_LINK_HELLO, hello);
        struct link_conn *conn = open_and_ask(rig, &owner);
        loop_wait(&rig->loop, owner.closed);
        const struct link_status *status = link_get_status(rig->link);
        assert_int_equal(status->fit, cases[i].fit);
        assert_int_equal(status->up, cases[i].fit == LINK_FITS);
        assert_string_equal(status->program, cases[i].program);
        assert_int_equal(owner.frames, cases[i].fit == LINK_FITS);
        link_conn_destroy(conn);
    }
}

static void test_abandoned(void **state)
{
    struct rig *rig = *state;
    struct owner owner;
    struct link_conn *conn = open_and_ask(rig, &owner);
    link_conn_destroy(conn); /* before it is even connected */
    link_conn_destroy(NULL);
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_int_equal(owner.frames + owner.closed, 0);
}

static void test_path_too_long(void **state)
{
    struct rig *rig = *state;
    char path[200];
    struct owner owner;
    struct err err;
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    struct link *link = link_local_create(&rig->loop, path);
    assert_null(link_open(link, &ops, &owner, &err));
    assert_contains(err.msg, "longer than");
    assert_false(link_get_status(link)->up);
    link_destroy(link);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_operation),   TEST(test_spares),
        TEST(test_nobody_listens), TEST(test_spares_of_a_worker_that_died),
        TEST(test_abandoned),      TEST(test_hellos_that_are_wrong),
        TEST(test_path_too_long),  TEST(test_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
