/* A language that runs may name: languages/NAME.conf. */
#ifndef COMMON_LANGUAGE_H
#define COMMON_LANGUAGE_H

#include "err.h"
#include "ids.h"

#include <stddef.h>
#include <stdint.h>

#define LANGUAGE_NAME_MAX 40
#define LANGUAGE_TEXT_MAX 200 /* of a title, a version, a word of an argv, a value of env */
#define LANGUAGE_WORDS_MAX 32 /* of aliases, packages, an argv */
#define LANGUAGE_ARGV_MAX 800 /* of all words of an argv */
#define LANGUAGE_ENV_MAX 16
#define LANGUAGE_SAMPLE_MAX 8192 /* of the sample, and of what it prints */
#define LANGUAGE_FILE_MAX 80

struct language_env {
    char *name, *value; /* the value may have tokens */
};

/* Lists of words end with a NULL; one with blanks in it is quoted in the file. Words of compile and
 * run, and values of env, may have tokens: language_word replaces them.
 */
struct language {
    char *name, *title;
    char *version;       /* as the packages of the system it was written for have it, e.g. "12.2" */
    char *template_name; /* that brings it */
    char *file;          /* what its source is called, e.g. "main.c" */
    char **aliases;
    char **packages; /* Debian's; the first is the one whose version is the language's */
    char **compile;  /* NULL: it has no such stage */
    char **run;
    struct language_env *env;
    size_t env_len;
    int64_t memory_bytes; /* the least it is of use with, 0: nothing special */
    int64_t compile_ms;   /* the same of its compile stage */
    char *sample;         /* a program, and what it prints */
    char *output;
};

/* What a file says: INI, and behind it the sample and its output as they are, below the lines
 * "[sample]" and "[output]". name is the language's. Fails with "FILE:LINE: ..." naming the key
 * and the bound. Not for two threads at once.
 */
struct language *language_parse(const char *name, const char *text, const char *file,
                                struct err *err);
void language_free(struct language *language);

/* Whether name is what a language, or an alias of one, may be called: letters a-z, digits, and
 * + - # . behind the first.
 */
bool language_name_valid(const char *name);

/* Where a run has its source: {dir} is the folder, "." for the working directory, {file} the source
 * with its folder. {heap} is the part of the memory, in MiB, that a runtime with a heap of its own
 * may fill.
 */
struct language_place {
    const char *dir, *file;
    int64_t memory_bytes;
};

/* A word of compile or run, or a value of env, with its tokens replaced; the caller frees it. */
char *language_word(const char *word, const struct language_place *place);

#endif
