/* Access tokens: "cl_" and 40 hex digits, 160 random bits. A token's text is shown once; what is
 * kept is its SHA-256. All tokens are in memory, so that a check costs microseconds and no SQL.
 */
#ifndef MANAGER_TOKENS_H
#define MANAGER_TOKENS_H

#include "../store/store.h"

#define TOKEN_TEXT_LEN 43

struct tokens;

/* Loads all tokens; blocks. store must outlive the tokens. NULL on failure. */
struct tokens *tokens_create(struct store *store, struct err *err);
void tokens_destroy(struct tokens *tokens); /* NULL is fine */

/* The token whose text this is; NULL when there is none or it has expired. Valid until
 * tokens_ensure_admin or tokens_destroy. Any bytes may be passed; nothing is logged.
 */
const struct token *tokens_check(struct tokens *tokens, const char *text, size_t len);

/* Sees to it that the file at path holds the text of an admin token that works (one line, mode
 * 0600); makes both anew when the file is missing or holds anything else, and revokes the token
 * that a lost file held. Blocks; for the start, as the user that is to own the file. A crash at any
 * point leaves a file that works, or one that the next call mends.
 */
int tokens_ensure_admin(struct tokens *tokens, const char *path, struct err *err);

/* Wall time in ms since 1970, which decides what has expired; clock_wall_ms unless set. */
void tokens_set_wall(struct tokens *tokens, int64_t (*wall_ms)(void));

#endif
