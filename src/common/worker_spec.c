#include "worker_spec.h"

#include "json.h"
#include "mem.h"
#include "str.h"

#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define KEY_PREFIX "SHA256:"

/* A word of which ssh makes nothing but what it says: it begins with no '-', and has none of the
 * letters that ssh expands or splits at (% $ ~ : \ and blanks).
 */
static bool plain(const char *text, const char *also)
{
    size_t len = strspn(text, LETTERS DIGITS);
    while (text[len] && (strchr(also, text[len]) || strchr(LETTERS DIGITS, text[len])))
        len++;
    return text[0] != '-' && text[len] == '\0';
}

static bool copy(char *field, size_t room, const char *text, size_t len)
{
    if (len >= room)
        return false;
    memcpy(field, text, len);
    field[len] = '\0';
    return true;
}

/* [user@]host[:port] or [user@][v6-address]:port, of len bytes. */
static int parse_target(const char *text, size_t len, struct worker_spec *spec, const char *key,
                        struct err *err)
{
    char word[WORKER_TARGET_MAX];
    if (!copy(word, sizeof(word), text, len))
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %d characters", key,
                       WORKER_TARGET_MAX - 1);
    char *at = strrchr(word, '@'), *host = at ? at + 1 : word;
    if (at)
        *at = '\0';
    char *end = NULL; /* of the host; what follows is its port */
    bool bracketed = host[0] == '[';
    if (bracketed && (end = strchr(++host, ']')))
        *end++ = '\0';
    else if (!bracketed)
        end = host + strcspn(host, ":");
    if (!end || (*end && *end != ':'))
        return err_set(err, ERR_BAD_REQUEST, "%s: \"%.60s\" is not [user@]host[:port]", key, text);
    const char *port = *end ? end + 1 : NULL;
    *end = '\0';
    if (at && (word[0] == '\0' || strlen(word) > WORKER_USER_MAX || !plain(word, "._-")))
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: the user must be 1..%d of letters, digits and ._- and not begin with -",
                       key, WORKER_USER_MAX);
    if (host[0] == '\0' || strlen(host) > WORKER_HOST_MAX || !plain(host, bracketed ? ":." : "._-"))
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: the host must be 1..%d of letters, digits and ._- and not begin with -",
                       key, WORKER_HOST_MAX);
    spec->port = 0;
    if (port && !str_to_int(port, 1, 65535, &spec->port))
        return err_set(err, ERR_BAD_REQUEST, "%s: the port must be 1..65535", key);
    copy(spec->user, sizeof(spec->user), at ? word : "", at ? strlen(word) : 0);
    copy(spec->host, sizeof(spec->host), host, strlen(host));
    return 0;
}

static int set_ssh(struct worker_spec *spec, const char *key, const char *value, struct err *err)
{
    return parse_target(value, strlen(value), spec, key, err);
}

static int set_jump(struct worker_spec *spec, const char *key, const char *value, struct err *err)
{
    struct worker_spec ignored;
    for (const char *at = value;; at++) {
        size_t len = strcspn(at, ",");
        if (parse_target(at, len, &ignored, key, err) != 0)
            return -1;
        at += len;
        if (*at == '\0')
            break;
    }
    if (!copy(spec->jump, sizeof(spec->jump), value, strlen(value)))
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %d characters", key, WORKER_JUMP_MAX);
    return 0;
}

static int set_path(char *field, size_t most, const char *key, const char *value, struct err *err)
{
    if (value[0] != '/' || !plain(value, "/._-+=@,"))
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: must be an absolute path of letters, digits and /._-+=@,", key);
    if (!copy(field, most + 1, value, strlen(value)))
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %zu characters", key, most);
    return 0;
}

static int set_identity(struct worker_spec *spec, const char *key, const char *value,
                        struct err *err)
{
    return set_path(spec->identity, WORKER_PATH_MAX, key, value, err);
}

static int set_socket(struct worker_spec *spec, const char *key, const char *value, struct err *err)
{
    return set_path(spec->socket, WORKER_SOCKET_MAX, key, value, err);
}

static int set_host_key(struct worker_spec *spec, const char *key, const char *value,
                        struct err *err)
{
    size_t prefix = strlen(KEY_PREFIX);
    if (strlen(value) != WORKER_KEY_LEN || !str_starts_with(value, KEY_PREFIX) ||
        strspn(value + prefix, LETTERS DIGITS "+/") != WORKER_KEY_LEN - prefix)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: must be " KEY_PREFIX " and 43 letters of base64, as ssh-keygen -l "
                       "prints it",
                       key);
    return copy(spec->host_key, sizeof(spec->host_key), value, strlen(value)) ? 0 : -1;
}

