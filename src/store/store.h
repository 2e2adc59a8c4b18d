/* The store: what the manager must not forget, in one SQLite file, on a thread of its own.
 *
 * A verb is posted and answered on the uv loop; the loop never waits for a disk. What a verb has
 * answered is on the disk. There is no table of functions and no second implementation: tests open
 * ":memory:", the same SQL with the same constraints, where a hand-written fake would drift.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "../common/err.h"
#include "../common/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct store;

/* Verbs that may wait for the thread; one more is answered ERR_NOT_AVAILABLE. */
#define STORE_QUEUE_MAX 4096

#define TOKEN_ID_LEN 16
#define TOKEN_OWNER_MAX 64
#define TOKEN_HASH_LEN 32

enum token_role { TOKEN_USER, TOKEN_ADMIN };

struct token {
    char id[TOKEN_ID_LEN + 1]; /* names the token where its text must not appear */
    char owner[TOKEN_OWNER_MAX + 1];
    enum token_role role;
    bool from_file;                     /* made at start; its text is in the admin token's file */
    int64_t created_ms, expires_ms;     /* since 1970; expires_ms 0: never */
    unsigned char hash[TOKEN_HASH_LEN]; /* SHA-256 of the text, which is kept nowhere */
};

#define STORE_WORKER_NAME_MAX 41
#define STORE_WORKER_SPEC_MAX 4096

struct store_worker {
    char name[STORE_WORKER_NAME_MAX + 1];
    char spec[STORE_WORKER_SPEC_MAX + 1]; /* JSON; "" for one that is only drained here */
    bool draining;
    int64_t created_ms; /* since 1970 */
};

/* Opens the file at path, makes it when it is missing, and brings its schema up to date in one
 * transaction; blocks. When root makes it, it is given to its folder's owner. Fails, with the file
 * as it was, when a newer program wrote it, when it is no store or damaged (then with advice), or
 * when it cannot be written. NULL on failure.
 */
struct store *store_open(const char *path, uv_loop_t *loop, struct err *err);

/* Carries out what was posted, closes the file; blocks as long. No callback fires from now on. May
 * be called inside one. The memory goes in the loop's next turn. NULL is fine.
 */
void store_destroy(struct store *store);

/* Blocks until all that was posted is done, and fires its callbacks before it returns: for the
 * start of a program, before its loop runs. Not to be called inside a callback.
 */
void store_wait(struct store *store);

/* Callbacks fire exactly once unless the store is destroyed first, from the loop or store_wait,
 * never before the verb has returned, in the order in which verbs were posted. err is NULL when it
 * went well; when not, nothing was changed.
 */
typedef void (*store_done_cb)(const struct err *err, void *data);
typedef void (*store_tokens_cb)(const struct token *tokens, size_t count, const struct err *err,
                                void *data);
typedef void (*store_workers_cb)(const struct store_worker *workers, size_t count,
                                 const struct err *err, void *data);

/* Which manager this is: made with the store, and never another. id is valid during the callback
 * only, NULL when err is not.
 */
typedef void (*store_identity_cb)(const char *id, const struct err *err, void *data);
void store_read_identity(struct store *store, store_identity_cb done, void *data);

/* token is copied. ERR_NAME_TAKEN when its id or its hash is there already. */
void store_add_token(struct store *store, const struct token *token, store_done_cb done,
                     void *data);

/* All tokens, oldest first; tokens is valid during the callback only. */
void store_list_tokens(struct store *store, store_tokens_cb done, void *data);

/* ERR_NOT_FOUND when there is none of that id. */
void store_delete_token(struct store *store, const char *id, store_done_cb done, void *data);

/* worker is copied; its `draining` is not looked at. ERR_NAME_TAKEN when there is one already. */
void store_add_worker(struct store *store, const struct store_worker *worker, store_done_cb done,
                      void *data);

/* All that were added or are drained, those first that were added first; valid during the callback
 * only.
 */
void store_list_workers(struct store *store, store_workers_cb done, void *data);

/* Forgets also that it is drained. ERR_NOT_FOUND when it was not added here. */
void store_delete_worker(struct store *store, const char *name, store_done_cb done, void *data);

/* The worker need not have been added here. */
void store_drain_worker(struct store *store, const char *name, bool draining, store_done_cb done,
                        void *data);

#endif
