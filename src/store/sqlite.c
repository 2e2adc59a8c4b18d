#include "sqlite.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "schema_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define APPLICATION_ID 0x434C4E44 /* "CLND": tells our file from any other SQLite database */
#define BUSY_TIMEOUT_MS 5000

static const char *const role_names[] = {[TOKEN_USER] = "user", [TOKEN_ADMIN] = "admin"};

int sqlite_fail(sqlite3 *db, const char *doing, struct err *err)
{
    int extended = sqlite3_extended_errcode(db);
    int sys_errno = sqlite3_system_errno(db);
    int primary = extended & 0xFF;
    if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && sys_errno == ENOSPC))
        return err_set(err, ERR_NO_SPACE, "store: %s: no space left on the disk", doing);
    if (extended == SQLITE_CONSTRAINT_PRIMARYKEY || extended == SQLITE_CONSTRAINT_UNIQUE)
        return err_set(err, ERR_NAME_TAKEN, "store: %s: %s", doing, sqlite3_errmsg(db));
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        return err_set(err, ERR_INTERNAL,
                       "store: %s: the file is damaged or no database (%s); it was left as it is: "
                       "restore a copy, or move it away to start anew",
                       doing, sqlite3_errmsg(db));
    if (primary == SQLITE_BUSY)
        return err_set(err, ERR_INTERNAL, "store: %s: another program has held the file for %d ms",
                       doing, BUSY_TIMEOUT_MS);
    if (sys_errno != 0 && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN))
        return err_sys(err, ERR_INTERNAL, sys_errno, "store: %s: %s", doing, sqlite3_errmsg(db));
    return err_set(err, ERR_INTERNAL, "store: %s: %s", doing, sqlite3_errmsg(db));
}

static int execute(sqlite3 *db, const char *sql, const char *doing, struct err *err)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_fail(db, doing, err);
}

/* The one number that a pragma or a count gives. */
static int query_int(sqlite3 *db, const char *sql, int *value, struct err *err)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_fail(db, "open", err);
    int rc = 0;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *value = sqlite3_column_int(statement, 0);
    else
        rc = sqlite_fail(db, "open", err);
    sqlite3_finalize(statement);
    return rc;
}

/* SQLite falls back to another mode without an error where shared memory cannot be mapped. */
static int set_wal(sqlite3 *db, struct err *err)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) != SQLITE_OK)
        return sqlite_fail(db, "open", err);
    int rc = 0;
    if (sqlite3_step(statement) != SQLITE_ROW)
        rc = sqlite_fail(db, "open", err);
    else if (strcmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
        rc = err_set(err, ERR_INTERNAL, "store: this file system cannot hold a write-ahead log");
    sqlite3_finalize(statement);
    return rc;
}

/* Whether the file may be ours to write: empty, or marked as ours and not newer than we are. */
static int check_file(sqlite3 *db, int *version, struct err *err)
{
    int mark, tables;
    if (query_int(db, "PRAGMA application_id", &mark, err) != 0 ||
        query_int(db, "PRAGMA user_version", version, err) != 0 ||
        query_int(db, "SELECT count(*) FROM sqlite_schema", &tables, err) != 0)
        return -1;
    if (mark != APPLICATION_ID && (mark != 0 || *version != 0 || tables != 0))
        return err_set(err, ERR_INTERNAL, "store: the file is a database of another program");
    if (*version < 0 || *version > (int)ARRAY_LEN(schema_steps))
        return err_set(err, ERR_INTERNAL,
                       "store: the file has schema %d and this program knows up to %zu: it was "
                       "written by a newer version",
                       *version, ARRAY_LEN(schema_steps));
    return 0;
}

static int migrate(sqlite3 *db, struct err *err)
{
    /* IMMEDIATE: two programs that start at once must not both read the old version. */
    if (execute(db, "BEGIN IMMEDIATE", "open", err) != 0)
        return -1;
    int version;
    int rc = check_file(db, &version, err);
    bool stale = rc == 0 && version < (int)ARRAY_LEN(schema_steps);
    for (; rc == 0 && version < (int)ARRAY_LEN(schema_steps); version++)
        rc = execute(db, schema_steps[version], "bring the schema up to date", err);
    if (stale && rc == 0) {
        char marks[100];
        str_format(marks, sizeof(marks), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   APPLICATION_ID, version);
        rc = execute(db, marks, "mark the schema", err);
    }
    if (rc == 0)
        rc = execute(db, "COMMIT", "bring the schema up to date", err);
    if (rc != 0)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* err says why; this has nothing to add */
    return rc;
}

/* SQLite says "unable to open database file" for all of this, and opens for reading alone what it
 * cannot write. A file that root makes belongs to its folder's owner: the user that runs later.
 */
static int prepare_file(const char *path, struct err *err)
{
    cleanup_close int made = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0 && errno == EEXIST) {
        cleanup_close int found = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        return found >= 0 ? 0 : err_sys(err, ERR_INTERNAL, errno, "store: %s", path);
    }
    if (made < 0)
        return err_sys(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, errno, "store: %s",
                       path);
    if (geteuid() != 0)
        return 0;
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct stat st;
    if (!str_format(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
                    slash ? path : ".") ||
        stat(folder, &st) != 0 || fchown(made, st.st_uid, st.st_gid) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "store: give %s to its folder's owner", path);
    return 0;
}

