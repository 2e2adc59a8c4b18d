#include "config.h"

#include "ids.h"
#include "inifile.h"
#include "mem.h"
#include "network_plan.h"
#include "str.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define HOST_SECTION "worker-host "

enum type { STRING, PATH, NAME, INT, BYTES, MS, PERCENT, BOOL };

static const struct setting {
    const char *section, *key;
    enum type type;
    const char *unit;
    int64_t least, most;
    const char *value, *help;
    size_t offset;
} settings[] = {
#define SETTING(section, key, type, unit, least, most, value, help)                                \
    {#section, #key,  type,                                                                        \
     #unit,    least, most,                                                                        \
     value,    help,  offsetof(struct config, section##_##key)},
#include "config.def"
#undef SETTING
};

static const char *const levels[] = {"debug", "info", "warn", "error"};

/* The number in front of a unit, times the unit; false for anything else. */
static bool scaled(const char *text, const char *const units[], const int64_t factors[],
                   int64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    char number[20];
    if (digits == 0 || !str_format(number, sizeof(number), "%.*s", (int)digits, text))
        return false;
    for (size_t i = 0; units[i]; i++) {
        if (strcmp(text + digits, units[i]) == 0)
            return str_to_int(number, 0, INT64_MAX / factors[i], value) &&
                   (*value *= factors[i], true);
    }
    return false;
}

static bool parse_number(enum type type, const char *text, int64_t *value)
{
    static const char *const byte_units[] = {"", "K", "M", "G", NULL};
    static const int64_t byte_factors[] = {1, 1024, 1048576, 1073741824};
    static const char *const time_units[] = {"ms", "s", "m", "h", NULL};
    static const int64_t time_factors[] = {1, 1000, 60000, 3600000};
    static const char *const percent_units[] = {"", "%", NULL};
    static const int64_t percent_factors[] = {1, 1};
    switch (type) {
    case BYTES:
        return scaled(text, byte_units, byte_factors, value);
    case MS:
        return scaled(text, time_units, time_factors, value);
    case PERCENT:
        return scaled(text, percent_units, percent_factors, value);
    default:
        return str_to_int(text, INT64_MIN, INT64_MAX, value);
    }
}

static const char *type_hint(enum type type)
{
    static const char *const hints[] = {
        [STRING] = "a text",
        [PATH] = "an absolute path",
        [NAME] = "a name: a letter a-z, then letters, digits and -",
        [INT] = "a whole number",
        [BYTES] = "bytes: a number and nothing, K, M or G",
        [MS] = "a time: a number and ms, s, m or h",
        [PERCENT] = "a percentage",
        [BOOL] = "yes or no",
    };
    return hints[type];
}

static int assign_text(const struct setting *setting, char *field, const char *text,
                       struct err *err)
{
    size_t len = strlen(text);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F)
            return err_set(err, ERR_BAD_REQUEST, "%s.%s: control characters are not allowed",
                           setting->section, setting->key);
    if (len < (size_t)setting->least || len > (size_t)setting->most)
        return err_set(err, ERR_BAD_REQUEST, "%s.%s: %zu characters, must be %" PRId64 "..%" PRId64,
                       setting->section, setting->key, len, setting->least, setting->most);
    bool fits = true;
    if (setting->type == PATH && len > 0)
        fits = text[0] == '/';
    else if (setting->type == NAME)
        fits = id_name_valid(text);
    if (!fits)
        return err_set(err, ERR_BAD_REQUEST, "%s.%s: \"%.60s\" is not %s", setting->section,
                       setting->key, text, type_hint(setting->type));
    memcpy(field, text, len + 1);
    return 0;
}

static int assign(struct config *config, const struct setting *setting, const char *text,
                  struct err *err)
{
    char *field = (char *)config + setting->offset;
    if (setting->type == STRING || setting->type == PATH || setting->type == NAME)
        return assign_text(setting, field, text, err);
    if (setting->type == BOOL) {
        bool yes = strcmp(text, "yes") == 0;
        if (!yes && strcmp(text, "no") != 0)
            return err_set(err, ERR_BAD_REQUEST, "%s.%s: \"%.60s\" is not yes or no",
                           setting->section, setting->key, text);
        *(bool *)field = yes;
        return 0;
    }
    int64_t value;
    if (!parse_number(setting->type, text, &value))
        return err_set(err, ERR_BAD_REQUEST, "%s.%s: \"%.60s\" is not %s", setting->section,
                       setting->key, text, type_hint(setting->type));
    if (value < setting->least || value > setting->most)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s.%s: %" PRId64 " is out of bounds, must be %" PRId64 "..%" PRId64 " %s",
                       setting->section, setting->key, value, setting->least, setting->most,
                       setting->unit);
    *(int64_t *)field = value;
    return 0;
}

