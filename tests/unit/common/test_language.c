#include "../../../src/common/language.h"

#include "../../../src/common/mem.h"
#include "../../support/cm.h"

static struct err err;

#define SAMPLE "[sample]\n  print 1 ; [no]\n[output]\n1\n"
#define NEEDED                                                                                     \
    "[language]\ntitle = T\npackages = pp\nversion = 1\ntemplate = base\nfile = m.x\nrun = x\n"

/* -1 when it is refused, as assert_fails wants it. */
static int parse(const char *text)
{
    struct language *language = language_parse("x", text, "x.conf", &err);
    language_free(language);
    return language ? 0 : -1;
}

static void all_keys_are_read(void **state)
{
    (void)state;
    struct language *language =
        language_parse("c++",
                       "# why\n[language]\ntitle = C++ (GCC)\naliases = cpp  cxx c#\n"
                       "packages = g++ libc6-dev\nversion = 12.2\ntemplate = native\n"
                       "file = Main-1.c++\ncompile = g++ -o {dir}/program {file} \"a  b\"\n"
                       "run = {dir}/program\nmemory = 512M\ncompile_time = 30s\n"
                       "[env]\nA_1 = -Xmx{heap}m -b\nB = 2\n" SAMPLE,
                       "f", &err);
    if (!language)
        fail_msg("%s", err.msg);
    assert_string_equal(language->name, "c++");
    assert_string_equal(language->title, "C++ (GCC)");
    assert_string_equal(language->aliases[1], "cxx");
    assert_string_equal(language->aliases[2], "c#");
    assert_null(language->aliases[3]);
    assert_string_equal(language->packages[0], "g++");
    assert_string_equal(language->packages[1], "libc6-dev");
    assert_string_equal(language->version, "12.2");
    assert_string_equal(language->template_name, "native");
    assert_string_equal(language->file, "Main-1.c++");
    assert_string_equal(language->compile[3], "{file}");
    assert_string_equal(language->compile[4], "a  b");
    assert_null(language->compile[5]);
    assert_string_equal(language->run[0], "{dir}/program");
    assert_int_equal(language->memory_bytes, 512 << 20);
    assert_int_equal(language->compile_ms, 30000);
    assert_int_equal(language->env_len, 2);
    assert_string_equal(language->env[0].value, "-Xmx{heap}m -b");
    assert_string_equal(language->sample, "  print 1 ; [no]\n");
    assert_string_equal(language->output, "1\n");
    language_free(language);
}

static void what_may_be_left_out(void **state)
{
    (void)state;
    struct language *language = language_parse("x", NEEDED SAMPLE, "f", &err);
    assert_non_null(language);
    assert_null(language->aliases[0]);
    assert_null(language->compile);
    assert_int_equal(language->env_len, 0);
    assert_int_equal(language->memory_bytes, 0);
    assert_int_equal(language->compile_ms, 0);
    language_free(language);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const char *const lines[] = {"title = T\n",       "packages = pp\n", "version = 1\n",
                                        "template = base\n", "file = m.x\n",    "run = x\n"};
    for (size_t left_out = 0; left_out < ARRAY_LEN(lines); left_out++) {
        char text[400] = "[language]\n", wanted[80];
        for (size_t i = 0; i < ARRAY_LEN(lines); i++)
            if (i != left_out)
                strcat(text, lines[i]);
        strcat(text, SAMPLE);
        snprintf(wanted, sizeof(wanted), "x.conf: language.%.*s is missing",
                 (int)strcspn(lines[left_out], " "), lines[left_out]);
        assert_fails(parse(text), err, ERR_BAD_REQUEST, wanted);
    }
    assert_fails(parse(NEEDED), err, ERR_BAD_REQUEST, "it does not end with a [sample]");
    assert_fails(parse(NEEDED "[sample]\nx\n"), err, ERR_BAD_REQUEST, "[output]");
    assert_fails(parse(NEEDED "[sample]\n[output]\nx\n"), err, ERR_BAD_REQUEST,
                 "sample: 0 bytes, must be 1..8192");
    assert_fails(parse(NEEDED "[sample]\nx\n[output]"), err, ERR_BAD_REQUEST,
                 "output: 0 bytes, must be 1..8192");
}

