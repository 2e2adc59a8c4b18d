#include "mask.h"

#include "mem.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MASK "***"

/* Shorter ones are words and names (diffie-hellman-group-exchange-sha256); a private key's lines
 * have 64 to 70, our tokens 43.
 */
#define SECRET_LEN_MIN 40

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
#define BLANKS " \t"
#define FINGERPRINT "SHA256:"

struct out {
    char *text;
    size_t room, len;
};

/* All of it or nothing. */
static bool put(struct out *out, const char *text, size_t len)
{
    if (len >= out->room - out->len)
        return false;
    memcpy(out->text + out->len, text, len);
    out->len += len;
    return true;
}

/* The length of "user:password" in "scheme://user:password@host", text being after "://"; else 0.
 */
static size_t userinfo(const char *text)
{
    size_t len = strcspn(text, "/?#\"'" BLANKS);
    const char *at = memrchr(text, '@', len);
    return at ? (size_t)(at - text) : 0;
}

/* The length of "password=" and the like at text, with blanks after it; 0: none is there. */
static size_t introduction(const char *text, bool *whole_line)
{
    static const struct {
        const char *word;
        bool whole_line;
    } words[] = {
        {"password", false}, {"passwd", false},  {"passphrase", false},   {"secret", false},
        {"token", false},    {"api-key", false}, {"api_key", false},      {"apikey", false},
        {"bearer", false},   {"cookie", true},   {"authorization", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i].word);
        if (strncasecmp(text, words[i].word, len) != 0)
            continue;
        *whole_line = words[i].whole_line;
        size_t blanks = strspn(text + len, BLANKS), after = len + blanks;
        if (text[after] == ':' || text[after] == '=')
            return after + 1 + strspn(text + after + 1, BLANKS);
        if (blanks > 0 && strcasecmp(words[i].word, "bearer") == 0)
            return after;
    }
    return 0;
}

/* Whether a run that begins at text is too long to be anything but a key. Of a path the folders
 * count one by one.
 */
static bool is_key(const char *text, size_t len)
{
    if (text[0] != '/')
        return len >= SECRET_LEN_MIN;
    for (const char *at = text, *end = text + len; at < end; at++) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t part = (size_t)((slash ? slash : end) - at);
        if (part >= SECRET_LEN_MIN)
            return true;
        at += part;
    }
    return false;
}

/* The length of what was introduced: a quoted text, or a word. */
static size_t secret_at(const char *text)
{
    if (text[0] != '"' && text[0] != '\'')
        return strcspn(text, BLANKS ",;&");
    const char *end = strchr(text + 1, text[0]);
    return end ? (size_t)(end - text) + 1 : strlen(text);
}

/* The length of a secret at text, after *before bytes that may be seen; 0: none is there. */
static size_t find_secret(const char *text, size_t *before)
{
    bool whole_line = false;
    *before = introduction(text, &whole_line);
    if (*before > 0)
        return whole_line ? strlen(text + *before) : secret_at(text + *before);
    if (strncmp(text, "://", 3) == 0) {
        *before = 3;
        return userinfo(text + 3);
    }
    return 0;
}

void mask_secrets(const char *line, char *masked, size_t room)
{
    struct out out = {.text = masked, .room = room};
    const char *plain = line; /* what is before it has been seen to be no key */
    for (const char *text = line; *text;) {
        size_t before, len = find_secret(text, &before);
        if (len == 0 && text >= plain) {
            size_t run = strspn(text, BASE64);
            before = 0;
            if (is_key(text, run))
                len = run;
            plain = text + run;
            if (strncmp(text, FINGERPRINT, strlen(FINGERPRINT)) == 0)
                plain += 1 + strspn(plain + 1, BASE64);
        }
        if (len == 0 && !put(&out, text, 1))
            break;
        if (len > 0 && (!put(&out, text, before) || !put(&out, MASK, strlen(MASK))))
            break;
        text += len > 0 ? before + len : 1;
    }
    masked[out.len] = '\0';
}
