#include "../common/mem.h"
#include "../common/str.h"
#include "sqlite.h"

int sqlite_add_worker(sqlite3 *db, const struct store_worker *worker, struct err *err)
{
    static const char sql[] = "INSERT INTO worker (name, spec, created_ms) VALUES (?, ?, ?)";
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, sizeof(sql), &statement, NULL) != SQLITE_OK)
        return sqlite_fail(db, "add a worker", err);
    sqlite3_bind_text(statement, 1, worker->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, worker->spec, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, worker->created_ms);
    return sqlite_run(db, statement, "add a worker", err);
}

/* The tables' own checks have seen to lengths; a file that was tampered with has not. */
static int read_worker(sqlite3_stmt *row, struct store_worker *worker, struct err *err)
{
    const char *name = (const char *)sqlite3_column_text(row, 0);
    const char *spec = (const char *)sqlite3_column_text(row, 1);
    *worker = (struct store_worker){
        .created_ms = sqlite3_column_int64(row, 2),
        .draining = sqlite3_column_int(row, 3) != 0,
    };
    if (!name || !str_format(worker->name, sizeof(worker->name), "%s", name) || !spec ||
        !str_format(worker->spec, sizeof(worker->spec), "%s", spec))
        return err_set(err, ERR_INTERNAL, "store: list the workers: %.41s breaks its own rules",
                       name ? name : "?");
    return 0;
}

int sqlite_list_workers(sqlite3 *db, struct store_worker **list, size_t *count, struct err *err)
{
    static const char sql[] =
        "SELECT name, max(spec), max(created_ms) AS created, max(draining) FROM"
        " (SELECT name, spec, created_ms, 0 AS draining FROM worker"
        "  UNION ALL SELECT name, '', 0, 1 FROM drained_worker)"
        " GROUP BY name ORDER BY created, name";
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db, sql, sizeof(sql), &row, NULL) != SQLITE_OK)
        return sqlite_fail(db, "list the workers", err);
    cleanup_free struct store_worker *workers = NULL;
    size_t len = 0, room = 0;
    int status, rc = 0;
    while (rc == 0 && (status = sqlite3_step(row)) == SQLITE_ROW) {
        if (len == room) {
            room = room ? 2 * room : 16;
            workers = mem_realloc(workers, room * sizeof(*workers));
        }
        rc = read_worker(row, &workers[len++], err);
    }
    if (rc == 0 && status != SQLITE_DONE)
        rc = sqlite_fail(db, "list the workers", err);
    sqlite3_finalize(row);
    if (rc != 0)
        return -1;
    *list = steal_ptr(workers);
    *count = len;
    return 0;
}

/* Runs a statement whose one parameter is a name. */
static int run_named(sqlite3 *db, const char *sql, const char *name, const char *doing,
                     struct err *err)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_fail(db, doing, err);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    return sqlite_run(db, statement, doing, err);
}

/* Should the second statement fail, the worker is gone and its drain mark stays, which does no harm
 * before another worker of that name is added.
 */
int sqlite_delete_worker(sqlite3 *db, const char *name, struct err *err)
{
    if (run_named(db, "DELETE FROM worker WHERE name = ?", name, "delete a worker", err) != 0)
        return -1;
    if (sqlite3_changes(db) == 0)
        return err_set(err, ERR_NOT_FOUND, "store: there is no worker %s", name);
    return run_named(db, "DELETE FROM drained_worker WHERE name = ?", name, "delete a worker", err);
}

int sqlite_drain_worker(sqlite3 *db, const char *name, bool draining, struct err *err)
{
    return run_named(db,
                     draining ? "INSERT OR IGNORE INTO drained_worker (name) VALUES (?)"
                              : "DELETE FROM drained_worker WHERE name = ?",
                     name, "drain a worker", err);
}
