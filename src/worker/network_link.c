#include "network_link.h"

#include "../common/fault.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How it works. A message is built in the socket's buffer by begin() and the attributes that
 * follow, and sent by ask(), which reads until the kernel's acknowledgement and hands every message
 * before that to `found`.
 */
struct netlink {
    struct mnl_socket *socket;
    unsigned port;
    uint32_t sequence;
    char message[2048];
};

#define ANSWER_ROOM 32768 /* what a kernel puts into one read of a dump */

static struct netlink *open_bus(int bus, struct err *err)
{
    struct netlink *netlink = mem_new(struct netlink);
    netlink->socket = FAULT(NETLINK_OPEN, NULL, mnl_socket_open2(bus, SOCK_CLOEXEC));
    if (netlink->socket && mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) == 0) {
        netlink->port = mnl_socket_get_portid(netlink->socket);
        return netlink;
    }
    err_sys(err, ERR_INTERNAL, errno, "cannot open a netlink socket");
    netlink_close(netlink);
    return NULL;
}

struct netlink *netlink_open(struct err *err)
{
    return open_bus(NETLINK_ROUTE, err);
}

struct netlink *netlink_open_connections(struct err *err)
{
    return open_bus(NETLINK_NETFILTER, err);
}

void netlink_close(struct netlink *netlink)
{
    if (!netlink)
        return;
    if (netlink->socket)
        mnl_socket_close(netlink->socket);
    free(netlink);
}

static struct nlmsghdr *begin(struct netlink *netlink, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->message);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = ++netlink->sequence;
    return message;
}

/* What an answer that could not be received whole has left: the next one would be taken for it. */
static void drain(struct netlink *netlink, char *room)
{
    int fd = mnl_socket_get_fd(netlink->socket);
    while (recv(fd, room, ANSWER_ROOM, MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS)
        ;
}

/* Sends what was built. NULL as found: answers are of no interest. 0, or an errno. */
static int ask(struct netlink *netlink, struct nlmsghdr *message, mnl_cb_t found, void *data)
{
    cleanup_free char *answer = mem_calloc(1, ANSWER_ROOM);
    uint32_t sequence = message->nlmsg_seq;
    if ((message->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP) /* EXCL is one of its bits */
        message->nlmsg_flags |= NLM_F_ACK;
    drain(netlink, answer);
    if (FAULT(NETLINK_SEND, -1, mnl_socket_sendto(netlink->socket, message, message->nlmsg_len)) <
        0)
        return errno;
    for (;;) {
        ssize_t len =
            FAULT(NETLINK_RECEIVE, -1, mnl_socket_recvfrom(netlink->socket, answer, ANSWER_ROOM));
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return errno;
        int more = mnl_cb_run(answer, (size_t)len, sequence, netlink->port, found, data);
        if (more < 0)
            return errno;
        if (more == MNL_CB_STOP)
            return 0;
    }
}

static int ask_for(struct netlink *netlink, struct nlmsghdr *message, const char *doing,
                   struct err *err)
{
    int why = ask(netlink, message, NULL, NULL);
    return why ? err_sys(err, ERR_NOT_AVAILABLE, why, "cannot %s", doing) : 0;
}

static struct ifinfomsg *begin_link(struct nlmsghdr *message, unsigned char family, unsigned index)
{
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
    link->ifi_family = family;
    link->ifi_index = (int)index;
    return link;
}

/* ---- interfaces ---- */

int netlink_add_bridge(struct netlink *netlink, const char *name, bool *made, struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    begin_link(message, AF_UNSPEC, 0);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put(message, IFLA_ADDRESS, NETWORK_MAC_LEN, network_plan_gateway_mac);
    struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u8(message, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_put_u32(message, IFLA_BR_STP_STATE, 0);
    mnl_attr_put_u32(message, IFLA_BR_FORWARD_DELAY, 0);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    int why = ask(netlink, message, NULL, NULL);
    *made = why == 0;
    if (why != 0 && why != EEXIST)
        return err_sys(err, ERR_NOT_AVAILABLE, why, "cannot make the bridge %s", name);
    return 0;
}

int netlink_add_cable(struct netlink *netlink, const struct cable *cable, struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    begin_link(message, AF_UNSPEC, 0);
    mnl_attr_put_strz(message, IFLA_IFNAME, cable->port);
    mnl_attr_put_u32(message, IFLA_MASTER, cable->bridge);
    mnl_attr_put_u32(message, IFLA_MTU, cable->mtu);
    struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
    begin_link(message, AF_UNSPEC, 0);
    mnl_attr_put_strz(message, IFLA_IFNAME, cable->inside);
    mnl_attr_put(message, IFLA_ADDRESS, NETWORK_MAC_LEN, cable->inside_mac);
    mnl_attr_put_u32(message, IFLA_MTU, cable->mtu);
    mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)cable->inside_ns);
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    return ask_for(netlink, message, "make a runner's cable", err);
}

static void put_switch(struct nlmsghdr *message, uint16_t attribute, bool on)
{
    mnl_attr_put_u8(message, attribute, on);
}

int netlink_isolate_port(struct netlink *netlink, unsigned port, const unsigned char *mac,
                         struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_SETLINK, 0);
    begin_link(message, AF_BRIDGE, port);
    struct nlattr *settings = mnl_attr_nest_start(message, IFLA_PROTINFO);
    put_switch(message, IFLA_BRPORT_ISOLATED, true);
    put_switch(message, IFLA_BRPORT_LEARNING, false);
    put_switch(message, IFLA_BRPORT_UNICAST_FLOOD, false);
    put_switch(message, IFLA_BRPORT_MCAST_FLOOD, false);
    put_switch(message, IFLA_BRPORT_BCAST_FLOOD, false);
    mnl_attr_nest_end(message, settings);
    if (ask_for(netlink, message, "isolate a runner's port", err) != 0)
        return -1;
    message = begin(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    struct ndmsg *entry = mnl_nlmsg_put_extra_header(message, sizeof(*entry));
    entry->ndm_family = AF_BRIDGE;
    entry->ndm_ifindex = (int)port;
    entry->ndm_state = NUD_NOARP;
    entry->ndm_flags = NTF_MASTER;
    mnl_attr_put(message, NDA_LLADDR, NETWORK_MAC_LEN, mac);
    return ask_for(netlink, message, "tell the bridge where a runner is", err);
}

int netlink_set_up(struct netlink *netlink, unsigned index, struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWLINK, 0);
    struct ifinfomsg *link = begin_link(message, AF_UNSPEC, index);
    link->ifi_flags = link->ifi_change = IFF_UP;
    return ask_for(netlink, message, "set an interface up", err);
}

