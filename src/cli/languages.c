/* `codeland languages ls | json | markdown` */
#include "../common/languages.h"
#include "../common/options.h"
#include "verbs.h"

#include "../common/mem.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

#define MARKDOWN_HEAD                                                                              \
    "# Languages\n\n"                                                                              \
    "Made by `codeland languages markdown` from `languages/*.conf`. A request names a language "   \
    "by its name\nor an alias; without one it gets `sh`. The version is that of Debian 12. "       \
    "`codeland template build NAME`\nmakes a template; `full` has them all.\n\n"

#define MARKDOWN_FOOT                                                                              \
    "\n## What could not be had\n\n"                                                               \
    "* Swift: Debian 12 has no package of its compiler, and this project installs nothing from "   \
    "elsewhere.\n"                                                                                 \
    "* Kotlin 1.3, Scala 2.11 and Groovy 2.4 are what Debian 12 carries, years behind their "      \
    "makers.\n"                                                                                    \
    "* C# is Mono's: Debian 12 has no .NET.\n"                                                     \
    "\n## What a program must know\n\n"                                                            \
    "* Java: the class that starts may have any name and package; it is the public one, else the " \
    "first.\n"                                                                                     \
    "* Scala: the object that starts is `Main`. Kotlin: `main` stands outside of any class.\n"     \
    "* Erlang: an escript, `main/1`, with or without a `-module` and a `#!` line.\n"               \
    "* COBOL is in free format. Prolog programs start themselves: `:- initialization(main).`\n"    \
    "* Mustache: the program is a template, and stdin its view, a JSON object.\n"                  \
    "* Go, JavaScript and what runs on a JVM know how much memory their runner has, and keep "     \
    "their heap within it:\n  too much is their own error, not the status `memory`; Go's limit "   \
    "is "                                                                                          \
    "soft, so there it is `memory`.\n"                                                             \
    "* Brainfuck has no exit code; Markdown and Mustache have none either, and do not loop.\n"

static json_t *words_json(char **words)
{
    json_t *list = json_array();
    for (char **word = words; word && *word; word++)
        json_array_append_new(list, json_string(*word));
    return list;
}

static json_t *word_json(const char *word, const struct language_place *place)
{
    cleanup_free char *text = language_word(word, place);
    return json_string(text);
}

static json_t *argv_json(char **words, const struct language_place *place)
{
    json_t *list = json_array();
    for (char **word = words; word && *word; word++)
        json_array_append_new(list, word_json(*word, place));
    return list;
}

static json_t *env_json(const struct language *language, const struct language_place *place)
{
    json_t *env = json_object();
    for (size_t i = 0; i < language->env_len; i++)
        json_object_set_new(env, language->env[i].name, word_json(language->env[i].value, place));
    return env;
}

/* Its tokens are replaced as for a fresh runner of the least memory that it gets. */
static json_t *language_json(const struct language *language, int64_t memory_bytes)
{
    if (memory_bytes < language->memory_bytes)
        memory_bytes = language->memory_bytes;
    const struct language_place place = {
        .dir = ".", .file = language->file, .memory_bytes = memory_bytes};
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:s}",
                     "name", language->name, "title", language->title, "version", language->version,
                     "template", language->template_name, "file", language->file, "aliases",
                     words_json(language->aliases), "packages", words_json(language->packages),
                     "compile", argv_json(language->compile, &place), "run",
                     argv_json(language->run, &place), "env", env_json(language, &place), "memory",
                     (json_int_t)memory_bytes, "compileTime", (json_int_t)language->compile_ms,
                     "sample", language->sample, "output", language->output);
}

static int print_json(const struct languages *languages, int64_t memory_bytes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < languages_len(languages); i++)
        json_array_append_new(list, language_json(languages_at(languages, i), memory_bytes));
    int rc = json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
    return rc == 0 ? EXIT_OK : EXIT_FAILED;
}

static void print_aliases(const struct language *language)
{
    for (char **alias = language->aliases; alias && *alias; alias++)
        printf("%s`%s`", alias == language->aliases ? "" : ", ", *alias);
}

static void print_markdown(const struct languages *languages)
{
    fputs(MARKDOWN_HEAD "| name | what | version | template | compiled | aliases |\n"
                        "|---|---|---|---|---|---|\n",
          stdout);
    for (size_t i = 0; i < languages_len(languages); i++) {
        const struct language *language = languages_at(languages, i);
        printf("| `%s` | %s | %s | `%s` | %s | ", language->name, language->title,
               language->version, language->template_name, language->compile ? "yes" : "no");
        print_aliases(language);
        puts(" |");
    }
    fputs(MARKDOWN_FOOT, stdout);
}

static void print_list(const struct languages *languages)
{
    printf("%-14s %-8s %-10s %s\n", "NAME", "VERSION", "TEMPLATE", "WHAT");
    for (size_t i = 0; i < languages_len(languages); i++) {
        const struct language *language = languages_at(languages, i);
        printf("%-14s %-8s %-10s %s\n", language->name, language->version, language->template_name,
               language->title);
    }
}

int cli_languages(int argc, char **argv)
{
    struct err err;
    struct options options;
    if (options_parse(&options, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland languages: %s\n", err.msg);
        return EXIT_USAGE;
    }
    const char *what = options.rest_len == 1 ? options.rest[0] : "";
    bool ls = strcmp(what, "ls") == 0, json = strcmp(what, "json") == 0;
    if (!ls && !json && strcmp(what, "markdown") != 0) {
        fprintf(stderr, "codeland languages: say ls, json or markdown\n");
        return EXIT_USAGE;
    }
    struct languages *languages = languages_load_configured(&options.config, &err);
    if (!languages) {
        fprintf(stderr, "codeland languages: %s\n", err.msg);
        return EXIT_FAILED;
    }
    int code = EXIT_OK;
    if (json)
        code = print_json(languages, options.config.run_memory);
    else if (ls)
        print_list(languages);
    else
        print_markdown(languages);
    languages_free(languages);
    return code;
}
