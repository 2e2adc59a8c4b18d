/* Interfaces, addresses, routes and connections, by netlink. Every function acts on the network
 * namespace in which its socket was opened, blocks until the kernel has answered, and fails with
 * the kernel's errno.
 *
 * For the network's process alone (network_helper.c).
 */
#ifndef WORKER_NETWORK_LINK_H
#define WORKER_NETWORK_LINK_H

#include "../common/network_plan.h"

#include <stdbool.h>

struct netlink;

/* A socket for interfaces, or for connections; NULL on failure. */
struct netlink *netlink_open(struct err *err);
struct netlink *netlink_open_connections(struct err *err);
void netlink_close(struct netlink *netlink); /* NULL is fine */

/* A bridge that learns nothing and asks nobody, without an address. 0 with *made false when it is
 * there already.
 */
int netlink_add_bridge(struct netlink *netlink, const char *name, bool *made, struct err *err);

/* A cable between a port of a bridge and `inside` in another namespace; both ends are down. */
struct cable {
    const char *port;
    unsigned bridge; /* index */
    const char *inside;
    int inside_ns;
    const unsigned char *inside_mac;
    uint32_t mtu;
};
int netlink_add_cable(struct netlink *netlink, const struct cable *cable, struct err *err);

/* What a bridge's port may do: talk to the host, and to no other port; the bridge learns nothing
 * from it and floods nothing to it, and knows this MAC there.
 */
int netlink_isolate_port(struct netlink *netlink, unsigned port, const unsigned char *mac,
                         struct err *err);

int netlink_set_up(struct netlink *netlink, unsigned index, struct err *err);
int netlink_add_address(struct netlink *netlink, unsigned index, uint32_t address, unsigned prefix,
                        struct err *err);

/* A permanent entry, in place of one that is there. */
int netlink_set_neighbour(struct netlink *netlink, unsigned index, uint32_t address,
                          const unsigned char *mac, struct err *err);

/* 0 also when there is none. */
int netlink_delete_neighbour(struct netlink *netlink, unsigned index, uint32_t address,
                             struct err *err);

/* A route to a range by way of a gateway, or on the link itself when that is 0. */
int netlink_add_route(struct netlink *netlink, unsigned index, const struct ipv4_range *to,
                      uint32_t gateway, struct err *err);

/* Deletes an interface, a cable with both its ends; 0 also when there is none. */
int netlink_delete(struct netlink *netlink, const char *name, struct err *err);

/* Index of an interface; 0 when there is none. */
unsigned netlink_index(struct netlink *netlink, const char *name);

/* By which interface this host would send to the address, and that one's MTU. */
struct way_out {
    unsigned index;
    char name[IFNAMSIZ];
    uint32_t mtu;
};
int netlink_way_out(struct netlink *netlink, uint32_t address, struct way_out *way,
                    struct err *err);

/* Fails with ERR_NOT_AVAILABLE, and says with what, when a route or an address of this host lies
 * in the range, or the range in one.
 */
int netlink_check_free(struct netlink *netlink, const struct ipv4_range *range, struct err *err);

/* Calls each with every interface's name; it must not use the socket. */
int netlink_each(struct netlink *netlink, void (*each)(const char *name, void *data), void *data,
                 struct err *err);

/* Forgets the connections that were begun by the address. Of a socket for connections. */
int netlink_forget_connections(struct netlink *netlink, uint32_t address, struct err *err);

#endif