int netlink_delete(struct netlink *netlink, const char *name, struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_DELLINK, 0);
    begin_link(message, AF_UNSPEC, 0);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    int why = ask(netlink, message, NULL, NULL);
    return why == 0 || why == ENODEV
               ? 0
               : err_sys(err, ERR_INTERNAL, why, "cannot delete the interface %s", name);
}

/* What is known of an interface. */
static int note_link(const struct nlmsghdr *answer, void *data)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(answer);
    struct way_out *way = data;
    const struct nlattr *attribute;
    way->index = (unsigned)link->ifi_index;
    mnl_attr_for_each(attribute, answer, sizeof(*link))
    {
        if (mnl_attr_get_type(attribute) == IFLA_MTU)
            way->mtu = mnl_attr_get_u32(attribute);
        if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
            str_format(way->name, sizeof(way->name), "%s", mnl_attr_get_str(attribute));
    }
    return MNL_CB_OK;
}

unsigned netlink_index(struct netlink *netlink, const char *name)
{
    struct way_out found = {0};
    struct nlmsghdr *message = begin(netlink, RTM_GETLINK, 0);
    begin_link(message, AF_UNSPEC, 0);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    return ask(netlink, message, note_link, &found) == 0 ? found.index : 0;
}

struct each {
    void (*each)(const char *name, void *data);
    void *data;
};

static int name_link(const struct nlmsghdr *answer, void *data)
{
    const struct each *each = data;
    struct way_out found = {0};
    note_link(answer, &found);
    each->each(found.name, each->data);
    return MNL_CB_OK;
}

int netlink_each(struct netlink *netlink, void (*each)(const char *name, void *data), void *data,
                 struct err *err)
{
    struct each wanted = {each, data};
    struct nlmsghdr *message = begin(netlink, RTM_GETLINK, NLM_F_DUMP);
    begin_link(message, AF_UNSPEC, 0);
    int why = ask(netlink, message, name_link, &wanted);
    return why ? err_sys(err, ERR_INTERNAL, why, "cannot list interfaces") : 0;
}

/* ---- addresses, neighbours, routes ---- */

