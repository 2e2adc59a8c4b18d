#include "tokens.h"

#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/ids.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "cl_"
#define RANDOM_DIGITS 40
#define FILE_OWNER "admin"

_Static_assert(sizeof(PREFIX) - 1 + RANDOM_DIGITS == TOKEN_TEXT_LEN, "a token's text");

struct tokens {
    struct store *store;
    int64_t (*wall_ms)(void);
    EVP_MD *sha256; /* fetched once: a fetch by name costs more than the hash */
    EVP_MD_CTX *context;
    struct token **sorted; /* by hash */
    size_t count;
};

/* What a callback of the store leaves for the caller of store_wait. */
struct answer {
    bool failed;
    struct err err;
    struct tokens *tokens;
};

static int by_hash(const void *a, const void *b)
{
    const struct token *const *left = a, *const *right = b;
    return memcmp((*left)->hash, (*right)->hash, TOKEN_HASH_LEN);
}

static void insert(struct tokens *tokens, const struct token *token)
{
    struct token *copy = mem_new(struct token);
    *copy = *token;
    tokens->sorted = mem_realloc(tokens->sorted, (tokens->count + 1) * sizeof(tokens->sorted[0]));
    tokens->sorted[tokens->count++] = copy;
    qsort(tokens->sorted, tokens->count, sizeof(tokens->sorted[0]), by_hash);
}

static void drop(struct tokens *tokens, size_t index)
{
    free(tokens->sorted[index]);
    tokens->count--;
    memmove(&tokens->sorted[index], &tokens->sorted[index + 1],
            (tokens->count - index) * sizeof(tokens->sorted[0]));
}

