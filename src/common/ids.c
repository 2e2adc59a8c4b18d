#include "ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void random_bytes(unsigned char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(bytes, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            abort();
        bytes += got;
        len -= (size_t)got;
    }
}

bool id_name_valid(const char *name)
{
    if (name[0] < 'a' || name[0] > 'z')
        return false;
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return name[len] == '\0' && len <= NAME_MAX_LEN;
}

bool id_manager_valid(const char *id)
{
    return strspn(id, "0123456789abcdef") == MANAGER_ID_LEN && id[MANAGER_ID_LEN] == '\0';
}

void id_runner_name(char name[NAME_MAX_LEN + 1])
{
    /* Letters that look alike (l, o) and those that make words (i, u) are left out. */
    static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char bytes[8];
    random_bytes(bytes, sizeof(bytes));
    memcpy(name, "cr-", 3);
    for (size_t i = 0; i < sizeof(bytes); i++)
        name[3 + i] = alphabet[bytes[i] % 32];
    name[3 + sizeof(bytes)] = '\0';
}

void id_random_hex(char *hex, size_t len)
{
    unsigned char bytes[32];
    for (size_t i = 0; i < len; i++) {
        if (i % sizeof(bytes) == 0)
            random_bytes(bytes, sizeof(bytes));
        hex[i] = "0123456789abcdef"[bytes[i % sizeof(bytes)] & 15];
    }
    hex[len] = '\0';
}
