/* The store's thread: order, waiting, ending, its bound, and that an answer means it lasts. */
#include "../../../src/store/store.h"

#include "../../../src/common/fd.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>

static char folder[PATH_MAX];
static struct err err;
static uv_loop_t loop;

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    loop_finish(&loop);
    scratch_remove(folder);
    return 0;
}

static const char *path(void)
{
    return scratch_path(folder, "codeland.db");
}

static struct store *open_ok(const char *file)
{
    struct store *store = store_open(file, &loop, &err);
    if (!store)
        fail_msg("%s", err.msg);
    return store;
}

static struct token token_of(unsigned number)
{
    struct token token = {.role = TOKEN_USER, .created_ms = 1000 + number};
    snprintf(token.id, sizeof(token.id), "%016x", number);
    snprintf(token.owner, sizeof(token.owner), "owner-%u", number);
    memcpy(token.hash, &number, sizeof(number));
    return token;
}

/* What callbacks saw, in the order in which they came. */
static struct seen {
    unsigned calls;
    enum err_code codes[STORE_QUEUE_MAX + 8];
    size_t listed;
    char first_id[TOKEN_ID_LEN + 1];
    pthread_t thread;
} seen;

static void on_done(const struct err *why, void *data)
{
    struct seen *into = data;
    into->thread = pthread_self();
    into->codes[into->calls++] = why ? why->code : ERR_NONE;
}

static void on_tokens(const struct token *tokens, size_t count, const struct err *why, void *data)
{
    struct seen *into = data;
    into->listed = count;
    if (count)
        strcpy(into->first_id, tokens[0].id);
    on_done(why, data);
}

static size_t count_in(struct store *store)
{
    seen = (struct seen){.listed = 99999};
    store_list_tokens(store, on_tokens, &seen);
    loop_wait(&loop, seen.calls == 1);
    return seen.listed;
}

static void verbs_answer_in_order_from_the_loop(void **state)
{
    (void)state;
    struct store *store = open_ok(":memory:");
    seen = (struct seen){0};
    struct token token = token_of(1);
    store_add_token(store, &token, on_done, &seen);
    memset(&token, 0, sizeof(token)); /* it was copied */
    store_delete_token(store, token_of(2).id, on_done, &seen);
    token = token_of(1);
    store_add_token(store, &token, on_done, &seen);
    store_list_tokens(store, on_tokens, &seen);
    assert_int_equal(seen.calls, 0);
    loop_wait(&loop, seen.calls == 4);
    assert_int_equal(seen.codes[0], ERR_NONE);
    assert_int_equal(seen.codes[1], ERR_NOT_FOUND);
    assert_int_equal(seen.codes[2], ERR_NAME_TAKEN);
    assert_int_equal(seen.codes[3], ERR_NONE);
    assert_int_equal(seen.listed, 1);
    assert_string_equal(seen.first_id, token_of(1).id);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    store_delete_token(store, token_of(1).id, on_done, &seen);
    loop_wait(&loop, seen.calls == 5);
    assert_int_equal(seen.codes[4], ERR_NONE);
    assert_int_equal(count_in(store), 0);
    store_destroy(store);
}

static void open_failure_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_null(store_open(scratch_path(folder, "no/such.db"), &loop, &err));
    assert_contains(err.msg, "No such file");
    assert_int_equal(uv_loop_alive(&loop), 0);
}

static void too_long_an_id_names_none(void **state)
{
    (void)state;
    struct store *store = open_ok(":memory:");
    seen = (struct seen){0};
    struct token token = token_of(1);
    store_add_token(store, &token, on_done, &seen);
    char longer[40];
    snprintf(longer, sizeof(longer), "%s0", token.id);
    store_delete_token(store, longer, on_done, &seen);
    loop_wait(&loop, seen.calls == 2);
    assert_int_equal(seen.codes[1], ERR_NOT_FOUND);
    assert_int_equal(count_in(store), 1);
    store_destroy(store);
}

struct chain {
    struct store *store;
    unsigned left, answered;
};

static void add_another(const struct err *why, void *data)
{
    struct chain *chain = data;
    assert_null(why);
    chain->answered++;
    if (chain->left == 0)
        return;
    struct token token = token_of(chain->left--);
    store_add_token(chain->store, &token, add_another, chain);
}