static const struct setting *look_up(const char *section, const char *key, struct err *err)
{
    bool section_known = false;
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (strcmp(settings[i].section, section) != 0)
            continue;
        section_known = true;
        if (strcmp(settings[i].key, key) == 0)
            return &settings[i];
    }
    if (section[0] == '\0')
        err_set(err, ERR_BAD_REQUEST, "\"%s\" stands before any [section]", key);
    else if (!section_known)
        err_set(err, ERR_BAD_REQUEST, "unknown section [%s]", section);
    else
        err_set(err, ERR_BAD_REQUEST, "unknown key \"%s\" in section [%s]", key, section);
    return NULL;
}

int config_check(const struct config *config, struct err *err)
{
    size_t level = 0;
    while (level < ARRAY_LEN(levels) && strcmp(levels[level], config->log_level) != 0)
        level++;
    if (level == ARRAY_LEN(levels))
        return err_set(err, ERR_BAD_REQUEST,
                       "log.level: \"%.60s\" is not debug, info, warn or error", config->log_level);
    if (config->oven_min_available > config->oven_max_runners)
        return err_set(err, ERR_BAD_REQUEST,
                       "oven.min_available (%" PRId64 ") is more than oven.max_runners (%" PRId64
                       ")",
                       config->oven_min_available, config->oven_max_runners);
    if (config->oven_mem_target > config->oven_mem_ceiling)
        return err_set(err, ERR_BAD_REQUEST,
                       "oven.mem_target (%" PRId64 ") is more than oven.mem_ceiling (%" PRId64 ")",
                       config->oven_mem_target, config->oven_mem_ceiling);
    if (config->run_time > config->run_time_max)
        return err_set(err, ERR_BAD_REQUEST,
                       "run.time (%" PRId64 "ms) is more than run.time_max (%" PRId64 "ms)",
                       config->run_time, config->run_time_max);
    if (config->run_memory > config->run_memory_max)
        return err_set(err, ERR_BAD_REQUEST,
                       "run.memory (%" PRId64 ") is more than run.memory_max (%" PRId64 ")",
                       config->run_memory, config->run_memory_max);
    if (config->worker_id_base + config->oven_max_runners * config->worker_id_count > UINT32_MAX)
        return err_set(err, ERR_BAD_REQUEST,
                       "worker.id_base and oven.max_runners ask for ids above %u", UINT32_MAX);
    struct network_plan plan;
    return network_plan_make(&plan, config, err);
}

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        struct err err;
        if (assign(config, &settings[i], settings[i].value, &err) != 0) {
            fprintf(stderr, "config.def: %s\n", err.msg);
            abort();
        }
    }
}

struct parse {
    struct config *config;
    int seen[ARRAY_LEN(settings)]; /* the line that set it, 0: none */
    struct worker_specs *hosts;
    char host_keys[40]; /* of the section that is being read, each with a blank after it */
};

/* A key of a [worker-host NAME] section; a section ends where the next begins, so that a name that
 * comes again is one that came twice.
 */
static int set_host(struct parse *parse, const char *name, const char *key, const char *value,
                    struct err *err)
{
    struct worker_specs *hosts = parse->hosts;
    size_t before = hosts->count;
    struct worker_spec *host = worker_specs_put(hosts, name, err);
    if (!host)
        return -1;
    if (hosts->count > before)
        parse->host_keys[0] = '\0';
    else if (host != &hosts->items[hosts->count - 1])
        return err_set(err, ERR_BAD_REQUEST, "[" HOST_SECTION "%s] is there already", name);
    char word[sizeof(parse->host_keys)];
    if (worker_spec_set(host, key, value, err) != 0)
        return err_context(err, "[" HOST_SECTION "%s]", name);
    str_format(word, sizeof(word), "%s ", key);
    if (strstr(parse->host_keys, word))
        return err_set(err, ERR_BAD_REQUEST, "[" HOST_SECTION "%s]: %s is set twice", name, key);
    strcat(parse->host_keys, word); /* it has room for every known key once */
    return 0;
}

