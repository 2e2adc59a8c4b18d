#include "glob.h"

#include <stddef.h>
#include <string.h>

bool glob_is_pattern(const char *text)
{
    return text[strcspn(text, "*?[\\")] != '\0';
}

/* One character of a bracket expression; NULL when the pattern ends there. */
static const char *take_one(const char *at, unsigned char *one)
{
    if (at[0] == '\\' && at[1])
        at++;
    *one = (unsigned char)at[0];
    return at[0] ? at + 1 : NULL;
}

/* at: behind the bracket. Returns what follows the closing one, NULL when there is none: then the
 * bracket stands for itself.
 */
static const char *match_bracket(const char *at, unsigned char byte, bool *matches)
{
    bool negated = at[0] == '!' || at[0] == '^', found = false;
    const char *first = at += negated;
    while (at[0] != ']' || at == first) {
        unsigned char low, high;
        at = take_one(at, &low);
        if (!at)
            return NULL;
        high = low;
        if (at[0] == '-' && at[1] && at[1] != ']') {
            at = take_one(at + 1, &high);
            if (!at)
                return NULL;
        }
        found = found || (low <= byte && byte <= high);
    }
    *matches = found != negated;
    return at + 1;
}

/* What follows the pattern's first part, which is no star, when it matches; else NULL. */
static const char *match_one(const char *pattern, unsigned char byte)
{
    bool matches = false;
    const char *rest = pattern[0] == '[' ? match_bracket(pattern + 1, byte, &matches) : NULL;
    if (rest)
        return matches ? rest : NULL;
    if (pattern[0] == '?')
        return pattern + 1;
    if (pattern[0] == '\\' && pattern[1])
        pattern++;
    return (unsigned char)pattern[0] == byte ? pattern + 1 : NULL;
}

bool glob_match(const char *pattern, const char *name)
{
    const char *retry = NULL, *retry_name = NULL; /* behind the last star */
    if (name[0] == '.' && pattern[0] != '.' && !(pattern[0] == '\\' && pattern[1] == '.'))
        return false;
    while (name[0]) {
        if (pattern[0] == '*') {
            retry = ++pattern;
            retry_name = name;
            continue;
        }
        const char *rest = pattern[0] ? match_one(pattern, (unsigned char)name[0]) : NULL;
        if (!rest && !retry)
            return false;
        pattern = rest ? rest : retry;
        name = rest ? name + 1 : ++retry_name;
    }
    return pattern[strspn(pattern, "*")] == '\0';
}
