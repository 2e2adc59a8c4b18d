/* Addresses, ranges and ports as settings have them, and a resolv.conf. */
#include "fuzz.h"

#include "../../src/common/network_plan.h"

static void check_address(const char *text)
{
    uint32_t address, again;
    char written[IPV4_TEXT_MAX];
    if (!ipv4_parse(text, &address))
        return;
    ipv4_format(address, written);
    must(strcmp(text, written) == 0); /* there is one way to write each */
    must(ipv4_parse(written, &again) && again == address);
}

static void check_lists(const char *text)
{
    struct err err;
    struct ipv4_range ranges[NETWORK_OPEN_MOST];
    uint16_t ports[NETWORK_PORTS_MOST];
    uint32_t addresses[NETWORK_RESOLVERS_MOST];
    int count = ipv4_ranges_parse(text, ranges, NETWORK_OPEN_MOST, &err);
    must(count <= NETWORK_OPEN_MOST);
    for (int i = 0; i < count; i++) {
        must(ranges[i].prefix <= 32 && (ranges[i].first & ~ipv4_mask(ranges[i].prefix)) == 0);
        must(ipv4_overlap(&ranges[i], &ranges[i]));
    }
    count = ipv4_ports_parse(text, ports, NETWORK_PORTS_MOST, &err);
    must(count <= NETWORK_PORTS_MOST);
    for (int i = 0; i < count; i++)
        must(ports[i] > 0);
    must(ipv4_list_parse(text, addresses, NETWORK_RESOLVERS_MOST, &err) <= NETWORK_RESOLVERS_MOST);
}

static void check_resolvers(const char *text)
{
    uint32_t resolvers[NETWORK_RESOLVERS_MOST];
    unsigned count = network_plan_read_resolvers(text, resolvers);
    must(count <= NETWORK_RESOLVERS_MOST);
    for (unsigned i = 0; i < count; i++)
        must(resolvers[i] != 0 && resolvers[i] >> 24 != 127);
}

static void check_slot(const char *text)
{
    static struct network_plan plan;
    struct config config;
    struct err err;
    config_defaults(&config);
    must(network_plan_make(&plan, &config, &err) == 0);
    int slot = network_plan_slot(&plan, text);
    if (slot < 0)
        return;
    char name[IFNAMSIZ];
    network_plan_port(&plan, (unsigned)slot, name);
    must(strcmp(name, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    check_resolvers(text);
    text[strcspn(text, "\n")] = '\0';
    check_address(text);
    check_lists(text);
    check_slot(text);
    free(text);
    return 0;
}