static bool well_formed(const char *text, size_t len)
{
    if (len != TOKEN_TEXT_LEN || memcmp(text, PREFIX, sizeof(PREFIX) - 1) != 0)
        return false;
    for (size_t i = sizeof(PREFIX) - 1; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static void hash_text(struct tokens *tokens, const char *text, unsigned char *hash)
{
    if (EVP_DigestInit_ex2(tokens->context, tokens->sha256, NULL) != 1 ||
        EVP_DigestUpdate(tokens->context, text, TOKEN_TEXT_LEN) != 1 ||
        EVP_DigestFinal_ex(tokens->context, hash, NULL) != 1)
        mem_exhausted(); /* nothing else makes SHA-256 fail once it was fetched */
}

static void on_loaded(const struct token *list, size_t count, const struct err *err, void *data)
{
    struct answer *answer = data;
    if (err) {
        answer->failed = true;
        answer->err = *err;
        return;
    }
    for (size_t i = 0; i < count; i++)
        insert(answer->tokens, &list[i]);
}

static void on_done(const struct err *err, void *data)
{
    struct answer *answer = data;
    if (err) {
        answer->failed = true;
        answer->err = *err;
    }
}

struct tokens *tokens_create(struct store *store, struct err *err)
{
    struct tokens *tokens = mem_new(struct tokens);
    tokens->store = store;
    tokens->wall_ms = clock_wall_ms;
    tokens->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    tokens->context = EVP_MD_CTX_new();
    struct answer answer = {.tokens = tokens};
    if (!tokens->sha256 || !tokens->context) {
        err_set(err, ERR_INTERNAL, "libcrypto has no SHA-256");
        tokens_destroy(tokens);
        return NULL;
    }
    store_list_tokens(store, on_loaded, &answer);
    store_wait(store);
    if (answer.failed) {
        if (err)
            *err = answer.err;
        tokens_destroy(tokens);
        return NULL;
    }
    return tokens;
}

void tokens_destroy(struct tokens *tokens)
{
    if (!tokens)
        return;
    for (size_t i = 0; i < tokens->count; i++)
        free(tokens->sorted[i]);
    free(tokens->sorted);
    EVP_MD_CTX_free(tokens->context);
    EVP_MD_free(tokens->sha256);
    free(tokens);
}

void tokens_set_wall(struct tokens *tokens, int64_t (*wall_ms)(void))
{
    tokens->wall_ms = wall_ms;
}

/* The search goes by the first bytes of the hash, and how long it takes tells nothing that leads to
 * a text: who guesses cannot choose the hash. The whole hash is then compared in constant time.
 */
const struct token *tokens_check(struct tokens *tokens, const char *text, size_t len)
{
    if (!well_formed(text, len))
        return NULL;
    unsigned char hash[TOKEN_HASH_LEN];
    hash_text(tokens, text, hash);
    size_t low = 0, high = tokens->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(tokens->sorted[middle]->hash, hash, 8) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct token *found = NULL;
    for (; low < tokens->count && memcmp(tokens->sorted[low]->hash, hash, 8) == 0; low++)
        if (CRYPTO_memcmp(tokens->sorted[low]->hash, hash, sizeof(hash)) == 0)
            found = tokens->sorted[low];
    if (found && found->expires_ms != 0 && found->expires_ms <= tokens->wall_ms())
        return NULL;
    return found;
}

/* The admin token whose text the file holds; NULL when it holds anything else or is not there. */
static int check_file(struct tokens *tokens, const char *path, const struct token **found,
                      struct err *err)
{
    char text[TOKEN_TEXT_LEN + 3];
    *found = NULL;
    ssize_t len = fd_read_file(AT_FDCWD, path, text, sizeof(text));
    if (len < 0 && (errno == ENOENT || errno == EFBIG))
        return 0;
    if (len < 0)
        return err_sys(err, ERR_INTERNAL, errno, "the admin token's file %s", path);
    if (len > 0 && text[len - 1] == '\n')
        len--;
    const struct token *token = tokens_check(tokens, text, (size_t)len);
    OPENSSL_cleanse(text, sizeof(text));
    if (token && token->role == TOKEN_ADMIN)
        *found = token;
    return 0;
}

/* The other tokens that were made for the file: their texts are lost. */
static int revoke_lost(struct tokens *tokens, const char *kept_id, struct err *err)
{
    for (size_t i = tokens->count; i-- > 0;) {
        const struct token *token = tokens->sorted[i];
        if (!token->from_file || strcmp(token->id, kept_id) == 0)
            continue;
        struct answer answer = {0};
        store_delete_token(tokens->store, token->id, on_done, &answer);
        store_wait(tokens->store);
        if (answer.failed && answer.err.code != ERR_NOT_FOUND) {
            *err = answer.err;
            return -1;
        }
        drop(tokens, i);
    }
    return 0;
}

static int add_and_write(struct tokens *tokens, const char *path, char line[TOKEN_TEXT_LEN + 2],
                         struct token *token, struct err *err)
{
    *token = (struct token){
        .owner = FILE_OWNER,
        .role = TOKEN_ADMIN,
        .from_file = true,
        .created_ms = tokens->wall_ms(),
    };
    memcpy(line, PREFIX, sizeof(PREFIX) - 1);
    id_random_hex(line + sizeof(PREFIX) - 1, RANDOM_DIGITS);
    id_random_hex(token->id, TOKEN_ID_LEN);
    hash_text(tokens, line, token->hash);
    memcpy(line + TOKEN_TEXT_LEN, "\n", 2);
    struct answer answer = {0};
    store_add_token(tokens->store, token, on_done, &answer);
    store_wait(tokens->store);
    if (answer.failed) {
        *err = answer.err;
        return -1;
    }
    insert(tokens, token);
    return fd_replace_file(path, line, TOKEN_TEXT_LEN + 1, 0600, true, err);
}

/* First the new hash, then the file, then the old hashes go: wherever it stops, the file holds a
 * token that works or none, and what is left over in the store is revoked next time.
 */
int tokens_ensure_admin(struct tokens *tokens, const char *path, struct err *err)
{
    struct err own;
    err = err ? err : &own;
    const struct token *found;
    if (check_file(tokens, path, &found, err) != 0)
        return -1;
    if (found)
        return revoke_lost(tokens, found->id, err);
    char line[TOKEN_TEXT_LEN + 2];
    struct token token;
    int rc = add_and_write(tokens, path, line, &token, err);
    OPENSSL_cleanse(line, sizeof(line));
    if (rc != 0)
        return err_context(err, "cannot make the admin token");
    return revoke_lost(tokens, token.id, err);
}