int sqlite_open(const char *path, sqlite3 **db, struct err *err)
{
    bool in_memory = strcmp(path, ":memory:") == 0;
    if (!in_memory && prepare_file(path, err) != 0)
        return -1;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int version;
    sqlite3 *opened = NULL;
    int rc = 0;
    if (sqlite3_open_v2(path, &opened, flags | (in_memory ? SQLITE_OPEN_MEMORY : 0), NULL) !=
        SQLITE_OK)
        rc = sqlite_fail(opened, "open", err);
    if (rc == 0)
        sqlite3_busy_timeout(opened, BUSY_TIMEOUT_MS);
    /* Looked at before the first pragma that writes: what is not ours stays as it is. */
    if (rc == 0)
        rc = check_file(opened, &version, err);
    if (rc == 0 && !in_memory)
        rc = set_wal(opened, err);
    if (rc == 0)
        rc = execute(opened,
                     "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                     "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF",
                     "open", err);
    if (rc == 0)
        rc = migrate(opened, err);
    if (rc != 0) {
        sqlite_close(opened);
        return in_memory ? -1 : err_context(err, "%s", path);
    }
    *db = opened;
    return 0;
}

void sqlite_close(sqlite3 *db)
{
    sqlite3_close(db);
}

int sqlite_run(sqlite3 *db, sqlite3_stmt *statement, const char *doing, struct err *err)
{
    int rc = sqlite3_step(statement) == SQLITE_DONE ? 0 : sqlite_fail(db, doing, err);
    sqlite3_finalize(statement);
    return rc;
}

int sqlite_add_token(sqlite3 *db, const struct token *token, struct err *err)
{
    static const char sql[] =
        "INSERT INTO token (id, hash, owner, role, from_file, created_ms, expires_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, sizeof(sql), &statement, NULL) != SQLITE_OK)
        return sqlite_fail(db, "add a token", err);
    sqlite3_bind_text(statement, 1, token->id, -1, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 2, token->hash, sizeof(token->hash), SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, token->owner, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, role_names[token->role], -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 5, token->from_file);
    sqlite3_bind_int64(statement, 6, token->created_ms);
    sqlite3_bind_int64(statement, 7, token->expires_ms);
    return sqlite_run(db, statement, "add a token", err);
}

/* The table's own checks have seen to lengths and roles; a file that was tampered with has not. */
static int read_token(sqlite3_stmt *row, struct token *token, struct err *err)
{
    const char *id = (const char *)sqlite3_column_text(row, 0);
    const char *owner = (const char *)sqlite3_column_text(row, 2);
    const char *role = (const char *)sqlite3_column_text(row, 3);
    const void *hash = sqlite3_column_blob(row, 1);
    *token = (struct token){
        .role = role && strcmp(role, role_names[TOKEN_ADMIN]) == 0 ? TOKEN_ADMIN : TOKEN_USER,
        .from_file = sqlite3_column_int(row, 4) != 0,
        .created_ms = sqlite3_column_int64(row, 5),
        .expires_ms = sqlite3_column_int64(row, 6),
    };
    if (!id || !str_format(token->id, sizeof(token->id), "%s", id) || !owner ||
        !str_format(token->owner, sizeof(token->owner), "%s", owner) || !hash ||
        sqlite3_column_bytes(row, 1) != TOKEN_HASH_LEN)
        return err_set(err, ERR_INTERNAL, "store: list the tokens: token %s breaks its own rules",
                       id ? id : "?");
    memcpy(token->hash, hash, sizeof(token->hash));
    return 0;
}

int sqlite_list_tokens(sqlite3 *db, struct token **list, size_t *count, struct err *err)
{
    static const char sql[] = "SELECT id, hash, owner, role, from_file, created_ms, expires_ms"
                              " FROM token ORDER BY created_ms, id";
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db, sql, sizeof(sql), &row, NULL) != SQLITE_OK)
        return sqlite_fail(db, "list the tokens", err);
    cleanup_free struct token *tokens = NULL;
    size_t len = 0, room = 0;
    int status, rc = 0;
    while (rc == 0 && (status = sqlite3_step(row)) == SQLITE_ROW) {
        if (len == room) {
            room = room ? 2 * room : 16;
            tokens = mem_realloc(tokens, room * sizeof(*tokens));
        }
        rc = read_token(row, &tokens[len++], err);
    }
    if (rc == 0 && status != SQLITE_DONE)
        rc = sqlite_fail(db, "list the tokens", err);
    sqlite3_finalize(row);
    if (rc != 0)
        return -1;
    *list = steal_ptr(tokens);
    *count = len;
    return 0;
}

int sqlite_delete_token(sqlite3 *db, const char *id, struct err *err)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "DELETE FROM token WHERE id = ?", -1, &statement, NULL) != SQLITE_OK)
        return sqlite_fail(db, "delete a token", err);
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    if (sqlite_run(db, statement, "delete a token", err) != 0)
        return -1;
    if (sqlite3_changes(db) == 0)
        return err_set(err, ERR_NOT_FOUND, "store: there is no token %s", id);
    return 0;
}

int sqlite_read_identity(sqlite3 *db, char id[MANAGER_ID_LEN + 1], struct err *err)
{
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db, "SELECT id FROM identity", -1, &row, NULL) != SQLITE_OK)
        return sqlite_fail(db, "read the identity", err);
    const char *text =
        sqlite3_step(row) == SQLITE_ROW ? (const char *)sqlite3_column_text(row, 0) : NULL;
    int rc = 0;
    if (text && id_manager_valid(text))
        memcpy(id, text, MANAGER_ID_LEN + 1);
    else
        rc = err_set(err, ERR_INTERNAL, "store: read the identity: there is none, or a bad one");
    sqlite3_finalize(row);
    return rc;
}
