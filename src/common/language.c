#include "language.h"

#include "inifile.h"
#include "mem.h"
#include "str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_MAX ((int64_t)64 << 30)
#define TIME_MAX_MS (10 * 60 * 1000)
#define SAMPLE_LINE "[sample]"
#define OUTPUT_LINE "[output]"

enum type { TITLE, NAMES, PACKAGES, TEMPLATE, FILE_NAME, ARGV, TEXT, MEMORY, SECONDS };

/* The keys of [language]. */
static const struct key {
    const char *name;
    enum type type;
    bool required;
    size_t offset;
} keys[] = {
    {"title", TITLE, true, offsetof(struct language, title)},
    {"aliases", NAMES, false, offsetof(struct language, aliases)},
    {"packages", PACKAGES, true, offsetof(struct language, packages)},
    {"version", TEXT, true, offsetof(struct language, version)},
    {"template", TEMPLATE, true, offsetof(struct language, template_name)},
    {"file", FILE_NAME, true, offsetof(struct language, file)},
    {"compile", ARGV, false, offsetof(struct language, compile)},
    {"run", ARGV, true, offsetof(struct language, run)},
    {"memory", MEMORY, false, offsetof(struct language, memory_bytes)},
    {"compile_time", SECONDS, false, offsetof(struct language, compile_ms)},
};

struct parse {
    struct language *language;
    bool seen[ARRAY_LEN(keys)];
};

bool language_name_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) &&
            (i == 0 || (!isdigit((unsigned char)name[i]) && !strchr("+-#.", name[i]))))
            return false;
    return len >= 1 && len <= LANGUAGE_NAME_MAX;
}

/* Debian policy 5.6.1: lower case letters, digits, plus, minus and dot. */
static bool package_name_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
            (i == 0 || !strchr("+-.", name[i])))
            return false;
    return len >= 2 && len <= LANGUAGE_TEXT_MAX;
}

static bool file_name_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && (i == 0 || !strchr("+-._", name[i])))
            return false;
    return len >= 1 && len <= LANGUAGE_FILE_MAX;
}

static bool word_valid(const char *word)
{
    static const char *const tokens[] = {"{dir}", "{file}", "{heap}"};
    for (const char *at = word; (at = strchr(at, '{')); at++) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
            known = known || str_starts_with(at, tokens[i]);
        if (!known)
            return false;
    }
    return word[0] != '\0' && strlen(word) <= LANGUAGE_TEXT_MAX;
}

static int check_text(const char *value, size_t most, struct err *err)
{
    size_t len = strlen(value);
    if (len == 0 || len > most)
        return err_set(err, ERR_BAD_REQUEST, "%zu bytes, must be 1..%zu", len, most);
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F)
            return err_set(err, ERR_BAD_REQUEST, "control characters are not allowed");
    if (str_utf8_valid(value, len) != len)
        return err_set(err, ERR_BAD_REQUEST, "must be UTF-8");
    return 0;
}

