#include "network_rules.h"

#include "../common/fault.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <inttypes.h>
#include <nftables/libnftables.h>
#include <string.h>

struct network_rules {
    const struct network_plan *plan;
    struct nft_ctx *nft;
};

#define TEXT_MAX ((size_t)16 << 20) /* 65,536 ports take five */

/* Everything that is not globally reachable (the registries of RFC 6890, multicast and what is
 * above it). The metadata services of clouds are among them, at 169.254.169.254 and in 100.64/10.
 */
static const char *const closed_ranges[] = {
    "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",   "127.0.0.0/8",    "168.63.129.16",
    "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
};

static const char *const always_closed_ports = "53, 853";

struct network_rules *network_rules_create(const struct network_plan *plan, struct err *err)
{
    struct network_rules *rules = mem_new(struct network_rules);
    rules->plan = plan;
    rules->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!rules->nft || nft_ctx_buffer_error(rules->nft) != 0 ||
        nft_ctx_buffer_output(rules->nft) != 0) {
        err_set(err, ERR_INTERNAL, "libnftables cannot be used");
        network_rules_destroy(rules);
        return NULL;
    }
    return rules;
}

void network_rules_destroy(struct network_rules *rules)
{
    if (!rules)
        return;
    if (rules->nft)
        nft_ctx_free(rules->nft);
    free(rules);
}

static int apply(struct network_rules *rules, struct buf *text, const char *doing, struct err *err)
{
    int failed = FAULT(NFTABLES, -1, nft_run_cmd_from_buffer(rules->nft, text->data));
    buf_finish(text);
    if (!failed)
        return 0;
    /* "/dev/stdin:1:2-3: Error: why", then the line and its marks. */
    const char *said = nft_ctx_get_error_buffer(rules->nft);
    const char *why = said ? strstr(said, "Error: ") : NULL;
    why = why ? why + strlen("Error: ") : "no reason given";
    return err_set(err, ERR_NOT_AVAILABLE, "cannot %s: nftables says: %.*s", doing,
                   (int)strcspn(why, "\n"), why);
}

/* The element of `ports` for a slot. */
static void print_port(struct buf *text, const struct network_plan *plan, unsigned slot)
{
    char name[IFNAMSIZ], address[IPV4_TEXT_MAX];
    unsigned char mac[NETWORK_MAC_LEN];
    network_plan_port(plan, slot, name);
    network_plan_mac(slot, mac);
    ipv4_format(network_plan_address(plan, slot), address);
    buf_printf(text, "\"%s\" . %02x:%02x:%02x:%02x:%02x:%02x . %s", name, mac[0], mac[1], mac[2],
               mac[3], mac[4], mac[5], address);
}

/* Both, whether they are there or not. */
static void print_removal(struct buf *text, const char *table)
{
    buf_printf(text,
               "add table bridge %s\n"
               "delete table bridge %s\n"
               "add table inet %s\n"
               "delete table inet %s\n",
               table, table, table, table);
}

/* Nothing leaves a runner's port but IPv4 to the gateway, from its own MAC and address: no ARP
 * (neighbours are set, not asked for), no IPv6 and so no RA or NDP, no VLAN, no broadcast. The
 * hook `input` is for frames to the bridge's own group addresses, which skip the other.
 */
