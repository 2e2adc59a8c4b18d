#include "../../../src/common/options.h"

#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <limits.h>

static char folder[PATH_MAX];

static int set_up(void **data)
{
    (void)data;
    scratch_make(folder);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    scratch_remove(folder);
    return 0;
}

/* Up to the NULL. */
static int parse(struct options *options, char **argv, struct err *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return options_parse(options, argc, argv, err);
}

#define ARGV(...) ((char *[]){(char *)"verb", __VA_ARGS__, NULL})
#define WORD(text) ((char *)(text))

static void settings_come_after_the_file(void **data)
{
    (void)data;
    struct err err;
    struct options options;
    const char *file = scratch_path(folder, "a.conf");
    scratch_write(file, "[http]\nlisten = 127.0.0.1:1000\nuser = alice\n");
    assert_ok(parse(&options,
                    ARGV(WORD("--set"), WORD("http.listen=127.0.0.1:2000"), WORD("--config"),
                         WORD(file), WORD("word"), WORD("--set=http.group=staff"), WORD("-")),
                    &err),
              err);
    assert_string_equal(options.config.http_listen, "127.0.0.1:2000");
    assert_string_equal(options.config.http_user, "alice");
    assert_string_equal(options.config.http_group, "staff");
    assert_int_equal(options.rest_len, 2);
    assert_string_equal(options.rest[0], "word");
    assert_string_equal(options.rest[1], "-");
    assert_null(options.rest[2]);
    assert_false(options.help);
}

static void what_one_verb_knows_is_taken_out(void **data)
{
    (void)data;
    struct err err;
    const char *text = "before";
    char **argv = ARGV(WORD("--as"), WORD("one"), WORD("word"), WORD("--json"), WORD("--as=two"),
                       WORD("--asleep"), WORD("--json"));
    int argc = 8;
    assert_ok(options_take_text(&argc, argv, "--other", &text, &err), err);
    assert_string_equal(text, "before");
    assert_ok(options_take_text(&argc, argv, "--as", &text, &err), err);
    assert_string_equal(text, "two");
    assert_int_equal(argc, 5);
    assert_true(options_take_flag(&argc, argv, "--json"));
    assert_false(options_take_flag(&argc, argv, "--json"));
    assert_int_equal(argc, 3);
    assert_string_equal(argv[1], "word");
    assert_string_equal(argv[2], "--asleep");
    assert_null(argv[3]);

    argv = ARGV(WORD("word"), WORD("--as"));
    argc = 3;
    assert_fails(options_take_text(&argc, argv, "--as", &text, &err), err, ERR_BAD_REQUEST,
                 "--as needs a value");
}

static void they_can_be_handed_on(void **data)
{
    (void)data;
    struct err err;
    struct options options;
    const char *words[OPTIONS_WORDS_MAX];
    const char *file = scratch_path(folder, "a.conf");
    scratch_write(file, "");
    assert_ok(parse(&options,
                    ARGV(WORD("--set"), WORD("log.level=debug"), WORD("--config"), WORD(file)),
                    &err),
              err);
    assert_int_equal(options_words(&options, words), 4);
    assert_string_equal(words[0], "--config");
    assert_string_equal(words[1], file);
    assert_string_equal(words[2], "--set");
    assert_string_equal(words[3], "log.level=debug");
    assert_null(words[4]);
    assert_ok(parse(&options, ARGV(WORD("x")), &err), err);
    assert_int_equal(options_words(&options, words), 0);
    assert_null(words[0]);
}

static void help_looks_at_nothing_else(void **data)
{
    (void)data;
    struct err err;
    struct options options;
    assert_ok(parse(&options, ARGV(WORD("--config"), WORD("/nowhere"), WORD("-h")), &err), err);
    assert_true(options.help);
    assert_ok(parse(&options, ARGV(WORD("--help"), WORD("--nonsense")), &err), err);
    assert_true(options.help);
}

static void what_is_wrong_is_named(void **data)
{
    (void)data;
    struct err err;
    struct options options;
    static const struct {
        const char *first, *second, *words;
    } cases[] = {
        {"--verbose", NULL, "unknown option --verbose"},
        {"-v", NULL, "unknown option -v"},
        {"--settle", NULL, "unknown option --settle"},
        {"--config", NULL, "--config needs a file"},
        {"--config=", NULL, "--config needs a file"},
        {"--set", NULL, "--set needs section.key=value"},
        {"--set", "x", "\"x\" is not section.key=value"},
        {"--set", "http.lisen=x", "unknown key \"lisen\" in section [http]"},
        {"--set", "oven.max_runners=0", "oven.max_runners: 0 is out of bounds"},
        {"--config", "/nowhere/a.conf", "cannot read /nowhere/a.conf: No such file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_fails(parse(&options, ARGV(WORD(cases[i].first), WORD(cases[i].second)), &err), err,
                     ERR_BAD_REQUEST, cases[i].words);
}

static void both_lists_are_bounded(void **data)
{
    (void)data;
    struct err err;
    struct options options;
    char *argv[2 * OPTIONS_SET_MAX + 4] = {WORD("verb")};
    for (size_t i = 0; i <= OPTIONS_SET_MAX; i++) {
        argv[1 + 2 * i] = WORD("--set");
        argv[2 + 2 * i] = WORD("log.level=info");
    }
    assert_fails(parse(&options, argv, &err), err, ERR_BAD_REQUEST, "more than 64 times --set");
    argv[1 + 2 * OPTIONS_SET_MAX] = NULL;
    assert_ok(parse(&options, argv, &err), err);
    for (size_t i = 1; i <= OPTIONS_REST_MAX + 1; i++)
        argv[i] = WORD("w");
    argv[OPTIONS_REST_MAX + 2] = NULL;
    assert_fails(parse(&options, argv, &err), err, ERR_BAD_REQUEST, "too many words after \"w\"");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(settings_come_after_the_file), CASE(they_can_be_handed_on),
        CASE(help_looks_at_nothing_else),   CASE(what_is_wrong_is_named),
        CASE(both_lists_are_bounded),       CASE(what_one_verb_knows_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