/* One row a field: what it is called in the settings and in JSON. */
static const struct field {
    const char *key, *json;
    int (*set)(struct worker_spec *spec, const char *key, const char *value, struct err *err);
} fields[] = {
    {"ssh", "ssh", set_ssh},          {"identity", "identity", set_identity},
    {"jump", "jump", set_jump},       {"host_key", "hostKey", set_host_key},
    {"socket", "socket", set_socket},
};

bool worker_spec_init(struct worker_spec *spec, const char *name)
{
    *spec = (struct worker_spec){.socket = WORKER_SOCKET_DEFAULT};
    return id_name_valid(name) && copy(spec->name, sizeof(spec->name), name, strlen(name));
}

int worker_spec_set(struct worker_spec *spec, const char *key, const char *value, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(fields[i].key, key) == 0)
            return fields[i].set(spec, key, value, err);
    return err_set(err, ERR_BAD_REQUEST, "unknown key \"%.60s\"", key);
}

int worker_spec_check(const struct worker_spec *spec, struct err *err)
{
    if (spec->host[0] == '\0' && (spec->identity[0] || spec->jump[0] || spec->host_key[0]))
        return err_set(err, ERR_BAD_REQUEST,
                       "ssh: is missing; without it identity, jump and host_key mean nothing");
    return 0;
}

/* json_only_keys, for two lists and the name. */
static int only_known(const json_t *object, const char *const also[], struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        bool known = strcmp(key, "name") == 0;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            known |= strcmp(fields[i].json, key) == 0;
        for (size_t i = 0; also && also[i]; i++)
            known |= strcmp(also[i], key) == 0;
        if (!known)
            return err_set(err, ERR_BAD_REQUEST, "%.60s: unknown field", key);
    }
    return 0;
}

int worker_spec_parse(const json_t *object, const char *const also[], struct worker_spec *spec,
                      struct err *err)
{
    const char *name = "";
    if (only_known(object, also, err) != 0 ||
        json_get_string(object, "name", true, &name, NULL, err) != 0)
        return -1;
    if (!worker_spec_init(spec, name))
        return err_set(err, ERR_BAD_REQUEST,
                       "name: must be a letter a-z, then letters a-z, digits and -, at most %d",
                       NAME_MAX_LEN);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const char *value = NULL;
        if (json_get_string(object, fields[i].json, false, &value, NULL, err) != 0 ||
            (value && fields[i].set(spec, fields[i].json, value, err) != 0))
            return -1;
    }
    return worker_spec_check(spec, err);
}

void worker_spec_target(const struct worker_spec *spec, char target[WORKER_TARGET_MAX])
{
    bool v6 = strchr(spec->host, ':') != NULL;
    char port[8] = "";
    if (spec->port)
        str_format(port, sizeof(port), ":%d", (int)spec->port);
    if (spec->host[0])
        str_format(target, WORKER_TARGET_MAX, "%s%s%s%s%s%s", spec->user, spec->user[0] ? "@" : "",
                   v6 ? "[" : "", spec->host, v6 ? "]" : "", port);
    else
        str_format(target, WORKER_TARGET_MAX, "local");
}

json_t *worker_spec_json(const struct worker_spec *spec)
{
    char target[WORKER_TARGET_MAX];
    worker_spec_target(spec, target);
    const char *values[] = {spec->host[0] ? target : "", spec->identity, spec->jump, spec->host_key,
                            spec->socket};
    json_t *object = json_pack("{s:s}", "name", spec->name);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (values[i][0])
            json_object_set_new(object, fields[i].json, json_string(values[i]));
    return object;
}

void worker_specs_finish(struct worker_specs *specs)
{
    free(specs->items);
    *specs = (struct worker_specs){0};
}

struct worker_spec *worker_specs_put(struct worker_specs *specs, const char *name, struct err *err)
{
    struct worker_spec fresh;
    for (size_t i = 0; i < specs->count; i++)
        if (strcmp(specs->items[i].name, name) == 0)
            return &specs->items[i];
    if (!worker_spec_init(&fresh, name)) {
        err_set(err, ERR_BAD_REQUEST,
                "\"%.60s\" is no name of a worker: a letter a-z, then letters a-z, digits and -, "
                "at most %d",
                name, NAME_MAX_LEN);
        return NULL;
    }
    if (specs->count == WORKER_SPECS_MAX) {
        err_set(err, ERR_BAD_REQUEST, "more than %d workers", WORKER_SPECS_MAX);
        return NULL;
    }
    specs->items = mem_realloc(specs->items, (specs->count + 1) * sizeof(*specs->items));
    specs->items[specs->count] = fresh;
    return &specs->items[specs->count++];
}
