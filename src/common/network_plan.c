#include "network_plan.h"

#include "mem.h"
#include "str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Locally administered; a runner's has its slot at the end. */
const unsigned char network_plan_gateway_mac[NETWORK_MAC_LEN] = {0x02, 0xc1, 0xff, 0, 0, 1};

/* The prefix if it leaves room for the rest of an interface's name, else a hash of it. A prefix
 * holds no '_', so no two workers' names begin alike.
 */
static void make_base(struct network_plan *plan, const char *prefix)
{
    if (str_format(plan->base, sizeof(plan->base), "%s", prefix))
        return;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = prefix; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    str_format(plan->base, sizeof(plan->base), "cl%08x", (unsigned)hash);
}

static void make_names(struct network_plan *plan, const char *prefix)
{
    make_base(plan, prefix);
    str_format(plan->bridge, sizeof(plan->bridge), "%s_br", plan->base);
    str_format(plan->table, sizeof(plan->table), "codeland_%s", plan->base);
    for (char *c = plan->table; *c; c++)
        if (*c == '-') /* which no identifier of nftables may hold */
            *c = '_';
}

static int parse_lists(struct network_plan *plan, const struct config *config, struct err *err)
{
    int count = ipv4_list_parse(config->network_resolvers, plan->resolvers,
                                ARRAY_LEN(plan->resolvers), err);
    if (count < 0)
        return err_context(err, "network.resolvers");
    plan->resolvers_len = (unsigned)count;
    count = ipv4_ranges_parse(config->network_open, plan->open, ARRAY_LEN(plan->open), err);
    if (count < 0)
        return err_context(err, "network.open");
    plan->open_len = (unsigned)count;
    count = ipv4_ports_parse(config->network_closed_ports, plan->closed_ports,
                             ARRAY_LEN(plan->closed_ports), err);
    if (count < 0)
        return err_context(err, "network.closed_ports");
    plan->closed_ports_len = (unsigned)count;
    return 0;
}

int network_plan_make(struct network_plan *plan, const struct config *config, struct err *err)
{
    *plan = (struct network_plan){
        .packets = config->network_packets,
        .connections = config->network_connections,
        .connection_rate = config->network_connection_rate,
    };
    make_names(plan, config->worker_prefix);
    if (!ipv4_range_parse(config->network_subnet, &plan->subnet) || plan->subnet.prefix < 8 ||
        plan->subnet.prefix > 29)
        return err_set(err, ERR_BAD_REQUEST,
                       "network.subnet: \"%.40s\" is not an IPv4 range with a prefix of 8..29",
                       config->network_subnet);
    plan->gateway = plan->subnet.first + 1;
    if (network_plan_address(plan, (unsigned)config->oven_max_runners - 1) == 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "network.subnet: %.40s has too few addresses for oven.max_runners (%" PRId64
                       ")",
                       config->network_subnet, config->oven_max_runners);
    return parse_lists(plan, config, err);
}

uint32_t network_plan_address(const struct network_plan *plan, unsigned slot)
{
    uint32_t size = ~ipv4_mask(plan->subnet.prefix) + 1;
    /* Neither the first two, network and gateway, nor the last, which is broadcast's. */
    return slot < size - 3 ? plan->subnet.first + 2 + slot : 0;
}

void network_plan_port(const struct network_plan *plan, unsigned slot, char name[IFNAMSIZ])
{
    str_format(name, IFNAMSIZ, "%s_%04x", plan->base, slot & 0xffff);
}

int network_plan_slot(const struct network_plan *plan, const char *name)
{
    char again[IFNAMSIZ];
    unsigned slot;
    size_t len = strlen(plan->base);
    if (strncmp(name, plan->base, len) != 0 || sscanf(name + len, "_%4x", &slot) != 1)
        return -1;
    network_plan_port(plan, slot, again);
    return strcmp(again, name) == 0 ? (int)slot : -1;
}

void network_plan_mac(unsigned slot, unsigned char mac[NETWORK_MAC_LEN])
{
    const unsigned char made[NETWORK_MAC_LEN] = {
        0x02, 0xc1, 0, 0, (unsigned char)(slot >> 8), (unsigned char)slot};
    memcpy(mac, made, sizeof(made));
}

static bool usable(uint32_t address)
{
    return address != 0 && address >> 24 != 127;
}

unsigned network_plan_read_resolvers(const char *text, uint32_t resolvers[NETWORK_RESOLVERS_MOST])
{
    static const char keyword[] = "nameserver";
    unsigned count = 0;
    for (const char *line = text; *line && count < NETWORK_RESOLVERS_MOST;) {
        size_t len = strcspn(line, "\n");
        char word[IPV4_TEXT_MAX];
        const char *at = line + strlen(keyword);
        if (len > strlen(keyword) && strncmp(line, keyword, strlen(keyword)) == 0 &&
            strspn(at, " \t") > 0) {
            at += strspn(at, " \t");
            if (str_format(word, sizeof(word), "%.*s", (int)strcspn(at, " \t\r\n"), at) &&
                ipv4_parse(word, &resolvers[count]) && usable(resolvers[count]))
                count++;
        }
        line += len + (line[len] == '\n');
    }
    for (unsigned i = count; i < NETWORK_RESOLVERS_MOST; i++)
        resolvers[i] = 0;
    return count;
}