static void wait_answers_all_even_what_answers_post(void **state)
{
    (void)state;
    struct store *store = open_ok(":memory:");
    store_wait(store); /* nothing to wait for */
    struct chain chain = {.store = store, .left = 50};
    add_another(NULL, &chain);
    store_wait(store);
    assert_int_equal(chain.answered, 51);
    assert_int_equal(chain.left, 0);
    assert_int_equal(count_in(store), 50);
    store_destroy(store);
}

static void destroy_carries_out_and_fires_nothing(void **state)
{
    (void)state;
    struct store *store = open_ok(path());
    seen = (struct seen){0};
    for (unsigned i = 0; i < 40; i++) {
        struct token token = token_of(i);
        store_add_token(store, &token, on_done, &seen);
        if (i % 10 == 0) /* some are answered and some not */
            store_list_tokens(store, on_tokens, &seen);
    }
    store_destroy(store);
    loop_wait(&loop, !uv_loop_alive(&loop));
    assert_int_equal(seen.calls, 0);
    store = open_ok(path());
    assert_int_equal(count_in(store), 40);
    store_destroy(store);
    store_destroy(NULL);
}

static void destroy_on_done(const struct err *why, void *data)
{
    assert_null(why);
    struct chain *chain = data;
    chain->answered++;
    store_destroy(chain->store);
}

static void destroy_inside_a_callback(void **state)
{
    (void)state;
    for (int waiting = 0; waiting < 2; waiting++) {
        struct chain chain = {.store = open_ok(":memory:")};
        for (unsigned i = 0; i < 5; i++) {
            struct token token = token_of(i);
            store_add_token(chain.store, &token, destroy_on_done, &chain);
        }
        if (waiting)
            store_wait(chain.store);
        loop_wait(&loop, !uv_loop_alive(&loop));
        assert_int_equal(chain.answered, 1);
    }
}

static void queue_has_a_bound(void **state)
{
    (void)state;
    struct store *store = open_ok(path());
    /* Another program writes, so that the thread cannot get on. */
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path(), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    seen = (struct seen){0};
    struct token token = token_of(1);
    store_add_token(store, &token, on_done, &seen);
    for (unsigned i = 1; i < STORE_QUEUE_MAX; i++)
        store_delete_token(store, "none", on_done, &seen);
    assert_int_equal(seen.calls, 0);
    store_delete_token(store, token.id, on_done, &seen);
    store_delete_token(store, token.id, on_done, &seen);
    assert_int_equal(seen.calls, 0);
    loop_wait(&loop, seen.calls == 2); /* the two that were too many come at once */
    assert_int_equal(seen.codes[0], ERR_NOT_AVAILABLE);
    assert_int_equal(seen.codes[1], ERR_NOT_AVAILABLE);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    loop_wait(&loop, seen.calls == STORE_QUEUE_MAX + 2);
    assert_int_equal(seen.codes[2], ERR_NONE);
    assert_int_equal(seen.codes[STORE_QUEUE_MAX + 1], ERR_NOT_FOUND);
    assert_int_equal(count_in(store), 1); /* and there is room again */
    store_destroy(store);
}

/* Adds tokens for ever and writes the number of each that was answered. */
static _Noreturn void add_until_killed(int out)
{
    uv_loop_t own;
    uv_loop_init(&own);
    struct store *store = store_open(path(), &own, &err);
    for (unsigned i = 0; store; i++) {
        struct token token = token_of(i);
        seen = (struct seen){0};
        store_add_token(store, &token, on_done, &seen);
        store_wait(store);
        if (seen.codes[0] != ERR_NONE || fd_write_all(out, &i, sizeof(i)) != 0)
            break;
    }
    _exit(1);
}

static void what_was_answered_outlives_a_kill(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        add_until_killed(ends[1]);
    close(ends[1]);
    unsigned last = 0;
    while (last < 25)
        assert_int_equal(read(ends[0], &last, sizeof(last)), sizeof(last));
    kill(child, SIGKILL);
    while (read(ends[0], &last, sizeof(last)) == sizeof(last))
        ;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct store *store = open_ok(path());
    size_t count = count_in(store);
    assert_in_range(count, last + 1, last + 2); /* one may have been done and not answered */
    store_destroy(store);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(verbs_answer_in_order_from_the_loop),
        TEST(open_failure_leaves_nothing_behind),
        TEST(too_long_an_id_names_none),
        TEST(wait_answers_all_even_what_answers_post),
        TEST(destroy_carries_out_and_fires_nothing),
        TEST(destroy_inside_a_callback),
        TEST(queue_has_a_bound),
        TEST(what_was_answered_outlives_a_kill),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
