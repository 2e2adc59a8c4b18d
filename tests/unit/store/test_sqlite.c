/* The SQL of the store, and what opening a file must survive. */
#include "../../../src/store/sqlite.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char folder[PATH_MAX];
static struct err err;

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static const char *path(void)
{
    return scratch_path(folder, "codeland.db");
}

static sqlite3 *open_ok(const char *file)
{
    sqlite3 *db;
    assert_ok(sqlite_open(file, &db, &err), err);
    return db;
}

static int query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int value = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

/* Any SQL on a file, as another program would. */
static void meddle(const char *file, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static struct token token_of(unsigned number)
{
    struct token token = {.role = TOKEN_USER, .created_ms = 1000 + number};
    snprintf(token.id, sizeof(token.id), "%016x", number);
    snprintf(token.owner, sizeof(token.owner), "owner-%u", number);
    memset(token.hash, (int)number, sizeof(token.hash));
    memcpy(token.hash, &number, sizeof(number));
    return token;
}

static size_t count_of(sqlite3 *db)
{
    struct token *list;
    size_t count;
    assert_ok(sqlite_list_tokens(db, &list, &count, &err), err);
    free(list);
    return count;
}

static void token_comes_back_as_it_was(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(path());
    struct token sent = {.id = "0123456789abcdef",
                         .role = TOKEN_ADMIN,
                         .from_file = true,
                         .created_ms = 1767225600123,
                         .expires_ms = INT64_MAX};
    memset(sent.owner, 'x', TOKEN_OWNER_MAX); /* as long as it may be */
    for (size_t i = 0; i < sizeof(sent.hash); i++)
        sent.hash[i] = (unsigned char)(i * 8); /* with a NUL first */
    struct token plain = token_of(7);
    assert_ok(sqlite_add_token(db, &sent, &err), err);
    assert_ok(sqlite_add_token(db, &plain, &err), err);
    sqlite_close(db);

    db = open_ok(path());
    struct token *list;
    size_t count;
    assert_ok(sqlite_list_tokens(db, &list, &count, &err), err);
    assert_int_equal(count, 2);
    const struct token *first = &list[0], *second = &list[1]; /* oldest first */
    assert_string_equal(first->id, plain.id);
    assert_int_equal(first->role, TOKEN_USER);
    assert_false(first->from_file);
    assert_int_equal(first->expires_ms, 0);
    assert_string_equal(second->id, sent.id);
    assert_string_equal(second->owner, sent.owner);
    assert_int_equal(second->role, TOKEN_ADMIN);
    assert_true(second->from_file);
    assert_true(second->created_ms == sent.created_ms && second->expires_ms == sent.expires_ms);
    assert_memory_equal(second->hash, sent.hash, sizeof(sent.hash));
    free(list);
    sqlite_close(db);
}

static void long_list_comes_whole(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(":memory:");
    for (unsigned i = 0; i < 100; i++) {
        struct token token = token_of(i);
        assert_ok(sqlite_add_token(db, &token, &err), err);
    }
    assert_int_equal(count_of(db), 100);
    sqlite_close(db);
}

static void same_id_or_hash_is_taken(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(":memory:");
    struct token one = token_of(1), two = token_of(2);
    assert_ok(sqlite_add_token(db, &one, &err), err);
    assert_fails(sqlite_add_token(db, &one, &err), err, ERR_NAME_TAKEN, "add a token");
    memcpy(two.hash, one.hash, sizeof(two.hash));
    assert_fails(sqlite_add_token(db, &two, &err), err, ERR_NAME_TAKEN, "hash");
    assert_int_equal(count_of(db), 1);
    sqlite_close(db);
}

static void rules_of_the_table_hold(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(":memory:");
    struct token token = token_of(1);
    strcpy(token.id, "short");
    assert_fails(sqlite_add_token(db, &token, &err), err, ERR_INTERNAL, "CHECK");
    token = token_of(1);
    token.owner[0] = '\0';
    assert_fails(sqlite_add_token(db, &token, &err), err, ERR_INTERNAL, "CHECK");
    token = token_of(1);
    token.expires_ms = -1;
    assert_fails(sqlite_add_token(db, &token, &err), err, ERR_INTERNAL, "CHECK");
    assert_int_equal(count_of(db), 0);
    sqlite_close(db);
}

static void delete_takes_that_one_alone(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(":memory:");
    for (unsigned i = 0; i < 3; i++) {
        struct token token = token_of(i);
        assert_ok(sqlite_add_token(db, &token, &err), err);
    }
    assert_ok(sqlite_delete_token(db, token_of(1).id, &err), err);
    assert_fails(sqlite_delete_token(db, token_of(1).id, &err), err, ERR_NOT_FOUND, token_of(1).id);
    assert_fails(sqlite_delete_token(db, "' OR 1=1 --", &err), err, ERR_NOT_FOUND, "no token");
    assert_int_equal(count_of(db), 2);
    sqlite_close(db);
}

static void file_is_private_durable_and_marked(void **state)
{
    (void)state;
    mode_t before = umask(0);
    sqlite3 *db = open_ok(path());
    umask(before);
    struct stat st;
    assert_int_equal(stat(path(), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(query(db, "PRAGMA synchronous"), 2);
    assert_int_equal(query(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(query(db, "PRAGMA application_id"), 0x434C4E44);
    assert_int_equal(query(db, "PRAGMA user_version"), 3);
    assert_int_equal(query(db, "SELECT count(*) FROM pragma_journal_mode WHERE 1"), 1);
    assert_int_equal(query(db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    sqlite_close(db);
}

static void root_gives_the_file_to_its_folders_owner(void **state)
{
    (void)state;
    if (chown(folder, 4711, 4712) != 0) { /* without root there is one user: nothing to give */
        assert_int_equal(errno, EINVAL);
        return;
    }
    sqlite3 *db = open_ok(path());
    struct token token = token_of(1);
    assert_ok(sqlite_add_token(db, &token, &err), err);
    static const char *const names[] = {"codeland.db", "codeland.db-wal", "codeland.db-shm"};
    for (size_t i = 0; i < 3; i++) {
        struct stat st;
        assert_int_equal(stat(scratch_path(folder, names[i]), &st), 0);
        assert_int_equal(st.st_uid, 4711);
        assert_int_equal(st.st_gid, 4712);
    }
    sqlite_close(db);
}

/* Opening must fail, say so in these words, and leave every byte of the file alone. */
static void refused_untouched(enum err_code code, const char *words)
{
    static char before[65536], after[65536];
    ssize_t len = fd_read_file(AT_FDCWD, path(), before, sizeof(before));
    assert_true(len >= 0);
    sqlite3 *db = NULL;
    assert_fails(sqlite_open(path(), &db, &err), err, code, words);
    assert_contains(err.msg, "codeland.db");
    assert_null(db);
    assert_int_equal(fd_read_file(AT_FDCWD, path(), after, sizeof(after)), len);
    assert_memory_equal(before, after, (size_t)len);
    assert_false(scratch_exists(scratch_path(folder, "codeland.db-wal")));
}

static void newer_schema_is_refused(void **state)
{
    (void)state;
    sqlite_close(open_ok(path()));
    meddle(path(), "PRAGMA user_version = 99");
    refused_untouched(ERR_INTERNAL, "schema 99 and this program knows up to 3");
    meddle(path(), "PRAGMA user_version = -1");
    refused_untouched(ERR_INTERNAL, "schema -1");
}

static void database_of_another_program_is_refused(void **state)
{
    (void)state;
    meddle(path(), "CREATE TABLE token (id); INSERT INTO token VALUES (1)");
    refused_untouched(ERR_INTERNAL, "another program");
    meddle(path(), "DROP TABLE token; PRAGMA user_version = 3");
    refused_untouched(ERR_INTERNAL, "another program");
    meddle(path(), "PRAGMA user_version = 0; PRAGMA application_id = 7");
    refused_untouched(ERR_INTERNAL, "another program");
}

static void garbage_is_refused(void **state)
{
    (void)state;
    static char text[8192];
    memset(text, 'x', sizeof(text) - 1);
    scratch_write(path(), text);
    refused_untouched(ERR_INTERNAL, "damaged or no database");
    scratch_write(path(), "SQLite format 3");
    refused_untouched(ERR_INTERNAL, "damaged or no database");
}

static void empty_file_becomes_a_store(void **state)
{
    (void)state;
    scratch_write(path(), "");
    sqlite_close(open_ok(path()));
}

static void damaged_page_is_an_error_not_an_empty_list(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(path());
    for (unsigned i = 0; i < 200; i++) {
        struct token token = token_of(i);
        assert_ok(sqlite_add_token(db, &token, &err), err);
    }
    sqlite_close(db);
    struct stat st;
    assert_int_equal(stat(path(), &st), 0);
    int fd = open(path(), O_WRONLY);
    static const unsigned char wrong[4096] = {0xFF, 0xFF, 0xFF, 0xFF};
    for (off_t at = 4096; at < st.st_size; at += 4096) /* all but the first page */
        assert_int_equal(pwrite(fd, wrong, sizeof(wrong), at), sizeof(wrong));
    close(fd);
    db = open_ok(path());
    struct token *list = NULL;
    size_t count;
    assert_fails(sqlite_list_tokens(db, &list, &count, &err), err, ERR_INTERNAL, "damaged");
    assert_null(list);
    sqlite_close(db);
}

static void row_that_breaks_the_rules_is_an_error(void **state)
{
    (void)state;
    sqlite_close(open_ok(path()));
    meddle(path(), "PRAGMA ignore_check_constraints = 1;"
                   "INSERT INTO token VALUES ('0123456789abcdef', x'00', 'o', 'admin', 0, 1, 0)");
    sqlite3 *db = open_ok(path());
    struct token *list = NULL;
    size_t count;
    assert_fails(sqlite_list_tokens(db, &list, &count, &err), err, ERR_INTERNAL,
                 "token 0123456789abcdef breaks its own rules");
    assert_null(list);
    sqlite_close(db);
}

static void path_errors_name_path_and_reason(void **state)
{
    (void)state;
    sqlite3 *db;
    const char *missing = scratch_path(folder, "no/such/codeland.db");
    assert_fails(sqlite_open(missing, &db, &err), err, ERR_INTERNAL, "No such file");
    assert_contains(err.msg, missing);
    assert_fails(sqlite_open(folder, &db, &err), err, ERR_INTERNAL, "Is a directory");

    const char *target = scratch_path(folder, "elsewhere.db");
    scratch_write(target, "");
    assert_int_equal(symlink(target, path()), 0);
    assert_fails(sqlite_open(path(), &db, &err), err, ERR_INTERNAL, "symbolic links");
}

static void read_only_file_system_is_an_error(void **state)
{
    (void)state;
    scratch_small(folder, 1 << 20);
    sqlite3 *db = open_ok(path());
    struct token token = token_of(1);
    assert_ok(sqlite_add_token(db, &token, &err), err);
    sqlite_close(db);
    assert_int_equal(mount("tmpfs", folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_fails(sqlite_open(path(), &db, &err), err, ERR_INTERNAL, "Read-only file system");
    assert_fails(sqlite_open(scratch_path(folder, "new.db"), &db, &err), err, ERR_INTERNAL,
                 "Read-only file system");
    assert_int_equal(mount("tmpfs", folder, NULL, MS_REMOUNT, NULL), 0);
    db = open_ok(path());
    assert_int_equal(count_of(db), 1);
    sqlite_close(db);
}

static void full_disk_at_the_first_open_can_be_mended(void **state)
{
    (void)state;
    scratch_small(folder, 256 << 10);
    scratch_fill(folder);
    sqlite3 *db;
    assert_fails(sqlite_open(path(), &db, &err), err, ERR_NO_SPACE, "no space");
    scratch_unfill(folder);
    db = open_ok(path());
    assert_int_equal(count_of(db), 0);
    sqlite_close(db);
}

static void full_disk_loses_nothing(void **state)
{
    (void)state;
    scratch_small(folder, 512 << 10);
    sqlite3 *db = open_ok(path());
    unsigned kept = 0;
    for (; kept < 3; kept++) {
        struct token token = token_of(kept);
        assert_ok(sqlite_add_token(db, &token, &err), err);
    }
    scratch_fill(folder);
    /* The log has pages of room of its own at first. */
    int rc;
    do {
        struct token token = token_of(kept);
        rc = sqlite_add_token(db, &token, &err);
        kept += rc == 0;
    } while (rc == 0 && kept < 10000);
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, ERR_NO_SPACE);
    assert_int_equal(count_of(db), kept);
    scratch_unfill(folder);
    struct token token = token_of(kept);
    assert_ok(sqlite_add_token(db, &token, &err), err);
    assert_int_equal(count_of(db), kept + 1);
    sqlite_close(db);
    db = open_ok(path());
    assert_int_equal(count_of(db), kept + 1);
    sqlite_close(db);
}

static void add_worker(sqlite3 *db, const char *name, int64_t created_ms)
{
    struct store_worker worker = {.created_ms = created_ms};
    snprintf(worker.name, sizeof(worker.name), "%s", name);
    snprintf(worker.spec, sizeof(worker.spec), "{\"name\":\"%s\"}", name);
    assert_ok(sqlite_add_worker(db, &worker, &err), err);
}

/* Name, spec and state of each, as one text. */
static void assert_workers(sqlite3 *db, const char *want)
{
    char text[3 * sizeof(struct store_worker)] = "";
    struct store_worker *list;
    size_t count;
    assert_ok(sqlite_list_workers(db, &list, &count, &err), err);
    for (size_t i = 0, len = 0; i < count; i++) {
        assert_true(len < sizeof(text));
        assert_true(str_format(text + len, sizeof(text) - len, "%s%s%s;", list[i].name,
                               list[i].spec, list[i].draining ? " drained" : ""));
        len = strlen(text);
    }
    free(list);
    assert_string_equal(text, want);
}

static void workers_come_back_as_they_were(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(path());
    assert_workers(db, "");
    add_worker(db, "b", 1);
    add_worker(db, "a", 2);
    for (int i = 0; i < 2; i++) { /* saying it twice changes nothing */
        assert_ok(sqlite_drain_worker(db, "a", true, &err), err);
        assert_ok(sqlite_drain_worker(db, "elsewhere", true, &err), err);
    }
    sqlite_close(db);
    db = open_ok(path());
    assert_workers(db, "elsewhere drained;b{\"name\":\"b\"};a{\"name\":\"a\"} drained;");
    struct store_worker again = {.name = "a", .spec = "{}"};
    assert_fails(sqlite_add_worker(db, &again, &err), err, ERR_NAME_TAKEN, "add a worker");
    assert_ok(sqlite_drain_worker(db, "elsewhere", false, &err), err);
    assert_ok(sqlite_delete_worker(db, "a", &err), err);
    assert_workers(db, "b{\"name\":\"b\"};");
    assert_fails(sqlite_delete_worker(db, "a", &err), err, ERR_NOT_FOUND, "no worker a");
    add_worker(db, "a", 3);
    assert_workers(db, "b{\"name\":\"b\"};a{\"name\":\"a\"};"); /* drained no more */
    struct store_worker empty = {.name = "c"};
    assert_fails(sqlite_add_worker(db, &empty, &err), err, ERR_INTERNAL, "CHECK");
    sqlite_close(db);
}

/* A store of the first version keeps its tokens and learns of workers. */
static void first_schema_is_brought_up_to_date(void **state)
{
    (void)state;
    sqlite3 *db = open_ok(path());
    struct token token = token_of(1);
    assert_ok(sqlite_add_token(db, &token, &err), err);
    sqlite_close(db);
    meddle(path(), "DROP TABLE worker; DROP TABLE drained_worker; DROP TABLE identity;"
                   "PRAGMA user_version = 1");
    db = open_ok(path());
    assert_int_equal(count_of(db), 1);
    add_worker(db, "a", 1);
    assert_workers(db, "a{\"name\":\"a\"};");
    char id[MANAGER_ID_LEN + 1];
    assert_ok(sqlite_read_identity(db, id, &err), err);
    sqlite_close(db);
}

/* Made with the file, the same for as long as that lasts, and another in every other. */
static void identity_is_made_once(void **state)
{
    char id[MANAGER_ID_LEN + 1], again[MANAGER_ID_LEN + 1];
    (void)state;
    sqlite3 *db = open_ok(path());
    assert_ok(sqlite_read_identity(db, id, &err), err);
    assert_true(id_manager_valid(id));
    sqlite_close(db);
    db = open_ok(path());
    assert_ok(sqlite_read_identity(db, again, &err), err);
    assert_string_equal(again, id);
    sqlite_close(db);
    db = open_ok(":memory:");
    assert_ok(sqlite_read_identity(db, again, &err), err);
    assert_string_not_equal(again, id);
    sqlite_close(db);
    meddle(path(), "UPDATE identity SET id = 'Z' || substr(id, 2)");
    db = open_ok(path());
    assert_fails(sqlite_read_identity(db, id, &err), err, ERR_INTERNAL, "a bad one");
    sqlite_close(db);
    meddle(path(), "DELETE FROM identity");
    db = open_ok(path());
    assert_fails(sqlite_read_identity(db, id, &err), err, ERR_INTERNAL, "there is none");
    sqlite_close(db);
}

int main(void)
{
    scratch_own_mounts();
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(token_comes_back_as_it_was),
        TEST(long_list_comes_whole),
        TEST(same_id_or_hash_is_taken),
        TEST(rules_of_the_table_hold),
        TEST(delete_takes_that_one_alone),
        TEST(file_is_private_durable_and_marked),
        TEST(root_gives_the_file_to_its_folders_owner),
        TEST(newer_schema_is_refused),
        TEST(database_of_another_program_is_refused),
        TEST(garbage_is_refused),
        TEST(empty_file_becomes_a_store),
        TEST(damaged_page_is_an_error_not_an_empty_list),
        TEST(row_that_breaks_the_rules_is_an_error),
        TEST(path_errors_name_path_and_reason),
        TEST(read_only_file_system_is_an_error),
        TEST(full_disk_at_the_first_open_can_be_mended),
        TEST(full_disk_loses_nothing),
        TEST(workers_come_back_as_they_were),
        TEST(first_schema_is_brought_up_to_date),
        TEST(identity_is_made_once),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
