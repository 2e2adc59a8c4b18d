#include "../../../src/common/mem.h"

#include "../../support/cm.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void memory_is_zeroed_and_grows(void **state)
{
    (void)state;
    char *memory = mem_calloc(3, 4);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(memory[i], 0);
    memset(memory, 'x', 12);
    memory = mem_realloc(memory, 100000);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(memory[i], 'x');
    free(memory);
    memory = mem_calloc(0, 0);
    assert_non_null(memory);
    memory = mem_realloc(memory, 0);
    assert_non_null(memory);
    free(memory);
    struct pair {
        int a, b;
    } *pair = mem_new(struct pair);
    assert_int_equal(pair->a | pair->b, 0);
    free(pair);
}

static void strdup_copies(void **state)
{
    (void)state;
    char text[] = "text";
    char *copy = mem_strdup(text);
    text[0] = 'n';
    assert_string_equal(copy, "text");
    free(copy);
}

static char *made_and_given_away(void)
{
    cleanup_free char *kept = mem_strdup("freed at the end of this function");
    cleanup_free char *given = mem_strdup("given");
    (void)kept;
    return steal_ptr(given);
}

/* The leak checker and the double-free checker are what looks at this one. */
static void cleanup_frees_what_was_not_stolen(void **state)
{
    (void)state;
    char *given = made_and_given_away();
    assert_string_equal(given, "given");
    char *again = steal_ptr(given);
    assert_null(given);
    free(again);
    cleanup_free void *nothing = NULL;
    (void)nothing;
}

/* In a child whose standard error comes back: it must end by SIGABRT, and say why. */
static void dies_of(void (*want_too_much)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        want_too_much();
        _exit(0);
    }
    close(ends[1]);
    static char said[65536];
    size_t len = 0;
    for (ssize_t got; (got = read(ends[0], said + len, sizeof(said) - 1 - len)) > 0;)
        len += (size_t)got;
    said[len] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_contains(said, "out of memory");
}

/* Not a constant that the compiler sees through. */
static volatile size_t too_much = SIZE_MAX / 2;

static void want_too_much(void)
{
    free(mem_calloc(too_much / 4, 1));
}

static void want_a_product_that_overflows(void)
{
    free(mem_calloc(too_much, 4));
}

static void want_to_grow_too_much(void)
{
    free(mem_realloc(NULL, too_much));
}

static void exhaustion_ends_the_program(void **state)
{
    (void)state;
    dies_of(want_too_much);
    dies_of(want_a_product_that_overflows);
    dies_of(want_to_grow_too_much);
}

/* Under AddressSanitizer too: a failed allocation returns NULL, as it does without. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_grows),
        cmocka_unit_test(strdup_copies),
        cmocka_unit_test(cleanup_frees_what_was_not_stolen),
        cmocka_unit_test(exhaustion_ends_the_program),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