int netlink_add_address(struct netlink *netlink, unsigned index, uint32_t address, unsigned prefix,
                        struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *entry = mnl_nlmsg_put_extra_header(message, sizeof(*entry));
    entry->ifa_family = AF_INET;
    entry->ifa_prefixlen = (unsigned char)prefix;
    entry->ifa_index = index;
    mnl_attr_put_u32(message, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(message, IFA_ADDRESS, htonl(address));
    return ask_for(netlink, message, "give an interface its address", err);
}

static struct nlmsghdr *begin_neighbour(struct netlink *netlink, uint16_t type, uint16_t flags,
                                        unsigned index, uint32_t address)
{
    struct nlmsghdr *message = begin(netlink, type, flags);
    struct ndmsg *entry = mnl_nlmsg_put_extra_header(message, sizeof(*entry));
    entry->ndm_family = AF_INET;
    entry->ndm_ifindex = (int)index;
    entry->ndm_state = NUD_PERMANENT;
    mnl_attr_put_u32(message, NDA_DST, htonl(address));
    return message;
}

int netlink_set_neighbour(struct netlink *netlink, unsigned index, uint32_t address,
                          const unsigned char *mac, struct err *err)
{
    struct nlmsghdr *message =
        begin_neighbour(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, address);
    mnl_attr_put(message, NDA_LLADDR, NETWORK_MAC_LEN, mac);
    return ask_for(netlink, message, "set a neighbour's address", err);
}

int netlink_delete_neighbour(struct netlink *netlink, unsigned index, uint32_t address,
                             struct err *err)
{
    struct nlmsghdr *message = begin_neighbour(netlink, RTM_DELNEIGH, 0, index, address);
    int why = ask(netlink, message, NULL, NULL);
    return why == 0 || why == ENOENT ? 0
                                     : err_sys(err, ERR_INTERNAL, why, "cannot forget a neighbour");
}

int netlink_add_route(struct netlink *netlink, unsigned index, const struct ipv4_range *to,
                      uint32_t gateway, struct err *err)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
    route->rtm_family = AF_INET;
    route->rtm_dst_len = (unsigned char)to->prefix;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_protocol = RTPROT_STATIC;
    route->rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    route->rtm_type = RTN_UNICAST;
    if (to->prefix > 0)
        mnl_attr_put_u32(message, RTA_DST, htonl(to->first));
    if (gateway)
        mnl_attr_put_u32(message, RTA_GATEWAY, htonl(gateway));
    mnl_attr_put_u32(message, RTA_OIF, index);
    return ask_for(netlink, message, "set a route", err);
}

static const struct nlattr *find(const struct nlmsghdr *answer, unsigned offset, uint16_t type)
{
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, answer, offset)
    {
        if (mnl_attr_get_type(attribute) == type)
            return attribute;
    }
    return NULL;
}

static int note_way(const struct nlmsghdr *answer, void *data)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(answer);
    const struct nlattr *index = find(answer, sizeof(*route), RTA_OIF);
    if (index && route->rtm_type == RTN_UNICAST)
        *(unsigned *)data = mnl_attr_get_u32(index);
    return MNL_CB_OK;
}

int netlink_way_out(struct netlink *netlink, uint32_t address, struct way_out *way, struct err *err)
{
    unsigned index = 0;
    struct nlmsghdr *message = begin(netlink, RTM_GETROUTE, 0);
    struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
    route->rtm_family = AF_INET;
    route->rtm_dst_len = 32;
    mnl_attr_put_u32(message, RTA_DST, htonl(address));
    if (ask(netlink, message, note_way, &index) != 0 || index == 0)
        return err_set(err, ERR_NOT_AVAILABLE,
                       "this host has no route to the internet (no default route)");
    *way = (struct way_out){.mtu = 1500};
    message = begin(netlink, RTM_GETLINK, 0);
    begin_link(message, AF_UNSPEC, index);
    int why = ask(netlink, message, note_link, way);
    return why ? err_sys(err, ERR_NOT_AVAILABLE, why, "cannot look at the way out") : 0;
}

/* One that covers more than a /8 is a default route, or the half of one that VPNs set. */
#define WIDEST 8

struct overlap {
    const struct ipv4_range *range;
    struct ipv4_range found;
    bool any;
};

static int note_overlap(const struct nlmsghdr *answer, void *data)
{
    struct overlap *overlap = data;
    const struct rtmsg *route = mnl_nlmsg_get_payload(answer);
    const struct nlattr *to = find(answer, sizeof(*route), RTA_DST);
    struct ipv4_range range = {.prefix = route->rtm_dst_len};
    if (!to || range.prefix < WIDEST || mnl_attr_get_payload_len(to) != 4)
        return MNL_CB_OK;
    range.first = ntohl(mnl_attr_get_u32(to));
    if (!ipv4_overlap(&range, overlap->range))
        return MNL_CB_OK;
    overlap->any = true;
    overlap->found = range;
    return MNL_CB_OK;
}