static int on_value(const char *section, const char *key, const char *value, int line, void *data,
                    struct err *err)
{
    struct parse *parse = data;
    if (str_starts_with(section, HOST_SECTION))
        return set_host(parse, section + strlen(HOST_SECTION), key, value, err);
    const struct setting *setting = look_up(section, key, err);
    if (!setting)
        return -1;
    int *seen = &parse->seen[setting - settings];
    if (*seen)
        return err_set(err, ERR_BAD_REQUEST, "%s.%s was set in line %d already", section, key,
                       *seen);
    *seen = line;
    return assign(parse->config, setting, value, err);
}

static int check_hosts(const struct worker_specs *hosts, struct err *err)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (worker_spec_check(&hosts->items[i], err) != 0)
            return err_context(err, "[" HOST_SECTION "%s]", hosts->items[i].name);
    return 0;
}

static int parse_all(struct config *config, struct worker_specs *hosts, const char *text,
                     const char *name, struct err *err)
{
    struct parse parse = {.config = config, .hosts = hosts};
    if (inifile_parse(text, name, on_value, &parse, err) != 0)
        return -1;
    if (config_check(config, err) != 0 || check_hosts(hosts, err) != 0)
        return err_context(err, "%s", name);
    return 0;
}

int config_parse(struct config *config, const char *text, const char *name, struct err *err)
{
    struct worker_specs hosts = {0};
    int rc = parse_all(config, &hosts, text, name, err);
    worker_specs_finish(&hosts);
    return rc;
}

int config_parse_hosts(const char *text, const char *name, struct worker_specs *hosts,
                       struct err *err)
{
    struct config ignored;
    config_defaults(&ignored);
    return parse_all(&ignored, hosts, text, name, err);
}

static int read_all(struct config *config, struct worker_specs *hosts, const char *path,
                    bool may_be_missing, struct err *err)
{
    struct err why;
    cleanup_free char *text = inifile_read(path, &why);
    if (text)
        return parse_all(config, hosts, text, path, err);
    if (why.sys_errno == ENOENT && may_be_missing)
        return 0;
    if (err)
        *err = why;
    return -1;
}

int config_read(struct config *config, const char *path, bool may_be_missing, struct err *err)
{
    struct worker_specs hosts = {0};
    int rc = read_all(config, &hosts, path, may_be_missing, err);
    worker_specs_finish(&hosts);
    return rc;
}

int config_read_hosts(const char *path, bool may_be_missing, struct worker_specs *hosts,
                      struct err *err)
{
    struct config ignored;
    config_defaults(&ignored);
    return read_all(&ignored, hosts, path, may_be_missing, err);
}

int config_set(struct config *config, const char *assignment, struct err *err)
{
    char section[CONFIG_TEXT_MAX], key[CONFIG_TEXT_MAX];
    const char *dot = strchr(assignment, '.');
    const char *equals = strchr(assignment, '=');
    if (!dot || !equals || dot > equals ||
        !str_format(section, sizeof(section), "%.*s", (int)(dot - assignment), assignment) ||
        !str_format(key, sizeof(key), "%.*s", (int)(equals - dot - 1), dot + 1))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is not section.key=value", assignment);
    const struct setting *setting = look_up(section, key, err);
    return setting ? assign(config, setting, equals + 1, err) : -1;
}

enum log_level config_log_level(const struct config *config)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (strcmp(levels[i], config->log_level) == 0)
            return (enum log_level)i;
    return LOG_INFO;
}

void config_print_example(void)
{
    const char *section = "";
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const struct setting *setting = &settings[i];
        if (strcmp(section, setting->section) != 0)
            printf("%s[%s]\n", i ? "\n" : "", setting->section);
        section = setting->section;
        printf("# %s\n; %s = %s\n", setting->help, setting->key, setting->value);
    }
}

void config_print_markdown(void)
{
    printf("| section | key | type | bounds | default | meaning |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const struct setting *setting = &settings[i];
        printf("| %s | `%s` | %s | %" PRId64 "..%" PRId64 " %s | `%s` | %s |\n", setting->section,
               setting->key, type_hint(setting->type), setting->least, setting->most, setting->unit,
               setting->value, setting->help);
    }
}
