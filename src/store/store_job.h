/* A verb on its way to the store's thread and back: for the files of the store alone. */
#ifndef STORE_STORE_JOB_H
#define STORE_STORE_JOB_H

#include "sqlite.h"

struct job {
    struct job *next;
    void (*work)(struct job *job, sqlite3 *db);
    void (*answer)(const struct job *job, const struct err *err);
    union {
        store_done_cb done;
        store_tokens_cb tokens;
        store_workers_cb workers;
        store_identity_cb identity;
    } cb;
    void *data;
    bool failed;
    struct err err;
    struct token token;         /* what to add, or the id of what to delete */
    struct token *list;         /* what was found */
    struct store_worker worker; /* what to add, or the name of what to delete or drain */
    struct store_worker *workers;
    size_t count;
    char identity[MANAGER_ID_LEN + 1];
};

/* Takes job. */
void store_post(struct store *store, struct job *job);

/* The answer of a verb that only succeeds or fails. */
void store_answer_plain(const struct job *job, const struct err *err);

#endif
