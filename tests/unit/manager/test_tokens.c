/* Tokens: what is let in, what is kept, and the admin token's file at every point of a crash. */
#include "../../../src/manager/tokens.h"

#include "../../../src/common/fd.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[PATH_MAX];
static struct err err;
static uv_loop_t loop;
static struct store *store;
static struct tokens *tokens;
static int64_t now_ms;

static int64_t fake_wall(void)
{
    return now_ms;
}

static const char *file(void)
{
    return scratch_path(folder, "admin.token");
}

static void open_all(void)
{
    store = store_open(scratch_path(folder, "codeland.db"), &loop, &err);
    if (!store)
        fail_msg("%s", err.msg);
    tokens = tokens_create(store, &err);
    if (!tokens)
        fail_msg("%s", err.msg);
    tokens_set_wall(tokens, fake_wall);
}

static void close_all(void)
{
    tokens_destroy(tokens);
    store_destroy(store);
    loop_wait(&loop, !uv_loop_alive(&loop));
}

static void reopen(void)
{
    close_all();
    open_all();
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    if (uv_loop_init(&loop) != 0)
        return -1;
    now_ms = 1767225600000;
    open_all();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_all();
    loop_finish(&loop);
    scratch_remove(folder);
    return 0;
}

static void on_done(const struct err *why, void *data)
{
    (void)data;
    if (why)
        fail_msg("%s", why->msg);
}

/* What a later API would do: a token of this text, by way of the store and a restart. */
static void keep_token(const char *id, const char *text, enum token_role role, int64_t expires_ms)
{
    struct token token = {.role = role, .created_ms = now_ms, .expires_ms = expires_ms};
    strcpy(token.id, id);
    strcpy(token.owner, "someone");
    unsigned len;
    assert_int_equal(EVP_Digest(text, strlen(text), token.hash, &len, EVP_sha256(), NULL), 1);
    store_add_token(store, &token, on_done, NULL);
    store_wait(store);
    reopen();
}

static const struct token *check(const char *text)
{
    return tokens_check(tokens, text, strlen(text));
}

struct kept {
    size_t count;
    struct token first;
};

static void on_list(const struct token *list, size_t count, const struct err *why, void *data)
{
    on_done(why, NULL);
    struct kept *kept = data;
    kept->count = count;
    if (count)
        kept->first = list[0];
}

static struct kept in_store(void)
{
    struct kept kept = {0};
    store_list_tokens(store, on_list, &kept);
    store_wait(store);
    return kept;
}

/* The file's text without its newline. */
static const char *in_file(void)
{
    static char text[200];
    snprintf(text, sizeof(text), "%s", scratch_read(file()));
    char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_string_equal(end, "\n");
    *end = '\0';
    return text;
}

static void ensure(void)
{
    assert_ok(tokens_ensure_admin(tokens, file(), &err), err);
}

#define ONE "cl_0123456789abcdef0123456789abcdef01234567"
#define TWO "cl_0123456789abcdef0123456789abcdef01234568"

static void right_text_is_let_in_and_no_other(void **state)
{
    (void)state;
    keep_token("00000000000000a1", ONE, TOKEN_USER, 0);
    keep_token("00000000000000a2", TWO, TOKEN_ADMIN, 0);
    const struct token *token = check(ONE);
    assert_non_null(token);
    assert_string_equal(token->id, "00000000000000a1");
    assert_string_equal(token->owner, "someone");
    assert_int_equal(token->role, TOKEN_USER);
    assert_string_equal(check(TWO)->id, "00000000000000a2");
    assert_int_equal(check(TWO)->role, TOKEN_ADMIN);

    char text[] = ONE;
    for (size_t i = 0; i < TOKEN_TEXT_LEN; i++) { /* any digit wrong */
        char right = text[i];
        text[i] = right == '9' ? '8' : '9';
        assert_null(check(text));
        text[i] = right;
    }
    assert_non_null(check(text));
    assert_null(tokens_check(tokens, ONE, TOKEN_TEXT_LEN - 1));
    assert_null(tokens_check(tokens, ONE "0", TOKEN_TEXT_LEN + 1));
    assert_null(tokens_check(tokens, ONE, 0));
    assert_null(tokens_check(tokens, NULL, 0));
    assert_null(tokens_check(tokens, "\0\xFF", 2));
    assert_null(check("CL_0123456789abcdef0123456789abcdef01234567"));
    assert_null(check("cl_0123456789ABCDEF0123456789abcdef01234567"));
}

/* A token's hash must not be a way in, should the store leak. */
static void hash_is_no_text(void **state)
{
    (void)state;
    ensure();
    struct kept kept = in_store();
    char text[TOKEN_TEXT_LEN + 1] = "cl_";
    for (size_t i = 0; i < 20; i++)
        snprintf(text + 3 + 2 * i, 3, "%02x", kept.first.hash[i]);
    assert_null(check(text));
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", scratch_path(folder, "codeland.db-wal"));
    static char bytes[1 << 20];
    ssize_t len = fd_read_file(AT_FDCWD, path, bytes, sizeof(bytes));
    assert_true(len > 0);
    assert_null(memmem(bytes, (size_t)len, in_file() + 3, 40)); /* not in the store's file */
    assert_non_null(memmem(bytes, (size_t)len, kept.first.hash, TOKEN_HASH_LEN));
}

