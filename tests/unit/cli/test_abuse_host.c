#include "../../../src/cli/abuse_host.h"

#include "../../../src/common/json.h"
#include "../../support/cm.h"

#include <string.h>

static json_t *footprint(void)
{
    struct err err;
    static const char text[] =
        "{\"worker\":{\"runners\":8,\"busy\":0,\"strays\":[],\"mounts\":[\"worker / ext4\"],"
        "\"interfaces\":[\"eth0\",\"lo\"],\"addresses\":[\"eth0 10.1.2.3\",\"eth0 fe80::1\","
        "\"lo 127.0.0.1\",\"up0 11.0.0.2\"],\"rules\":[\"}\",\"}\",\"table inet x {\"],"
        "\"descriptors\":40,\"files\":9,\"memory\":{\"shared\":1000,\"kernel\":2000,"
        "\"worker\":3000}},\"manager\":{\"descriptors\":30,\"memory\":4000}}";
    json_t *json = json_parse_object(text, strlen(text), false, &err);
    assert_non_null(json);
    return json;
}

static const struct abuse_host_finding *find(const struct abuse_host_finding *findings,
                                             const char *what)
{
    for (size_t i = 0; i < ABUSE_HOST_ITEMS; i++)
        if (strcmp(findings[i].what, what) == 0)
            return &findings[i];
    fail_msg("no finding about %s", what);
    return NULL;
}

/* All but those of the named things are as before. */
static void expect(const json_t *before, const json_t *after, const char *what,
                   enum abuse_verdict verdict, const char *words)
{
    struct abuse_host_finding findings[ABUSE_HOST_ITEMS];
    abuse_host_compare(before, after, findings);
    for (size_t i = 0; i < ABUSE_HOST_ITEMS; i++)
        if (!what || strcmp(findings[i].what, what) != 0)
            assert_int_equal(findings[i].verdict, ABUSE_HELD);
    if (!what)
        return;
    assert_int_equal(find(findings, what)->verdict, verdict);
    assert_contains(find(findings, what)->why, words);
}

static void nothing_changed(void **state)
{
    (void)state;
    cleanup_json json_t *before = footprint(), *after = footprint();
    expect(before, after, NULL, ABUSE_HELD, "");
}

static void append(json_t *after, const char *list, const char *line)
{
    json_t *worker = json_object_get(after, "worker");
    json_array_append_new(json_object_get(worker, list), json_string(line));
}

static void what_is_more_is_named(void **state)
{
    static const struct {
        const char *list, *what, *line;
    } more[] = {
        {"strays", "processes and groups", "process 7 sleep"},
        {"mounts", "mounts", "worker /mnt tmpfs"},
        {"interfaces", "interfaces", "cl_01"},
        {"addresses", "addresses", "lo 127.0.0.1"}, /* a second one of the same text counts */
        {"rules", "firewall rules", "accept"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        char words[200];
        cleanup_json json_t *before = footprint(), *after = footprint();
        append(after, more[i].list, more[i].line);
        snprintf(words, sizeof(words), "1 more than before, such as: %s", more[i].line);
        expect(before, after, more[i].what, ABUSE_FAILED, words);
    }
}

static void what_is_gone_is_named(void **state)
{
    (void)state;
    cleanup_json json_t *before = footprint(), *after = footprint();
    append(before, "rules", "drop");
    expect(before, after, "firewall rules", ABUSE_FAILED, "1 of before are gone, such as: drop");
    cleanup_json json_t *other = footprint();
    append(other, "strays", "process 7 sleep"); /* that one has ended is no harm */
    expect(other, after, NULL, ABUSE_HELD, "");
}

static void numbers_may_not_grow(void **state)
{
    (void)state;
    cleanup_json json_t *before = footprint(), *after = footprint();
    json_t *worker = json_object_get(after, "worker");
    json_object_set_new(worker, "descriptors", json_integer(41));
    expect(before, after, "descriptors", ABUSE_FAILED, "40 before, now 41");
    json_object_set_new(worker, "runners", json_integer(9));
    struct abuse_host_finding findings[ABUSE_HOST_ITEMS];
    abuse_host_compare(before, after, findings);
    assert_int_equal(find(findings, "descriptors")->verdict, ABUSE_NOT_APPLICABLE);
    assert_contains(find(findings, "descriptors")->why,
                    "there were 8 runners before, and now there are 9");
    assert_int_equal(find(findings, "the manager's descriptors")->verdict, ABUSE_HELD);
}

static void memory_has_some_slack(void **state)
{
    (void)state;
    cleanup_json json_t *before = footprint(), *after = footprint();
    json_t *memory = json_object_get(json_object_get(after, "worker"), "memory");
    json_object_set_new(memory, "shared", json_integer(1000 + (64 << 20)));
    expect(before, after, NULL, ABUSE_HELD, "");
    json_object_set_new(memory, "shared", json_integer(1001 + (64 << 20)));
    expect(before, after, "shared memory", ABUSE_FAILED, "1000 before");
}

static void what_is_not_told_is_not_compared(void **state)
{
    (void)state;
    cleanup_json json_t *before = footprint(), *after = footprint();
    json_t *worker = json_object_get(after, "worker");
    json_object_set_new(worker, "rules", json_null());
    json_object_set_new(worker, "rulesWhy", json_string("no nftables"));
    expect(before, after, "firewall rules", ABUSE_NOT_APPLICABLE,
           "the worker cannot tell: no nftables");
    struct abuse_host_finding findings[ABUSE_HOST_ITEMS];
    abuse_host_compare(before, NULL, findings);
    for (size_t i = 0; i < ABUSE_HOST_ITEMS; i++)
        assert_int_equal(findings[i].verdict, ABUSE_NOT_APPLICABLE);
}

static void addresses_are_gathered(void **state)
{
    char text[64] = "";
    (void)state;
    cleanup_json json_t *json = footprint();
    abuse_host_addresses(json, text, sizeof(text));
    assert_string_equal(text, "10.1.2.3,11.0.0.2");
    abuse_host_addresses(json, text, 30); /* what does not fit is left out */
    assert_string_equal(text, "10.1.2.3,11.0.0.2,10.1.2.3");
    abuse_host_addresses(NULL, text, sizeof(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changed),
        cmocka_unit_test(what_is_more_is_named),
        cmocka_unit_test(what_is_gone_is_named),
        cmocka_unit_test(numbers_may_not_grow),
        cmocka_unit_test(memory_has_some_slack),
        cmocka_unit_test(what_is_not_told_is_not_compared),
        cmocka_unit_test(addresses_are_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