static void print_pins(struct buf *text, const struct network_plan *plan, const unsigned *slots,
                       size_t slots_len)
{
    const unsigned char *mac = network_plan_gateway_mac;
    buf_printf(text,
               "table bridge %s {\n"
               " set ports { type ifname . ether_addr . ipv4_addr; size 65536;",
               plan->table);
    for (size_t i = 0; i < slots_len; i++) {
        buf_append_str(text, i == 0 ? " elements = { " : ", ");
        print_port(text, plan, slots[i]);
    }
    buf_append_str(text, slots_len > 0 ? " }; }\n" : " }\n");
    for (int i = 0; i < 2; i++)
        buf_printf(text,
                   " chain %s { type filter hook %s priority -300; policy accept;\n"
                   "  iifname \"%s_*\" goto port\n"
                   " }\n",
                   i ? "input" : "prerouting", i ? "input" : "prerouting", plan->base);
    buf_printf(text,
               " chain port {\n"
               "  ether type ip ether daddr %02x:%02x:%02x:%02x:%02x:%02x"
               " iifname . ether saddr . ip saddr @ports accept\n"
               "  drop\n"
               " }\n"
               "}\n",
               mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void print_addresses(struct buf *text, const struct network_plan *plan,
                            const struct network_resolvers *resolvers)
{
    char address[IPV4_TEXT_MAX];
    buf_append_str(text, " set closed { type ipv4_addr; flags interval; elements = { ");
    for (size_t i = 0; i < ARRAY_LEN(closed_ranges); i++)
        buf_printf(text, "%s%s", i ? ", " : "", closed_ranges[i]);
    buf_append_str(text, " }; }\n set opened { type ipv4_addr; flags interval; auto-merge;");
    for (unsigned i = 0; i < plan->open_len; i++) {
        ipv4_format(plan->open[i].first, address);
        buf_printf(text, "%s%s/%u", i ? ", " : " elements = { ", address, plan->open[i].prefix);
    }
    buf_append_str(text, plan->open_len ? " }; }\n" : " }\n");
    buf_printf(text, " set closed_ports { type inet_service; elements = { %s", always_closed_ports);
    for (unsigned i = 0; i < plan->closed_ports_len; i++)
        buf_printf(text, ", %u", plan->closed_ports[i]);
    buf_append_str(text, " }; }\n set resolvers { type ipv4_addr;");
    for (unsigned i = 0; i < resolvers->len; i++) {
        ipv4_format(resolvers->list[i], address);
        buf_printf(text, "%s%s", i ? ", " : " elements = { ", address);
    }
    buf_append_str(text, resolvers->len ? " }; }\n" : " }\n");
}

static void print_bounds(struct buf *text)
{
    static const char *const rates[] = {"sent", "received", "begun"};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++)
        buf_printf(text,
                   " set %s { type ipv4_addr; size 65536; flags dynamic,timeout; timeout 10s; }\n",
                   rates[i]);
    buf_append_str(text, " set connected { type ipv4_addr; size 65536; flags dynamic; }\n");
}

/* A runner talks through `out`; `back` lets answers in, and nothing that was not asked for. The
 * host itself is closed but for a resolver that it may be. What is refused is told so, which costs
 * a program no waiting; what is too much is dropped. (The kernel sends few ICMP messages, so a
 * connection is reset instead.)
 */
static void print_filter(struct buf *text, const struct network_plan *plan)
{
    const char *bridge = plan->bridge;
    buf_printf(text,
               " chain input { type filter hook input priority -10; policy accept;\n"
               "  iifname \"%s\" goto host\n"
               " }\n"
               " chain forward { type filter hook forward priority -10; policy accept;\n"
               "  iifname \"%s\" goto out\n"
               "  oifname \"%s\" goto back\n"
               "  iifname @uplinks drop\n"
               " }\n",
               bridge, bridge, bridge);
    buf_append_str(text, " chain refuse {\n"
                         "  meta l4proto tcp reject with tcp reset\n"
                         "  reject with icmpx admin-prohibited\n"
                         " }\n");
    buf_printf(text,
               " chain bound { update @sent { ip saddr limit rate over %" PRId64
               "/second burst %" PRId64 " packets } drop\n }\n",
               plan->packets, plan->packets);
    buf_append_str(text, " chain host { jump bound\n"
                         "  meta l4proto { tcp, udp } th dport 53 ip daddr @resolvers goto fresh\n"
                         "  goto refuse\n"
                         " }\n");
    buf_printf(text,
               " chain out { jump bound\n"
               "  meta nfproto != ipv4 drop\n"
               "  ct state established accept\n"
               "  ct state invalid drop\n"
               "  oifname \"%s\" goto refuse\n"
               "  meta l4proto { tcp, udp } th dport 53 ip daddr @resolvers goto fresh\n"
               "  ip daddr @opened goto ports\n"
               "  ip daddr @closed goto refuse\n"
               "  goto ports\n"
               " }\n",
               bridge);
    buf_append_str(text, " chain ports {\n"
                         "  meta l4proto { tcp, udp } th dport @closed_ports"
                         " goto refuse\n"
                         "  meta l4proto { tcp, udp, icmp } goto fresh\n"
                         "  goto refuse\n"
                         " }\n");
    buf_printf(text,
               " chain fresh { ct state != new accept\n"
               "  update @begun { ip saddr limit rate over %" PRId64 "/second burst %" PRId64
               " packets } drop\n"
               "  add @connected { ip saddr ct count over %" PRId64 " } goto refuse\n"
               "  accept\n"
               " }\n",
               plan->connection_rate, plan->connection_rate, plan->connections);
    buf_printf(text,
               " chain back {\n"
               "  update @received { ip daddr limit rate over %" PRId64 "/second burst %" PRId64
               " packets } drop\n"
               "  ct state established accept\n"
               "  ct state related meta l4proto icmp accept\n"
               "  drop\n"
               " }\n",
               plan->packets, plan->packets);
}

static void print_filter_table(struct buf *text, const struct network_plan *plan,
                               const struct network_resolvers *resolvers,
                               const char (*uplinks)[IFNAMSIZ], size_t uplinks_len)
{
    char subnet[IPV4_TEXT_MAX];
    ipv4_format(plan->subnet.first, subnet);
    buf_printf(text, "table inet %s {\n", plan->table);
    print_addresses(text, plan, resolvers);
    buf_append_str(text, " set uplinks { type ifname;");
    for (size_t i = 0; i < uplinks_len; i++)
        buf_printf(text, "%s\"%s\"", i ? ", " : " elements = { ", uplinks[i]);
    buf_append_str(text, uplinks_len ? " }; }\n" : " }\n");
    print_bounds(text);
    print_filter(text, plan);
    buf_printf(text,
               " chain leave { type nat hook postrouting priority 100; policy accept;\n"
               "  ip saddr %s/%u oifname != \"%s\" masquerade\n"
               " }\n"
               "}\n",
               subnet, plan->subnet.prefix, plan->bridge);
}

int network_rules_make(struct network_rules *rules, const struct network_resolvers *resolvers,
                       const unsigned *slots, size_t slots_len, const char (*uplinks)[IFNAMSIZ],
                       size_t uplinks_len, struct err *err)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    print_removal(&text, rules->plan->table);
    print_pins(&text, rules->plan, slots, slots_len);
    print_filter_table(&text, rules->plan, resolvers, uplinks, uplinks_len);
    return apply(rules, &text, "make the network's rules", err);
}