static void free_words(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

/* The next word: up to a blank, or between two quotes. NULL at the end. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t");
    if (*word == '\0')
        return NULL;
    bool quoted = *word == '"';
    word += quoted;
    char *end = word + strcspn(word, quoted ? "\"" : " \t");
    *rest = end + (*end != '\0');
    *end = '\0';
    return word;
}

/* Splits at blanks that are not quoted; every word must be valid. */
static int assign_words(char ***field, const char *value, bool (*valid)(const char *word),
                        const char *what, struct err *err)
{
    size_t len = 0;
    char **words = mem_calloc(LANGUAGE_WORDS_MAX + 1, sizeof(*words));
    cleanup_free char *copy = mem_strdup(value);
    char *rest = copy;
    for (char *word; (word = next_word(&rest));) {
        int rc = 0;
        if (len == LANGUAGE_WORDS_MAX)
            rc = err_set(err, ERR_BAD_REQUEST, "more than %d words", LANGUAGE_WORDS_MAX);
        else if (!valid(word))
            rc = err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no %s", word, what);
        if (rc != 0) {
            free_words(words);
            return -1;
        }
        words[len++] = mem_strdup(word);
    }
    *field = words;
    return 0;
}

/* A number and one of the units, which are one letter each. */
static int assign_number(int64_t *field, const char *value, const char *units,
                         const int64_t *factors, int64_t most, const char *hint, struct err *err)
{
    char digits[12];
    size_t len = strspn(value, "0123456789");
    const char *unit = len > 0 && value[len] ? strchr(units, value[len]) : NULL;
    int64_t number;
    if (!unit || value[len + 1] || !str_format(digits, sizeof(digits), "%.*s", (int)len, value) ||
        !str_to_int(digits, 1, most / factors[unit - units], &number))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is not %s", value, hint);
    *field = number * factors[unit - units];
    return 0;
}

static int assign_text(char **field, const char *value, bool (*valid)(const char *word),
                       const char *what, struct err *err)
{
    if (valid && !valid(value))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no %s", value, what);
    *field = mem_strdup(value);
    return 0;
}

static int assign(struct language *language, const struct key *key, const char *value,
                  struct err *err)
{
    static const int64_t byte_factors[] = {1024, 1048576, 1073741824}, time_factors[] = {1000};
    void *field = (char *)language + key->offset;
    if (check_text(value, key->type == ARGV ? LANGUAGE_ARGV_MAX : LANGUAGE_TEXT_MAX, err) != 0)
        return -1;
    switch (key->type) {
    case TITLE:
    case TEXT:
        return assign_text(field, value, NULL, "", err);
    case TEMPLATE:
        return assign_text(field, value, id_name_valid, "template's name", err);
    case FILE_NAME:
        return assign_text(field, value, file_name_valid, "plain file name", err);
    case NAMES:
        return assign_words(field, value, language_name_valid, "language's name", err);
    case PACKAGES:
        return assign_words(field, value, package_name_valid, "package's name", err);
    case ARGV:
        return assign_words(field, value, word_valid,
                            "word: {dir}, {file} and {heap} are the tokens", err);
    case MEMORY:
        return assign_number(field, value, "KMG", byte_factors, MEMORY_MAX,
                             "a number and K, M or G, at most 64G", err);
    case SECONDS:
        return assign_number(field, value, "s", time_factors, TIME_MAX_MS,
                             "a number and s, at most 600s", err);
    }
    return -1;
}

static int add_env(struct language *language, const char *name, const char *value, struct err *err)
{
    for (const char *c = name; *c; c++)
        if (!isupper((unsigned char)*c) && *c != '_' && (c == name || !isdigit((unsigned char)*c)))
            return err_set(err, ERR_BAD_REQUEST, "env: \"%.60s\" is not A-Z, digits and _", name);
    for (size_t i = 0; i < language->env_len; i++)
        if (strcmp(language->env[i].name, name) == 0)
            return err_set(err, ERR_BAD_REQUEST, "env.%s: is there twice", name);
    if (language->env_len == LANGUAGE_ENV_MAX)
        return err_set(err, ERR_BAD_REQUEST, "env: more than %d", LANGUAGE_ENV_MAX);
    if (check_text(value, LANGUAGE_TEXT_MAX, err) != 0)
        return err_context(err, "env.%s", name);
    if (!word_valid(value))
        return err_set(err, ERR_BAD_REQUEST, "env.%s: {dir}, {file} and {heap} are the tokens",
                       name);
    language->env = mem_realloc(language->env, (language->env_len + 1) * sizeof(*language->env));
    language->env[language->env_len++] =
        (struct language_env){.name = mem_strdup(name), .value = mem_strdup(value)};
    return 0;
}

static int on_value(const char *section, const char *key, const char *value, int line, void *data,
                    struct err *err)
{
    struct parse *parse = data;
    (void)line;
    if (strcmp(section, "env") == 0)
        return add_env(parse->language, key, value, err);
    if (strcmp(section, "language") != 0)
        return err_set(err, ERR_BAD_REQUEST, "unknown section [%.60s]", section);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i].name, key) != 0)
            continue;
        if (parse->seen[i])
            return err_set(err, ERR_BAD_REQUEST, "%s: is there twice", key);
        parse->seen[i] = true;
        return assign(parse->language, &keys[i], value, err) ? err_context(err, "%s", key) : 0;
    }
    return err_set(err, ERR_BAD_REQUEST, "unknown key \"%.60s\"", key);
}

/* The start of a line that is `word` and nothing else, or NULL. */
static const char *find_line(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += len)
        if ((at == text || at[-1] == '\n') && (at[len] == '\n' || at[len] == '\0'))
            return at;
    return NULL;
}

