#include "../../../src/common/network_plan.h"

#include "../../support/cm.h"

#include <string.h>

static struct config config;
static struct network_plan plan;
static struct err err;

static int plan_with(const char *assignment)
{
    config_defaults(&config);
    assert_ok(config_set(&config, assignment, &err), err);
    return network_plan_make(&plan, &config, &err);
}

static void names_tell_workers_and_runners_apart(void **state)
{
    char name[IFNAMSIZ];
    (void)state;
    assert_ok(plan_with("worker.prefix=code-land"), err);
    assert_string_equal(plan.bridge, "code-land_br");
    assert_string_equal(plan.table, "codeland_code_land");
    network_plan_port(&plan, 26, name);
    assert_string_equal(name, "code-land_001a");
    assert_int_equal(network_plan_slot(&plan, name), 26);
    assert_int_equal(network_plan_slot(&plan, "code-land_br"), -1);
    assert_int_equal(network_plan_slot(&plan, "code-land_1a"), -1);
    assert_int_equal(network_plan_slot(&plan, "code-land_001A"), -1);
    assert_int_equal(network_plan_slot(&plan, "code_001a"), -1);
    assert_int_equal(network_plan_slot(&plan, "eth0"), -1);
    network_plan_port(&plan, 65535, name);
    assert_int_equal(network_plan_slot(&plan, name), 65535);
}

static void long_prefixes_are_hashed_and_fit(void **state)
{
    char base[sizeof(plan.base)], name[IFNAMSIZ];
    (void)state;
    assert_ok(plan_with("worker.prefix=a-rather-long-prefix"), err);
    strcpy(base, plan.base);
    assert_int_equal(strlen(base), 10);
    network_plan_port(&plan, 65535, name);
    assert_int_equal(network_plan_slot(&plan, name), 65535);
    assert_ok(plan_with("worker.prefix=a-rather-long-prefiy"), err);
    assert_string_not_equal(base, plan.base);
}

static void every_slot_has_an_address_and_a_mac_of_its_own(void **state)
{
    unsigned char mac[NETWORK_MAC_LEN], other[NETWORK_MAC_LEN];
    (void)state;
    assert_ok(plan_with("network.subnet=198.19.0.0/16"), err);
    assert_int_equal(plan.gateway, 0xc6130001u);
    assert_int_equal(network_plan_address(&plan, 0), 0xc6130002u);
    assert_int_equal(network_plan_address(&plan, 65532), 0xc613fffeu);
    assert_int_equal(network_plan_address(&plan, 65533), 0);
    network_plan_mac(1, mac);
    network_plan_mac(257, other);
    assert_memory_not_equal(mac, other, sizeof(mac));
    assert_int_equal(mac[0] & 3, 2); /* locally administered, of one station */
    assert_memory_not_equal(mac, network_plan_gateway_mac, sizeof(mac));
}

static void wrong_settings_are_named(void **state)
{
    static const struct {
        const char *assignment, *words;
    } cases[] = {
        {"network.subnet=198.19.0.0", "network.subnet: \"198.19.0.0\" is not an IPv4 range"},
        {"network.subnet=198.19.0.1/16", "network.subnet"},
        {"network.subnet=0.0.0.0/0", "with a prefix of 8..29"},
        {"network.subnet=198.19.0.0/27", "has too few addresses for oven.max_runners (64)"},
        {"network.resolvers=1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4",
         "network.resolvers: has more than 3 entries"},
        {"network.open=10.0.0.0/8 lan", "network.open: \"lan\" is not an IPv4 range"},
        {"network.closed_ports=smtp", "network.closed_ports: \"smtp\" is not a port"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_fails(plan_with(cases[i].assignment), err, ERR_BAD_REQUEST, cases[i].words);
        assert_fails(config_check(&config, &err), err, ERR_BAD_REQUEST, cases[i].words);
    }
}

static void resolvers_are_those_that_a_runner_can_reach(void **state)
{
    uint32_t found[NETWORK_RESOLVERS_MOST];
    (void)state;
    assert_int_equal(network_plan_read_resolvers("", found), 0);
    assert_int_equal(network_plan_read_resolvers("nameserver", found), 0);
    assert_int_equal(network_plan_read_resolvers("nameserver 127.0.0.53\noptions edns0", found), 0);
    assert_int_equal(network_plan_read_resolvers("# nameserver 1.1.1.1\n"
                                                 "nameserver1.1.1.1\n"
                                                 "nameserver fe80::1%eth0\n"
                                                 "nameserver\t 9.9.9.9 # mine\r\n"
                                                 "search nameserver 2.2.2.2\n"
                                                 "nameserver 0.0.0.0\n"
                                                 "nameserver 192.168.1.1",
                                                 found),
                     2);
    assert_int_equal(found[0], 0x09090909);
    assert_int_equal(found[1], 0xc0a80101u);
    assert_int_equal(found[2], 0);
    assert_int_equal(network_plan_read_resolvers("nameserver 1.1.1.1\nnameserver 1.1.1.2\n"
                                                 "nameserver 1.1.1.3\nnameserver 1.1.1.4\n",
                                                 found),
                     3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tell_workers_and_runners_apart),
        cmocka_unit_test(long_prefixes_are_hashed_and_fit),
        cmocka_unit_test(every_slot_has_an_address_and_a_mac_of_its_own),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(resolvers_are_those_that_a_runner_can_reach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
