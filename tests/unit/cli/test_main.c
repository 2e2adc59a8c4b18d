/* The manners of the command: help, suggestions, exit codes. */
#include "../../support/cm.h"

#include "../../../src/cli/process.h"
#include "../../../src/common/locate.h"
#include "../../../src/common/str.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[16384];

/* The exit code; all that was printed is in text. */
static int codeland(const char *a, const char *b, const char *c)
{
    struct err err;
    char self[PATH_MAX], program[PATH_MAX];
    int output[2], status;
    assert_ok(locate_self(self, &err), err);
    assert_true(str_format(program, sizeof(program), "%.*s/codeland_standin",
                           (int)(strrchr(self, '/') - self), self));
    const char *argv[] = {program, a, b, c, NULL};
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    const struct process_spec spec = {.argv = argv, .output = output[1], .death_signal = SIGKILL};
    pid_t pid = process_start(&spec, &err);
    assert_true(pid > 0);
    close(output[1]);
    size_t len = 0;
    for (ssize_t got; (got = read(output[0], text + len, sizeof(text) - 1 - len)) > 0;)
        len += (size_t)got;
    text[len] = '\0';
    close(output[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void help_lists_the_verbs(void **data)
{
    (void)data;
    static const char *const ways[] = {"--help", "-h", "help"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(codeland(ways[i], NULL, NULL), 0);
        assert_contains(text, "Usage: codeland VERB");
        assert_contains(text, "\n  up ");
        assert_contains(text, "\n  serve ");
        assert_contains(text, "\n  template ");
    }
    assert_int_equal(codeland(NULL, NULL, NULL), 2);
    assert_contains(text, "Usage: codeland VERB");
}

static void each_verb_explains_itself(void **data)
{
    (void)data;
    static const char *const verbs[] = {"up", "serve", "template"};
    for (size_t i = 0; i < 3; i++) {
        char usage[40];
        str_format(usage, sizeof(usage), "Usage: codeland %s ", verbs[i]);
        assert_int_equal(codeland(verbs[i], "--help", NULL), 0);
        assert_true(str_starts_with(text, usage));
        assert_contains(text, "--set SECTION.KEY=VALUE");
        assert_int_equal(codeland(verbs[i], "word", "-h"), 0);
        assert_true(str_starts_with(text, usage));
    }
}

static void the_version_is_told(void **data)
{
    (void)data;
    assert_int_equal(codeland("--version", NULL, NULL), 0);
    assert_string_equal(text, "codeland " CODELAND_VERSION "\n");
}

static void a_typing_error_gets_a_suggestion(void **data)
{
    (void)data;
    static const struct {
        const char *typed, *words;
    } cases[] = {
        {"tempalte", "there is no verb \"tempalte\"; did you mean \"template\"?"},
        {"templates", "did you mean \"template\"?"},
        {"server", "did you mean \"serve\"?"},
        {"upp", "did you mean \"up\"?"},
        {"x", "see codeland --help"},
        {"", "see codeland --help"},
        {"frobnicate", "see codeland --help"},
        {"a-word-that-is-much-too-long-to-be-any-verb-of-this-program", "see codeland --help"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(codeland(cases[i].typed, NULL, NULL), 2);
        assert_contains(text, cases[i].words);
    }
}

static void wrong_words_are_a_usage_error(void **data)
{
    (void)data;
    assert_int_equal(codeland("up", "now", NULL), 2);
    assert_contains(text, "codeland up: unknown word \"now\"");
    assert_int_equal(codeland("up", "--verbose", NULL), 2);
    assert_contains(text, "codeland up: unknown option --verbose");
    assert_int_equal(codeland("template", NULL, NULL), 2);
    assert_contains(text, "expected \"build NAME\"");
    assert_int_equal(codeland("template", "build", NULL), 2);
    assert_int_equal(codeland("template", "rm", NULL), 2);
    assert_int_equal(codeland("template", "--set", "x"), 2);
    assert_contains(text, "codeland template: \"x\" is not section.key=value");
}

static void a_template_that_cannot_be_is_an_error(void **data)
{
    (void)data;
    assert_int_equal(codeland("template", "build", "../base"), 1);
    assert_contains(text, "\"../base\" is no template's name");
    assert_int_equal(codeland("template", "ls", "--set=paths.state_dir=/nowhere"), 0);
    assert_contains(text,
                    "no template in /nowhere/templates; make one: sudo codeland template build");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_lists_the_verbs),
        cmocka_unit_test(each_verb_explains_itself),
        cmocka_unit_test(the_version_is_told),
        cmocka_unit_test(a_typing_error_gets_a_suggestion),
        cmocka_unit_test(wrong_words_are_a_usage_error),
        cmocka_unit_test(a_template_that_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
