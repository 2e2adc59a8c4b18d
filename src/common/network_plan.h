/* The plan of a worker's network: what its settings mean, and which name, address and MAC address
 * belong to which runner, by its id slot. All of it is arithmetic, nothing is looked up on the
 * host.
 */
#ifndef COMMON_NETWORK_PLAN_H
#define COMMON_NETWORK_PLAN_H

#include "config.h"
#include "ipv4.h"

#include <net/if.h>

#define NETWORK_RESOLVERS_MOST 3 /* those that resolv.conf(5) takes */
#define NETWORK_OPEN_MOST 32
#define NETWORK_PORTS_MOST 32
#define NETWORK_MAC_LEN 6

struct network_plan {
    char base[11];         /* what the interfaces' names begin with */
    char bridge[IFNAMSIZ]; /* BASE_br; a runner's port is BASE_SLOT, in hexadecimal */
    char table[32];        /* of nftables, in the families bridge and inet */
    struct ipv4_range subnet;
    uint32_t gateway;
    uint32_t resolvers[NETWORK_RESOLVERS_MOST]; /* of the settings; none: the host's own */
    unsigned resolvers_len;
    struct ipv4_range open[NETWORK_OPEN_MOST];
    unsigned open_len;
    uint16_t closed_ports[NETWORK_PORTS_MOST];
    unsigned closed_ports_len;
    int64_t packets, connections, connection_rate; /* per runner; see config.def */
};

/* Fails naming the setting that is wrong. */
int network_plan_make(struct network_plan *plan, const struct config *config, struct err *err);

/* The slot's address; 0 when the subnet has none for it. */
uint32_t network_plan_address(const struct network_plan *plan, unsigned slot);

/* The host's end of the slot's cable. */
void network_plan_port(const struct network_plan *plan, unsigned slot, char name[IFNAMSIZ]);

/* The slot that such a name belongs to; -1 for any other interface. */
int network_plan_slot(const struct network_plan *plan, const char *name);

void network_plan_mac(unsigned slot, unsigned char mac[NETWORK_MAC_LEN]);
extern const unsigned char network_plan_gateway_mac[NETWORK_MAC_LEN];

/* The addresses of a resolv.conf's name servers that a runner can use: IPv4 and not the host's
 * loopback. Returns how many.
 */
unsigned network_plan_read_resolvers(const char *text, uint32_t resolvers[NETWORK_RESOLVERS_MOST]);

#endif
