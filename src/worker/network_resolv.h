/* resolv.conf: this host's, read, and a runner's, written. */
#ifndef WORKER_NETWORK_RESOLV_H
#define WORKER_NETWORK_RESOLV_H

#include "network_ground.h"
#include "network_rules.h"

/* The name servers that this host asks and a runner can use too. Where the host asks a forwarder of
 * its own on its loopback, those that systemd-resolved asks. Returns how many.
 */
unsigned network_resolv_of_host(uint32_t resolvers[NETWORK_RESOLVERS_MOST]);

/* Makes /etc/resolv.conf in the runner anew. Only where nothing has run yet. */
int network_resolv_write(const struct network_target *target,
                         const struct network_resolvers *resolvers, struct err *err);

#endif
