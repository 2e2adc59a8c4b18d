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

#endif
