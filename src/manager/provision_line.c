#include "provision_line.h"

#include "../common/mask.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <string.h>

#define FIELDS_MAX 5

static size_t split(char *line, char *fields[FIELDS_MAX])
{
    size_t count = 0;
    for (char *at = line; at && count < FIELDS_MAX;)
        fields[count++] = strsep(&at, "\t");
    for (size_t i = count; i < FIELDS_MAX; i++)
        fields[i] = line + strlen(line);
    return count;
}

static void take_check(struct provision *provision, char *fields[FIELDS_MAX])
{
    static const char *const levels[] = {"ok", "warn", "bad"};
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        known |= strcmp(fields[2], levels[i]) == 0;
    if (!known || provision->checks_len == PROVISION_CHECKS_MAX)
        return;
    struct provision_check *check = &provision->checks[provision->checks_len++];
    str_format(check->name, sizeof(check->name), "%s", fields[1]);
    str_format(check->level, sizeof(check->level), "%s", fields[2]);
    mask_secrets(fields[3], check->text, sizeof(check->text));
    str_format(check->fix, sizeof(check->fix), "%s",
               fields[4]); /* a command: whole, or of no use */
}

/* They become part of a script: nothing but what a package's name may hold. */
static bool names_valid(const char *names)
{
    return names[strspn(names, "abcdefghijklmnopqrstuvwxyz0123456789+-. ")] == '\0' &&
           names[0] != '-' && !strstr(names, " -");
}

static void take_fact(struct provision_facts *facts, const char *name, const char *value)
{
    if (strcmp(name, "root") == 0) {
        facts->root = strcmp(value, "yes") == 0;
        facts->sudo = strcmp(value, "sudo") == 0;
    } else if (strcmp(name, "missing") == 0 && names_valid(value) &&
               strlen(value) <= PROVISION_MISSING_MAX) {
        strcpy(facts->missing, value);
    }
}

void provision_line(struct provision *provision, struct provision_facts *facts, const char *line,
                    void (*sum)(const char *file, const char *hash, void *data), void *data)
{
    char *fields[FIELDS_MAX];
    cleanup_free char *copy = mem_strdup(line);
    if (split(copy, fields) < 2)
        return;
    if (strcmp(fields[0], "check") == 0)
        take_check(provision, fields);
    else if (strcmp(fields[0], "fact") == 0)
        take_fact(facts, fields[1], fields[2]);
    else if (strcmp(fields[0], "sum") == 0)
        sum(fields[1], fields[2], data);
    else if (strcmp(fields[0], "step") == 0)
        mask_secrets(fields[1], provision->step, sizeof(provision->step));
    else if (strcmp(fields[0], "failed") == 0)
        mask_secrets(fields[1], facts->failed, sizeof(facts->failed));
}

/* What prepare.sh and start.sh see to. */
static bool mended_by_install(const struct provision_check *check)
{
    return strcmp(check->name, "packages") == 0 || strcmp(check->name, "worker") == 0;
}

const struct provision_check *provision_obstacle(const struct provision *provision, bool fixable)
{
    for (size_t i = 0; i < provision->checks_len; i++) {
        const struct provision_check *check = &provision->checks[i];
        if (strcmp(check->level, "bad") == 0 && !(fixable && mended_by_install(check)))
            return check;
    }
    return NULL;
}