static void bad_values_are_named_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"x = 1\n", "x.conf:8: unknown key \"x\""},
        {"run = x\n", "x.conf:8: run: is there twice"},
        {"[other]\nx = 1\n", "x.conf:9: unknown section [other]"},
        {"aliases = C\n", "x.conf:8: aliases: \"C\" is no language's name"},
        {"aliases = a/b\n", "aliases: \"a/b\" is no"},
        {"aliases =\n", "aliases: 0 bytes, must be 1..200"},
        {"aliases = \x7F\n", "aliases: control characters"},
        {"aliases = \xFF\n", "aliases: must be UTF-8"},
        {"compile = gcc \"\" x\n", "compile: \"\" is no word"},
        {"compile = gcc {files}\n", "compile: \"{files}\" is no word: {dir}, {file} and {heap}"},
        {"compile = a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4 5 6 7\n",
         "compile: more than 32 words"},
        {"memory = 512\n", "memory: \"512\" is not a number and K, M or G, at most 64G"},
        {"memory = 65G\n", "memory: \"65G\" is not"},
        {"memory = 0K\n", "memory: \"0K\" is not"},
        {"memory = 1MB\n", "memory: \"1MB\" is not"},
        {"memory = 99999999999999999999G\n", "memory: \""},
        {"compile_time = 601s\n", "compile_time: \"601s\" is not a number and s, at most 600s"},
        {"compile_time = -1s\n", "compile_time: \"-1s\" is not"},
        {"[env]\na = 1\n", "env: \"a\" is not A-Z, digits and _"},
        {"[env]\n1A = 1\n", "env: \"1A\" is not"},
        {"[env]\nA = 1\nA = 2\n", "env.A: is there twice"},
        {"[env]\nA =\n", "env.A: 0 bytes"},
        {"[env]\nA = {x}\n", "env.A: {dir}, {file} and {heap} are the tokens"},
        {"nonsense\n", "x.conf:8: neither a [section]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[1000];
        snprintf(text, sizeof(text), NEEDED "%s" SAMPLE, cases[i].line);
        assert_fails(parse(text), err, ERR_BAD_REQUEST, cases[i].words);
    }
}

static void a_command_is_bounded_as_its_words_are(void **state)
{
    (void)state;
    static const struct {
        size_t len, blank_at;
        const char *words;
    } cases[] = {
        {LANGUAGE_TEXT_MAX + 1, SIZE_MAX, "compile: \"xxx"},
        {LANGUAGE_ARGV_MAX + 1, LANGUAGE_TEXT_MAX, "compile: 801 bytes, must be 1..800"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char value[LANGUAGE_ARGV_MAX + 2], text[2000];
        memset(value, 'x', cases[i].len);
        value[cases[i].len] = '\0';
        for (size_t at = cases[i].blank_at; at < cases[i].len; at += LANGUAGE_TEXT_MAX + 1)
            value[at] = ' ';
        snprintf(text, sizeof(text), NEEDED "compile = %s\n" SAMPLE, value);
        assert_fails(parse(text), err, ERR_BAD_REQUEST, cases[i].words);
        value[cases[i].len - 1] = '\0'; /* one less is well */
        snprintf(text, sizeof(text), NEEDED "compile = %s\n" SAMPLE, value);
        assert_int_equal(parse(text), 0);
    }
}

static void names_become_paths_and_packages(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *words;
    } cases[] = {
        {"file", "../x", "file: \"../x\" is no plain file name"},
        {"file", ".x", "file: \".x\" is no plain file name"},
        {"file", "a b", "file: \"a b\" is no plain"},
        {"template", "a/b", "template: \"a/b\" is no template's name"},
        {"packages", "Perl", "packages: \"Perl\" is no package's name"},
        {"packages", "pp --include=x", "packages: \"--include=x\" is no package's name"},
        {"packages", "a,b", "packages: \"a,b\" is no"},
        {"packages", "a;id", "packages: \"a;id\" is no"},
        {"packages", "x", "packages: \"x\" is no"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[400];
        snprintf(text, sizeof(text), "[language]\n%s = %s\n" SAMPLE, cases[i].key, cases[i].value);
        assert_fails(parse(text), err, ERR_BAD_REQUEST, cases[i].words);
    }
    static const char *const names[] = {"", "C", "1c", "a_b", "a/b", ".", "a b", "ä"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_false(language_name_valid(names[i]));
        assert_null(language_parse(names[i], NEEDED SAMPLE, "f", &err));
        assert_contains(err.msg, "is no language's name");
    }
    assert_true(language_name_valid("c"));
    assert_true(language_name_valid("a234567890123456789012345678901234567890"));
    assert_false(language_name_valid("a2345678901234567890123456789012345678901"));
}

static void tokens_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int64_t memory;
        const char *text;
    } cases[] = {
        {"", 0, ""},
        {"plain", 0, "plain"},
        {"{file}", 0, "d/main.c"},
        {"-o={dir}/{file}{dir}", 0, "-o=d/d/main.cd"},
        {"-Xmx{heap}m", 256 << 20, "-Xmx160m"},
        {"{heap}", (int64_t)2 << 30, "1536"},
        {"{heap}", 4 << 20, "16"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct language_place place = {"d", "d/main.c", cases[i].memory};
        cleanup_free char *text = language_word(cases[i].word, &place);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_are_read),
        cmocka_unit_test(what_may_be_left_out),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(bad_values_are_named_with_their_line),
        cmocka_unit_test(a_command_is_bounded_as_its_words_are),
        cmocka_unit_test(names_become_paths_and_packages),
        cmocka_unit_test(tokens_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
