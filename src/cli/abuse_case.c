#include "abuse_case.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* Lines that begin so, at the start of the file, are the case's row; all is handed to the program's
 * language, for which they are comments.
 */
#define MARK "#: "
#define MARK_OF_C "//: "

#define LINE_MAX_BYTES 4096

#define CASES_MAX 512

enum kind { TEXT, NUMBER, FLAG, OBJECT, OBJECTS };

static const struct field {
    const char *key;
    enum kind kind;
    bool required;
    size_t offset, room; /* of text: what it may hold, with its NUL */
    int64_t least, most; /* of a number */
} fields[] = {
#define MEMBER(name) offsetof(struct abuse_case, name)
#define ROOM(name) sizeof(((struct abuse_case *)NULL)->name)
    {"group", TEXT, true, MEMBER(group), ROOM(group), 0, 0},
    {"tries", TEXT, true, MEMBER(tries), ROOM(tries), 0, 0},
    {"holds", TEXT, true, MEMBER(holds), ROOM(holds), 0, 0},
    {"status", TEXT, true, MEMBER(statuses), ROOM(statuses), 0, 0},
    {"says-held", FLAG, false, MEMBER(says_held), 0, 0, 0},
    {"truncated", FLAG, false, MEMBER(truncated), 0, 0, 0},
    {"time-ms", NUMBER, false, MEMBER(time_ms), 0, 1, 60000},
    {"memory-mib", NUMBER, false, MEMBER(memory_mib), 0, 4, 2048},
    {"stdin-bytes", NUMBER, false, MEMBER(stdin_bytes), 0, 1, 3500000},
    {"stream-bytes", NUMBER, false, MEMBER(stream_bytes), 0, 1, 1 << 30},
    {"optional", FLAG, false, MEMBER(optional), 0, 0, 0},
    {"request", OBJECT, false, MEMBER(request), 0, 0, 0},
    {"refused", OBJECTS, false, MEMBER(refused), 0, 0, 0},
    {"collected", TEXT, false, MEMBER(collected), ROOM(collected), 0, 0},
    {"runs", NUMBER, false, MEMBER(runs), 0, 1, ABUSE_RUNS_MAX},
};

static int set_object(json_t **member, enum kind kind, const char *key, const char *value,
                      struct err *err)
{
    json_t *object = json_parse_object(value, strlen(value), true, err);
    if (!object)
        return err_context(err, "%s", key);
    if (kind == OBJECT) {
        *member = object;
        return 0;
    }
    if (!*member)
        *member = json_array();
    json_array_append_new(*member, object);
    return json_array_size(*member) <= ABUSE_REFUSED_MAX
               ? 0
               : err_set(err, ERR_BAD_REQUEST, "%s: comes more than %d times", key,
                         ABUSE_REFUSED_MAX);
}

static int set(struct abuse_case *abuse, const struct field *field, const char *value,
               struct err *err)
{
    void *member = (char *)abuse + field->offset;
    switch (field->kind) {
    case TEXT:
        if (!value[0] || !str_format(member, field->room, "%s", value))
            return err_set(err, ERR_BAD_REQUEST, "%s: must have 1 to %zu bytes", field->key,
                           field->room - 1);
        return 0;
    case NUMBER:
        if (!str_to_int(value, field->least, field->most, member))
            return err_set(err, ERR_BAD_REQUEST, "%s: must be a number, %lld to %lld", field->key,
                           (long long)field->least, (long long)field->most);
        return 0;
    case OBJECT:
    case OBJECTS:
        return set_object(member, field->kind, field->key, value, err);
    default:
        if (strcmp(value, "yes") != 0)
            return err_set(err, ERR_BAD_REQUEST, "%s: can be \"yes\" alone", field->key);
        *(bool *)member = true;
        return 0;
    }
}

/* "key value" */
static int read_line(struct abuse_case *abuse, char *line, unsigned *seen, struct err *err)
{
    char *value = line;
    const char *key = strsep(&value, " ");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(fields[i].key, key) != 0)
            continue;
        if (*seen >> i & 1 && fields[i].kind != OBJECTS)
            return err_set(err, ERR_BAD_REQUEST, "%s: comes twice", key);
        *seen |= 1U << i;
        return set(abuse, &fields[i], value ? value : "", err);
    }
    return err_set(err, ERR_BAD_REQUEST, "\"%.40s\" is no key", key);
}