/* What stands below that line, up to end. */
static int take_section(char **field, const char *line, const char *end, const char *what,
                        struct err *err)
{
    const char *from = line + strcspn(line, "\n");
    from += from < end && *from == '\n';
    size_t len = (size_t)(end - from);
    if (len == 0 || len > LANGUAGE_SAMPLE_MAX)
        return err_set(err, ERR_BAD_REQUEST, "%s: %zu bytes, must be 1..%d", what, len,
                       LANGUAGE_SAMPLE_MAX);
    if (str_utf8_valid(from, len) != len)
        return err_set(err, ERR_BAD_REQUEST, "%s: must be UTF-8", what);
    *field = strndup(from, len);
    if (!*field)
        mem_exhausted();
    return 0;
}

static int take_sample(struct language *language, const char *sample, struct err *err)
{
    const char *output = sample ? find_line(sample, OUTPUT_LINE) : NULL;
    if (!output)
        return err_set(err, ERR_BAD_REQUEST, "it does not end with a %s and its %s", SAMPLE_LINE,
                       OUTPUT_LINE);
    if (take_section(&language->sample, sample, output, "sample", err) != 0)
        return -1;
    return take_section(&language->output, output, output + strlen(output), "output", err);
}

static int parse_all(struct parse *parse, const char *text, const char *file, struct err *err)
{
    struct language *language = parse->language;
    const char *sample = find_line(text, SAMPLE_LINE);
    cleanup_free char *head = strndup(text, sample ? (size_t)(sample - text) : strlen(text));
    if (!head)
        mem_exhausted();
    if (inifile_parse(head, file, on_value, parse, err) != 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].required && !parse->seen[i])
            return err_set(err, ERR_BAD_REQUEST, "%s: language.%s is missing", file, keys[i].name);
    if (!language->aliases)
        language->aliases = mem_calloc(1, sizeof(*language->aliases));
    if (!language->packages[0] || !language->run[0] || (language->compile && !language->compile[0]))
        return err_set(err, ERR_BAD_REQUEST, "%s: a list has no word", file);
    return take_sample(language, sample, err) ? err_context(err, "%s", file) : 0;
}

struct language *language_parse(const char *name, const char *text, const char *file,
                                struct err *err)
{
    struct parse parse = {.language = mem_new(struct language)};
    parse.language->name = mem_strdup(name);
    if (!language_name_valid(name))
        err_set(err, ERR_BAD_REQUEST, "%s: \"%.60s\" is no language's name", file, name);
    else if (parse_all(&parse, text, file, err) == 0)
        return parse.language;
    language_free(parse.language);
    return NULL;
}

void language_free(struct language *language)
{
    if (!language)
        return;
    char *texts[] = {language->name, language->title,  language->version, language->template_name,
                     language->file, language->sample, language->output};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free_words(language->aliases);
    free_words(language->packages);
    free_words(language->compile);
    free_words(language->run);
    for (size_t i = 0; i < language->env_len; i++) {
        free(language->env[i].name);
        free(language->env[i].value);
    }
    free(language->env);
    free(language);
}

/* A runtime needs memory beside its heap: code, stacks, tables. Of little it is most. */
static int64_t heap_mib(int64_t memory_bytes)
{
    int64_t mib = memory_bytes >> 20;
    int64_t beside = mib / 4 > 96 ? mib / 4 : 96;
    return mib > beside + 16 ? mib - beside : 16;
}

char *language_word(const char *word, const struct language_place *place)
{
    char heap[24];
    str_format(heap, sizeof(heap), "%" PRId64, heap_mib(place->memory_bytes));
    const struct {
        const char *token, *value;
    } tokens[] = {{"{dir}", place->dir}, {"{file}", place->file}, {"{heap}", heap}};
    char *text = NULL;
    size_t room = 0;
    FILE *out = open_memstream(&text, &room);
    if (!out)
        mem_exhausted();
    while (*word) {
        size_t i = 0;
        while (i < ARRAY_LEN(tokens) && !str_starts_with(word, tokens[i].token))
            i++;
        if (i == ARRAY_LEN(tokens)) {
            fputc(*word++, out);
            continue;
        }
        fputs(tokens[i].value, out);
        word += strlen(tokens[i].token);
    }
    if (fclose(out) != 0)
        mem_exhausted();
    return text;
}