static void malformed_text_is_refused_even_if_its_hash_is_known(void **state)
{
    (void)state;
    keep_token("00000000000000a1", "cl_0123456789ABCDEF0123456789abcdef01234567", TOKEN_USER, 0);
    assert_null(check("cl_0123456789ABCDEF0123456789abcdef01234567"));
}

static void token_expires_at_its_time(void **state)
{
    (void)state;
    keep_token("00000000000000a1", ONE, TOKEN_USER, now_ms + 1000);
    assert_non_null(check(ONE));
    now_ms += 999;
    assert_non_null(check(ONE));
    now_ms += 1;
    assert_null(check(ONE));
    now_ms += 1000000;
    assert_null(check(ONE));
}

static void system_clock_is_the_default(void **state)
{
    (void)state;
    keep_token("00000000000000a1", ONE, TOKEN_USER, clock_wall_ms() + 3600000);
    keep_token("00000000000000a2", TWO, TOKEN_USER, clock_wall_ms() - 1);
    tokens_set_wall(tokens, clock_wall_ms);
    assert_non_null(check(ONE));
    assert_null(check(TWO));
}

static void many_tokens_are_all_found(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_LEN + 1], id[TOKEN_ID_LEN + 1];
    for (unsigned i = 0; i < 300; i++) {
        struct token token = {.owner = "o", .role = TOKEN_USER};
        snprintf(token.id, sizeof(token.id), "%016x", i);
        snprintf(text, sizeof(text), "cl_%040x", i);
        unsigned len;
        EVP_Digest(text, strlen(text), token.hash, &len, EVP_sha256(), NULL);
        store_add_token(store, &token, on_done, NULL);
    }
    store_wait(store);
    reopen();
    for (unsigned i = 0; i < 300; i++) {
        snprintf(text, sizeof(text), "cl_%040x", i);
        snprintf(id, sizeof(id), "%016x", i);
        assert_non_null(check(text));
        assert_string_equal(check(text)->id, id);
    }
    assert_null(check("cl_00000000000000000000000000000000000f0000"));
}

/* The search goes by the first 8 bytes of a hash; those alone must let nobody in. */
static void hashes_that_begin_alike_are_told_apart(void **state)
{
    (void)state;
    struct token token = {.owner = "o", .role = TOKEN_ADMIN};
    unsigned len;
    for (unsigned i = 1; i <= 3; i++) {
        snprintf(token.id, sizeof(token.id), "%016x", i);
        EVP_Digest(ONE, TOKEN_TEXT_LEN, token.hash, &len, EVP_sha256(), NULL);
        token.hash[8] ^= (unsigned char)i;
        store_add_token(store, &token, on_done, NULL);
    }
    store_wait(store);
    reopen();
    assert_null(check(ONE));
    keep_token("00000000000000a1", ONE, TOKEN_USER, 0);
    assert_string_equal(check(ONE)->id, "00000000000000a1");
}

