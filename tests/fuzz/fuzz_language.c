/* A language file. */
#include "fuzz.h"

#include "../../src/common/language.h"
#include "../../src/common/mem.h"
#include "../../src/common/str.h"

static void check_text(const char *text, size_t most)
{
    size_t len = strlen(text);
    must(len > 0 && len <= most && str_utf8_valid(text, len) == len);
}

static void check_words(char **words)
{
    size_t len = 0;
    for (; words[len]; len++)
        check_text(words[len], LANGUAGE_TEXT_MAX);
    must(len <= LANGUAGE_WORDS_MAX);
}

static void check_tokens(const char *word)
{
    const struct language_place place = {.dir = "d", .file = "d/f", .memory_bytes = 1 << 28};
    cleanup_free char *text = language_word(word, &place);
    must(!strchr(text, '{'));
}

static void check_language(const struct language *language)
{
    check_text(language->title, LANGUAGE_TEXT_MAX);
    check_text(language->version, LANGUAGE_TEXT_MAX);
    must(id_name_valid(language->template_name));
    check_text(language->file, LANGUAGE_FILE_MAX);
    must(!strchr(language->file, '/') && language->file[0] != '.');
    check_words(language->aliases);
    check_words(language->packages);
    must(language->packages[0] && language->run[0]);
    check_words(language->run);
    for (char **word = language->run; *word; word++)
        check_tokens(*word);
    if (language->compile)
        check_words(language->compile);
    must(language->env_len <= LANGUAGE_ENV_MAX);
    for (size_t i = 0; i < language->env_len; i++) {
        must(!strchr(language->env[i].name, '='));
        check_text(language->env[i].value, LANGUAGE_TEXT_MAX);
        check_tokens(language->env[i].value);
    }
    must(language->memory_bytes >= 0 && language->compile_ms >= 0);
    check_text(language->sample, LANGUAGE_SAMPLE_MAX);
    check_text(language->output, LANGUAGE_SAMPLE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    struct language *language = language_parse("x", text, "x.conf", &err);
    if (language) {
        check_language(language);
    } else {
        size_t len = strlen(err.msg);
        must(err.code == ERR_BAD_REQUEST && len > 0 && str_utf8_valid(err.msg, len) == len);
    }
    language_free(language);
    free(text);
    return 0;
}
