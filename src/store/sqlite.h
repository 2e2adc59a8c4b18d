/* The SQL behind the store's verbs. Every function blocks; one thread at a time may use db. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store.h"

#include <sqlite3.h>

/* As store_open. The caller closes *db with sqlite_close. */
int sqlite_open(const char *path, sqlite3 **db, struct err *err);
void sqlite_close(sqlite3 *db);

/* As the verbs of store.h. The list is malloc'ed and the caller's. */
int sqlite_add_token(sqlite3 *db, const struct token *token, struct err *err);
int sqlite_list_tokens(sqlite3 *db, struct token **list, size_t *count, struct err *err);
int sqlite_delete_token(sqlite3 *db, const char *id, struct err *err);
int sqlite_read_identity(sqlite3 *db, char id[MANAGER_ID_LEN + 1], struct err *err);
int sqlite_add_worker(sqlite3 *db, const struct store_worker *worker, struct err *err);
int sqlite_list_workers(sqlite3 *db, struct store_worker **list, size_t *count, struct err *err);
int sqlite_delete_worker(sqlite3 *db, const char *name, struct err *err);
int sqlite_drain_worker(sqlite3 *db, const char *name, bool draining, struct err *err);

/* For the files that hold the statements: db's last error as ours, and a statement that returns no
 * row, run and finalized.
 */
int sqlite_fail(sqlite3 *db, const char *doing, struct err *err);
int sqlite_run(sqlite3 *db, sqlite3_stmt *statement, const char *doing, struct err *err);

#endif