static int read_row(struct abuse_case *abuse, struct err *err)
{
    unsigned seen = 0;
    int number = 0;
    const char *at = abuse->program;
    const char *mark = strcmp(abuse->language, "c") == 0 ? MARK_OF_C : MARK;
    for (; str_starts_with(at, mark); at += strcspn(at, "\n"), at += *at == '\n') {
        char line[LINE_MAX_BYTES];
        struct err why;
        number++;
        if (!str_format(line, sizeof(line), "%.*s", (int)strcspn(at, "\n") - (int)strlen(mark),
                        at + strlen(mark)))
            return err_set(err, ERR_BAD_REQUEST, "line %d: longer than %zu bytes", number,
                           sizeof(line));
        if (read_line(abuse, line, &seen, &why) != 0)
            return err_set(err, ERR_BAD_REQUEST, "line %d: %s", number, why.msg);
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].required && !(seen >> i & 1))
            return err_set(err, ERR_BAD_REQUEST, "%s: is missing", fields[i].key);
    return 0;
}

static int name_it(struct abuse_case *abuse, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    if (!dot || !str_format(abuse->name, sizeof(abuse->name), "%.*s", (int)(dot - name), name) ||
        !str_format(abuse->language, sizeof(abuse->language), "%s", dot + 1))
        return err_set(err, ERR_BAD_REQUEST, "its name is too long");
    return 0;
}

int abuse_case_read(struct abuse_case *abuse, const char *path, struct err *err)
{
    struct err why;
    *abuse = (struct abuse_case){.runs = 1};
    abuse->program = mem_calloc(1, ABUSE_PROGRAM_MAX);
    if (fd_read_file(AT_FDCWD, path, abuse->program, ABUSE_PROGRAM_MAX) < 0) {
        err_sys(err, ERR_INTERNAL, errno, "%s", path);
    } else if (name_it(abuse, path, &why) != 0 || read_row(abuse, &why) != 0) {
        err_set(err, why.code, "%s: %s", path, why.msg);
    } else {
        abuse->program = mem_realloc(abuse->program, strlen(abuse->program) + 1);
        return 0;
    }
    abuse_case_finish(abuse);
    return -1;
}

void abuse_case_finish(struct abuse_case *abuse)
{
    free(abuse->program);
    json_decref(abuse->request);
    json_decref(abuse->refused);
    abuse->program = NULL;
    abuse->request = abuse->refused = NULL;
}

bool abuse_case_allows(const struct abuse_case *abuse, const char *status)
{
    size_t len = strlen(status);
    for (const char *at = abuse->statuses; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == len && memcmp(at, status, len) == 0)
            return true;
    return false;
}

static int is_case(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot && strcmp(entry->d_name, "probe.py") != 0 &&
           (strcmp(dot, ".py") == 0 || strcmp(dot, ".sh") == 0 || strcmp(dot, ".pl") == 0 ||
            strcmp(dot, ".c") == 0);
}

static int by_group(const void *a, const void *b)
{
    const struct abuse_case *one = a, *other = b;
    int groups = strcmp(one->group, other->group);
    return groups ? groups : strcmp(one->name, other->name);
}

struct abuse_case *abuse_cases_read(const char *folder, size_t *count, struct err *err)
{
    struct dirent **entries;
    int found = scandir(folder, &entries, is_case, alphasort);
    *count = 0;
    if (found < 0) {
        err_sys(err, ERR_INTERNAL, errno, "%s", folder);
        return NULL;
    }
    struct abuse_case *cases = mem_calloc(found ? (size_t)found : 1, sizeof(*cases));
    bool good = found > 0 && found <= CASES_MAX;
    if (!good)
        err_set(err, ERR_INTERNAL, "%s: holds %d cases, must hold 1 to %d", folder, found,
                CASES_MAX);
    for (int i = 0; i < found; i++) {
        char path[PATH_MAX];
        good = good && (str_format(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) ||
                        err_set(err, ERR_INTERNAL, "path too long: %s", folder) == 0);
        if (good && abuse_case_read(&cases[*count], path, err) == 0)
            (*count)++;
        else
            good = false;
        free(entries[i]);
    }
    free(entries);
    if (good) {
        qsort(cases, *count, sizeof(*cases), by_group);
        return cases;
    }
    abuse_cases_free(cases, *count);
    return NULL;
}

void abuse_cases_free(struct abuse_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        abuse_case_finish(&cases[i]);
    free(cases);
}