static void first_start_makes_the_file(void **state)
{
    (void)state;
    mode_t before = umask(0);
    ensure();
    umask(before);
    struct stat st;
    assert_int_equal(stat(file(), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    const struct token *token = check(in_file());
    assert_non_null(token);
    assert_int_equal(token->role, TOKEN_ADMIN);
    assert_string_equal(token->owner, "admin");
    assert_int_equal(strlen(token->id), TOKEN_ID_LEN);
    assert_true(token->from_file);
    assert_int_equal(token->expires_ms, 0);
    assert_int_equal(token->created_ms, now_ms);
    assert_int_equal(strlen(in_file()), TOKEN_TEXT_LEN);
    assert_int_equal(in_store().count, 1);
}

static void later_starts_keep_it(void **state)
{
    (void)state;
    ensure();
    char text[TOKEN_TEXT_LEN + 1];
    strcpy(text, in_file());
    for (int i = 0; i < 3; i++) {
        reopen();
        assert_non_null(check(text));
        ensure();
        assert_string_equal(in_file(), text);
    }
    assert_int_equal(in_store().count, 1);
    scratch_write(file(), text); /* an editor took the newline away */
    ensure();
    assert_string_equal(scratch_read(file()), text);
}

static void lost_file_is_replaced_and_its_token_revoked(void **state)
{
    (void)state;
    ensure();
    char text[TOKEN_TEXT_LEN + 1];
    strcpy(text, in_file());
    keep_token("00000000000000a1", ONE, TOKEN_ADMIN, 0); /* another admin's stays */
    assert_int_equal(unlink(file()), 0);
    ensure();
    assert_string_not_equal(in_file(), text);
    assert_non_null(check(in_file()));
    assert_null(check(text));
    assert_non_null(check(ONE));
    reopen();
    assert_non_null(check(in_file()));
    assert_null(check(text));
    assert_non_null(check(ONE));
    assert_int_equal(in_store().count, 2);
}

static void file_with_anything_else_is_mended(void **state)
{
    (void)state;
    keep_token("00000000000000a1", ONE, TOKEN_USER, 0);
    keep_token("00000000000000a2", TWO, TOKEN_ADMIN, now_ms - 1);
    static char long_text[5000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    const char *const texts[] = {"",
                                 "cl_",
                                 ONE /* a user's */,
                                 TWO /* expired */,
                                 ONE "\n\n",
                                 "cl_ffffffffffffffffffffffffffffffffffffffff\n",
                                 long_text};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        scratch_write(file(), texts[i]);
        ensure();
        assert_non_null(check(in_file()));
        assert_int_equal(check(in_file())->role, TOKEN_ADMIN);
        assert_int_equal(in_store().count, 3);
    }
}

static void an_admins_own_token_in_the_file_is_kept(void **state)
{
    (void)state;
    ensure();
    keep_token("00000000000000a1", ONE, TOKEN_ADMIN, 0);
    scratch_write(file(), ONE "\n");
    ensure();
    assert_string_equal(in_file(), ONE);
    assert_int_equal(in_store().count, 1); /* the one the file held has no text any more */
    assert_non_null(check(ONE));
}

/* It stopped after the new hash was stored, and again after the file was written. */
static void crash_at_any_point_is_mended(void **state)
{
    (void)state;
    struct token orphan = {
        .id = "00000000000000b1", .owner = "admin", .role = TOKEN_ADMIN, .from_file = true};
    store_add_token(store, &orphan, on_done, NULL);
    store_wait(store);
    reopen();
    ensure(); /* hash, no file */
    assert_non_null(check(in_file()));
    assert_int_equal(in_store().count, 1);

    orphan.hash[0] = 1;
    store_add_token(store, &orphan, on_done, NULL);
    store_wait(store);
    char text[TOKEN_TEXT_LEN + 1];
    strcpy(text, in_file());
    reopen();
    ensure(); /* file, and the old hash was not revoked yet */
    assert_string_equal(in_file(), text);
    assert_int_equal(in_store().count, 1);
    assert_string_not_equal(in_store().first.id, orphan.id);
}

static void full_disk_is_an_error_and_heals(void **state)
{
    (void)state;
    char small[PATH_MAX];
    strcpy(small, scratch_path(folder, "small"));
    assert_int_equal(mkdir(small, 0700), 0);
    scratch_small(small, 64 << 10);
    scratch_fill(small);
    const char *target = scratch_path(small, "admin.token");
    assert_fails(tokens_ensure_admin(tokens, target, &err), err, ERR_NO_SPACE,
                 "cannot make the admin token");
    assert_false(scratch_exists(target));
    assert_fails(tokens_ensure_admin(tokens, target, &err), err, ERR_NO_SPACE, "No space left");
    scratch_unfill(small);
    assert_ok(tokens_ensure_admin(tokens, target, &err), err);
    assert_int_equal(in_store().count, 1);
    scratch_remove(small);
}

static void errors_come_out(void **state)
{
    (void)state;
    assert_fails(tokens_ensure_admin(tokens, scratch_path(folder, "no/such"), &err), err,
                 ERR_INTERNAL, "No such file");
    assert_fails(tokens_ensure_admin(tokens, folder, &err), err, ERR_INTERNAL, "Is a directory");
    assert_int_equal(tokens_ensure_admin(tokens, folder, NULL), -1);
    tokens_destroy(NULL);
}

static void no_two_are_alike(void **state)
{
    (void)state;
    char texts[20][TOKEN_TEXT_LEN + 1];
    for (size_t i = 0; i < 20; i++) {
        ensure();
        strcpy(texts[i], in_file());
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(texts[i], texts[k]);
        assert_int_equal(unlink(file()), 0);
    }
}

int main(void)
{
    scratch_own_mounts();
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(right_text_is_let_in_and_no_other),
        TEST(hash_is_no_text),
        TEST(malformed_text_is_refused_even_if_its_hash_is_known),
        TEST(token_expires_at_its_time),
        TEST(system_clock_is_the_default),
        TEST(many_tokens_are_all_found),
        TEST(hashes_that_begin_alike_are_told_apart),
        TEST(first_start_makes_the_file),
        TEST(later_starts_keep_it),
        TEST(lost_file_is_replaced_and_its_token_revoked),
        TEST(file_with_anything_else_is_mended),
        TEST(an_admins_own_token_in_the_file_is_kept),
        TEST(crash_at_any_point_is_mended),
        TEST(full_disk_is_an_error_and_heals),
        TEST(errors_come_out),
        TEST(no_two_are_alike),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
