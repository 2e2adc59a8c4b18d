#include "../../../src/manager/provision_line.h"
#include "../../support/cm.h"

static char sums[200];

static void on_sum(const char *file, const char *hash, void *data)
{
    (void)data;
    snprintf(sums, sizeof(sums), "%s=%s", file, hash);
}

static void take(struct provision *at, struct provision_facts *facts, const char *line)
{
    provision_line(at, facts, line, on_sum, NULL);
}

static void test_checks(void **state)
{
    (void)state;
    struct provision at = {0};
    struct provision_facts facts = {0};
    take(&at, &facts, "check\tkernel\tok\tLinux 6.1\t");
    take(&at, &facts, "check\tpackages\tbad\tmissing: a\tapt-get install a");
    take(&at, &facts, "check\tdisk\tbad\tfull of token=x\techo NOPASSWD: ALL");
    assert_int_equal(at.checks_len, 3);
    assert_string_equal(at.checks[2].text, "full of token=***");
    assert_string_equal(at.checks[2].fix, "echo NOPASSWD: ALL");
    assert_string_equal(at.checks[0].name, "kernel");
    assert_string_equal(at.checks[1].fix, "apt-get install a");
    assert_string_equal(provision_obstacle(&at, false)->name, "packages");
    assert_string_equal(provision_obstacle(&at, true)->name, "disk"); /* no package mends that */
    at.checks_len = 2;
    assert_null(provision_obstacle(&at, true));
}

static void test_facts_sums_steps(void **state)
{
    (void)state;
    struct provision at = {0};
    struct provision_facts facts = {0};
    take(&at, &facts, "fact\troot\tsudo");
    take(&at, &facts, "fact\tmissing\tlibuv1 liblxc-common g++");
    take(&at, &facts, "sum\t/usr/local/bin/codeland\tabc");
    take(&at, &facts, "step\tinstalling packages");
    take(&at, &facts, "failed\tapt-get: no network");
    assert_true(facts.sudo && !facts.root);
    assert_string_equal(facts.missing, "libuv1 liblxc-common g++");
    assert_string_equal(sums, "/usr/local/bin/codeland=abc");
    assert_string_equal(at.step, "installing packages");
    assert_string_equal(facts.failed, "apt-get: no network");
}

/* What a host says becomes a part of a script in one place: there it is names of packages only. */
static void test_what_a_host_may_not_say(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "fact\tmissing\ta'; reboot; '",
        "fact\tmissing\t--option",
        "fact\tmissing\ta --option",
        "fact\tmissing\tA",
        "check\tkernel\tmaybe\ttext",
        "check",
        "",
        "fact",
        "\t\t\t\t\t\t\t",
    };
    struct provision at = {0};
    struct provision_facts facts = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        take(&at, &facts, bad[i]);
    assert_string_equal(facts.missing, "");
    assert_int_equal(at.checks_len, 0);
}

static void test_too_much(void **state)
{
    (void)state;
    struct provision at = {0};
    struct provision_facts facts = {0};
    char line[1001];
    memset(line, '.', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    memcpy(line, "check\tn\tok\t", 11);
    for (int i = 0; i < 2 * PROVISION_CHECKS_MAX; i++)
        take(&at, &facts, line);
    assert_int_equal(at.checks_len, PROVISION_CHECKS_MAX);
    assert_int_equal(strlen(at.checks[0].text), sizeof(at.checks[0].text) - 1);
    memcpy(line, "fact\tmissing\t", 13);
    take(&at, &facts, line);
    assert_string_equal(facts.missing, "");
    memset(line, '.', sizeof(line) - 1);
    memcpy(line, "step\t", 5);
    take(&at, &facts, line);
    assert_int_equal(strlen(at.step), sizeof(at.step) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_facts_sums_steps),
        cmocka_unit_test(test_what_a_host_may_not_say),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