int netlink_check_free(struct netlink *netlink, const struct ipv4_range *range, struct err *err)
{
    struct overlap overlap = {.range = range};
    char mine[IPV4_TEXT_MAX], theirs[IPV4_TEXT_MAX];
    struct nlmsghdr *message = begin(netlink, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
    route->rtm_family = AF_INET; /* of every table: addresses are in `local` */
    int why = ask(netlink, message, note_overlap, &overlap);
    if (why)
        return err_sys(err, ERR_INTERNAL, why, "cannot list routes");
    if (!overlap.any)
        return 0;
    ipv4_format(range->first, mine);
    ipv4_format(overlap.found.first, theirs);
    return err_set(err, ERR_NOT_AVAILABLE,
                   "network.subnet %s/%u overlaps with this host's route to %s/%u: choose another",
                   mine, range->prefix, theirs, overlap.found.prefix);
}

/* ---- connections ---- */

/* Bit 0 of CTA_FILTER_ORIG_FLAGS: the source address counts (the kernel's nf_internals.h). */
#define ORIGINAL_SOURCE 1

#define FORGET_AT_ONCE 256

/* Whole CTA_TUPLE_ORIG attributes. */
struct tuples {
    uint32_t source; /* network byte order */
    size_t count;
    struct {
        uint16_t len;
        char data[128];
    } list[FORGET_AT_ONCE];
};

static struct nlmsghdr *begin_connections(struct netlink *netlink, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = begin(netlink, NFNL_SUBSYS_CTNETLINK << 8 | type, flags);
    struct nfgenmsg *family = mnl_nlmsg_put_extra_header(message, sizeof(*family));
    family->nfgen_family = AF_INET;
    family->version = NFNETLINK_V0;
    return message;
}

static bool begun_by(const struct nlattr *tuple, uint32_t source)
{
    const struct nlattr *part, *address;
    mnl_attr_for_each_nested(part, tuple)
    {
        if (mnl_attr_get_type(part) != CTA_TUPLE_IP)
            continue;
        mnl_attr_for_each_nested(address, part)
        {
            if (mnl_attr_get_type(address) == CTA_IP_V4_SRC)
                return mnl_attr_get_u32(address) == source;
        }
    }
    return false;
}

static int note_tuple(const struct nlmsghdr *answer, void *data)
{
    struct tuples *tuples = data;
    const struct nlattr *tuple = find(answer, sizeof(struct nfgenmsg), CTA_TUPLE_ORIG);
    if (!tuple || tuples->count == FORGET_AT_ONCE || tuple->nla_len > sizeof(tuples->list[0].data))
        return MNL_CB_OK;
    if (!begun_by(tuple, tuples->source)) /* a kernel that does not know the filter */
        return MNL_CB_OK;
    memcpy(tuples->list[tuples->count].data, tuple, tuple->nla_len);
    tuples->list[tuples->count++].len = tuple->nla_len;
    return MNL_CB_OK;
}

/* Up to FORGET_AT_ONCE of those that the address has begun. */
static int list_connections(struct netlink *netlink, struct tuples *tuples)
{
    struct nlmsghdr *message = begin_connections(netlink, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
    struct nlattr *tuple = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    mnl_attr_put_u32(message, CTA_IP_V4_SRC, tuples->source);
    mnl_attr_nest_end(message, ip);
    mnl_attr_nest_end(message, tuple);
    struct nlattr *filter = mnl_attr_nest_start(message, CTA_FILTER);
    mnl_attr_put_u32(message, CTA_FILTER_ORIG_FLAGS, ORIGINAL_SOURCE);
    mnl_attr_nest_end(message, filter);
    tuples->count = 0;
    return ask(netlink, message, note_tuple, tuples);
}

int netlink_forget_connections(struct netlink *netlink, uint32_t address, struct err *err)
{
    cleanup_free struct tuples *tuples = mem_new(struct tuples);
    tuples->source = htonl(address);
    do {
        int why = list_connections(netlink, tuples);
        if (why)
            return err_sys(err, ERR_INTERNAL, why, "cannot list connections");
        for (size_t i = 0; i < tuples->count; i++) {
            struct nlmsghdr *message = begin_connections(netlink, IPCTNL_MSG_CT_DELETE, 0);
            memcpy(mnl_nlmsg_get_payload_tail(message), tuples->list[i].data, tuples->list[i].len);
            message->nlmsg_len += MNL_ALIGN(tuples->list[i].len);
            why = ask(netlink, message, NULL, NULL);
            if (why && why != ENOENT)
                return err_sys(err, ERR_INTERNAL, why, "cannot forget a connection");
        }
    } while (tuples->count == FORGET_AT_ONCE);
    return 0;
}