int network_rules_remove(struct network_rules *rules, struct err *err)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    print_removal(&text, rules->plan->table);
    return apply(rules, &text, "remove the network's rules", err);
}

static int change_port(struct network_rules *rules, const char *verb, unsigned slot,
                       struct err *err)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "%s element bridge %s ports { ", verb, rules->plan->table);
    print_port(&text, rules->plan, slot);
    buf_append_str(&text, " }\n");
    return apply(rules, &text, "change who may use the network", err);
}

int network_rules_add(struct network_rules *rules, unsigned slot, struct err *err)
{
    return change_port(rules, "add", slot, err);
}

int network_rules_delete(struct network_rules *rules, unsigned slot, struct err *err)
{
    return change_port(rules, "delete", slot, err);
}

int network_rules_guard(struct network_rules *rules, const char *uplink, struct err *err)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "add element inet %s uplinks { \"%s\" }\n", rules->plan->table, uplink);
    return apply(rules, &text, "guard the way out", err);
}

int network_rules_show(struct buf *text, struct err *err)
{
    struct network_rules *rules = network_rules_create(NULL, err);
    struct buf command;
    if (!rules)
        return -1;
    nft_ctx_output_set_flags(rules->nft, NFT_CTX_OUTPUT_STATELESS);
    buf_init(&command, TEXT_MAX);
    buf_append_str(&command, "list ruleset\n");
    int result = apply(rules, &command, "list the host's rules", err);
    const char *said = result == 0 ? nft_ctx_get_output_buffer(rules->nft) : NULL;
    if (said && !buf_append_str(text, said))
        result = err_set(err, ERR_INTERNAL, "the host has too many rules to list");
    network_rules_destroy(rules);
    return result;
}
