#include "version.h"

#include "mem.h"

#include <string.h>

#define NUMBER_MAX 999999u

static bool take_number(const char **text, unsigned *number)
{
    size_t digits = strspn(*text, "0123456789");
    *number = 0;
    if (digits == 0 || (digits > 1 && **text == '0'))
        return false;
    for (; digits > 0; digits--, (*text)++) {
        *number = *number * 10 + (unsigned)(**text - '0');
        if (*number > NUMBER_MAX)
            return false;
    }
    return true;
}

bool version_parse(const char *text, struct version *version)
{
    const char *blank = strrchr(text, ' ');
    const char *at = blank ? blank + 1 : text;
    for (size_t i = 0; i < ARRAY_LEN(version->numbers); i++) {
        if ((i > 0 && *at++ != '.') || !take_number(&at, &version->numbers[i]))
            return false;
    }
    return *at == '\0' || ((*at == '-' || *at == '+') && at[1] != '\0');
}

int version_compare(const struct version *a, const struct version *b)
{
    for (size_t i = 0; i < ARRAY_LEN(a->numbers); i++)
        if (a->numbers[i] != b->numbers[i])
            return a->numbers[i] < b->numbers[i] ? -1 : 1;
    return 0;
}
