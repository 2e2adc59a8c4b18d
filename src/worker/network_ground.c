#include "network_ground.h"

#include "network_link.h"
#include "network_resolv.h"
#include "network_rules.h"

#include "../common/buf.h"
#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>

/* How it works. The host's side is made when the first runner is attached, and looked at again
 * before every other: name servers and the way out change while a worker runs. Linux forwards by
 * interface: our bridge is a router from the start, and so must be the interface by which answers
 * come back. If it is not, it is opened, that is noted (in memory, and in a file for the next
 * worker), and a rule takes care that it hands on nothing but our answers.
 */
#define UPLINKS_MOST 8

struct network_ground {
    const struct network_plan *plan;
    const char *notes;
    struct netlink *links, *connections;
    struct network_rules *rules;
    int host_ns;
    bool made;       /* bridge and rules are there */
    unsigned bridge; /* index */
    struct network_resolvers resolvers;
    unsigned *slots; /* that are attached */
    size_t slots_len, slots_room;
    char uplinks[UPLINKS_MOST][IFNAMSIZ]; /* those that were opened */
    size_t uplinks_len;
};

/* By which way the world is reached is asked with an address that is in it; nothing is sent. */
#define SOMEWHERE 0x01010101u

/* ---- settings of the kernel ---- */

static int set_sysctl(const char *family, const char *name, const char *key, const char *value,
                      struct err *err)
{
    char path[128];
    str_format(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
    if (FAULT(NETWORK_SYSCTL, -1, fd_write_file(AT_FDCWD, path, value)) == 0)
        return 0;
    if (errno == ENOENT && strcmp(family, "ipv6") == 0)
        return 0; /* a kernel without IPv6 */
    return err_sys(err, ERR_NOT_AVAILABLE, errno, "cannot write %s", path);
}

static bool forwards(const char *name)
{
    char path[128], text[16];
    str_format(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", name);
    return fd_read_file(AT_FDCWD, path, text, sizeof(text)) > 0 && text[0] == '1';
}

/* ---- notes ---- */

static int write_notes(const struct network_ground *ground, struct err *err)
{
    struct buf text;
    buf_init(&text, UPLINKS_MOST * IFNAMSIZ);
    for (size_t i = 0; i < ground->uplinks_len; i++)
        buf_printf(&text, "%s\n", ground->uplinks[i]);
    int written = fd_replace_file(ground->notes, text.data, text.len, 0600, false, err);
    buf_finish(&text);
    return written;
}

/* No name of the kernel's holds a blank or a slash; one with other oddities is not opened. */
static bool plain_name(const char *name)
{
    return name[0] && name[0] != '.' &&
           name[strspn(
               name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-")] == '\0';
}

static void read_notes(struct network_ground *ground)
{
    char text[UPLINKS_MOST * IFNAMSIZ + 1], *save = NULL;
    if (fd_read_file(AT_FDCWD, ground->notes, text, sizeof(text)) < 0)
        return;
    for (char *name = strtok_r(text, "\n", &save); name && ground->uplinks_len < UPLINKS_MOST;
         name = strtok_r(NULL, "\n", &save))
        if (plain_name(name) &&
            str_format(ground->uplinks[ground->uplinks_len], IFNAMSIZ, "%s", name))
            ground->uplinks_len++;
}

/* ---- the host's side ---- */

static bool is_opened(const struct network_ground *ground, const char *name)
{
    for (size_t i = 0; i < ground->uplinks_len; i++)
        if (strcmp(ground->uplinks[i], name) == 0)
            return true;
    return false;
}

/* The guard comes first, the note before the deed. */
static int open_uplink(struct network_ground *ground, const char *name, struct err *err)
{
    if (forwards(name))
        return 0;
    if (!is_opened(ground, name)) {
        if (ground->uplinks_len == UPLINKS_MOST || !plain_name(name))
            return err_set(err, ERR_NOT_AVAILABLE,
                           "forwarding is off for %s: set net.ipv4.conf.%s.forwarding=1", name,
                           name);
        strcpy(ground->uplinks[ground->uplinks_len++], name);
        if (network_rules_guard(ground->rules, name, err) != 0 || write_notes(ground, err) != 0) {
            ground->uplinks_len--;
            return -1;
        }
    }
    log_info("forwarding is on for the way out, guarded", LOG_S("interface", name));
    return set_sysctl("ipv4", name, "forwarding", "1", err);
}

static int make_bridge(struct network_ground *ground, struct err *err)
{
    const char *name = ground->plan->bridge;
    bool made;
    if (netlink_index(ground->links, name) == 0 &&
        netlink_check_free(ground->links, &ground->plan->subnet, err) != 0)
        return -1;
    if (netlink_add_bridge(ground->links, name, &made, err) != 0)
        return -1;
    ground->bridge = netlink_index(ground->links, name);
    if (set_sysctl("ipv6", name, "disable_ipv6", "1", err) != 0 ||
        set_sysctl("ipv4", name, "forwarding", "1", err) != 0 ||
        set_sysctl("ipv4", name, "send_redirects", "0", err) != 0 ||
        netlink_add_address(ground->links, ground->bridge, ground->plan->gateway,
                            ground->plan->subnet.prefix, err) != 0)
        return -1;
    return netlink_set_up(ground->links, ground->bridge, err);
}

static int make_rules(struct network_ground *ground, struct err *err)
{
    return network_rules_make(ground->rules, &ground->resolvers, ground->slots, ground->slots_len,
                              ground->uplinks, ground->uplinks_len, err);
}

/* Those of the settings, or this host's as they are now. */
static void find_resolvers(const struct network_ground *ground, struct network_resolvers *found)
{
    *found = (struct network_resolvers){.len = ground->plan->resolvers_len};
    memcpy(found->list, ground->plan->resolvers, sizeof(found->list));
    if (found->len == 0)
        found->len = network_resolv_of_host(found->list);
}

static int make_host_side(struct network_ground *ground, struct err *err)
{
    struct network_resolvers resolvers;
    find_resolvers(ground, &resolvers);
    bool changed = memcmp(&resolvers, &ground->resolvers, sizeof(resolvers)) != 0;
    ground->resolvers = resolvers;
    if (ground->made)
        return changed ? make_rules(ground, err) : 0;
    if (resolvers.len == 0)
        log_warn("runners have no name server: set network.resolvers");
    /* The rules first: no moment without them. */
    if (make_rules(ground, err) != 0 || make_bridge(ground, err) != 0)
        return -1;
    ground->made = true;
    log_info("the runners' network is there", LOG_S("bridge", ground->plan->bridge));
    return 0;
}

/* ---- a runner's side ---- */

/* In the runner's namespace: opens what is needed of it, and sees to it that the interface that is
 * about to come will have no IPv6.
 */
static int look_inside(struct netlink **links, int *ns, struct err *err)
{
    *links = netlink_open(err);
    if (!*links || set_sysctl("ipv6", "default", "disable_ipv6", "1", err) != 0)
        return -1;
    *ns = FAULT(NETWORK_NS, -1, open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    return *ns >= 0 ? 0 : err_sys(err, ERR_INTERNAL, errno, "cannot open a network namespace");
}

static int enter(const struct network_ground *ground, int pidfd, struct netlink **links, int *ns,
                 struct err *err)
{
    if (FAULT(NETWORK_SETNS, -1, setns(pidfd, CLONE_NEWNET)) != 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno,
                       "cannot enter the runner's network namespace");
    int looked = look_inside(links, ns, err);
    if (setns(ground->host_ns, CLONE_NEWNET) != 0)
        abort(); /* nothing may be done in a runner's namespace that is meant for the host's */
    return looked;
}

#define INSIDE_NAME "eth0"

static int set_up_inside(const struct network_ground *ground, struct netlink *inside, unsigned slot,
                         struct err *err)
{
    const struct network_plan *plan = ground->plan;
    const struct ipv4_range gateway = {plan->gateway, 32}, everything = {0, 0};
    unsigned index = netlink_index(inside, INSIDE_NAME);
    if (netlink_add_address(inside, index, network_plan_address(plan, slot), 32, err) != 0 ||
        netlink_set_up(inside, index, err) != 0 ||
        netlink_set_neighbour(inside, index, plan->gateway, network_plan_gateway_mac, err) != 0 ||
        netlink_add_route(inside, index, &gateway, 0, err) != 0)
        return -1;
    return netlink_add_route(inside, index, &everything, plan->gateway, err);
}

static int plug_in(const struct network_ground *ground, const char *port, unsigned slot,
                   struct err *err)
{
    unsigned char mac[NETWORK_MAC_LEN];
    unsigned index = netlink_index(ground->links, port);
    network_plan_mac(slot, mac);
    if (set_sysctl("ipv6", port, "disable_ipv6", "1", err) != 0 ||
        netlink_isolate_port(ground->links, index, mac, err) != 0 ||
        netlink_set_neighbour(ground->links, ground->bridge,
                              network_plan_address(ground->plan, slot), mac, err) != 0 ||
        network_rules_add(ground->rules, slot, err) != 0)
        return -1;
    return netlink_set_up(ground->links, index, err);
}

static int connect_runner(struct network_ground *ground, const struct network_target *target,
                          uint32_t mtu, struct err *err)
{
    char port[IFNAMSIZ];
    unsigned char mac[NETWORK_MAC_LEN];
    struct netlink *inside = NULL;
    cleanup_close int ns = -1;
    network_plan_port(ground->plan, target->slot, port);
    network_plan_mac(target->slot, mac);
    int done = enter(ground, target->pidfd, &inside, &ns, err);
    const struct cable cable = {
        .port = port,
        .bridge = ground->bridge,
        .inside = INSIDE_NAME,
        .inside_ns = ns,
        .inside_mac = mac,
        .mtu = mtu,
    };
    if (done == 0)
        done = netlink_add_cable(ground->links, &cable, err);
    if (done == 0)
        done = plug_in(ground, port, target->slot, err);
    if (done == 0)
        done = set_up_inside(ground, inside, target->slot, err);
    netlink_close(inside);
    return done;
}

/* ---- who is attached ---- */

static void note_slot(struct network_ground *ground, unsigned slot)
{
    if (ground->slots_len == ground->slots_room) {
        ground->slots_room = ground->slots_room ? 2 * ground->slots_room : 16;
        ground->slots = mem_realloc(ground->slots, ground->slots_room * sizeof(ground->slots[0]));
    }
    ground->slots[ground->slots_len++] = slot;
}

static bool is_attached(const struct network_ground *ground, unsigned slot)
{
    for (size_t i = 0; i < ground->slots_len; i++)
        if (ground->slots[i] == slot)
            return true;
    return false;
}

static bool forget_slot(struct network_ground *ground, unsigned slot)
{
    for (size_t i = 0; i < ground->slots_len; i++) {
        if (ground->slots[i] != slot)
            continue;
        ground->slots[i] = ground->slots[--ground->slots_len];
        return true;
    }
    return false;
}

int network_ground_attach(struct network_ground *ground, const struct network_target *target,
                          struct err *err)
{
    struct way_out way;
    if (network_plan_address(ground->plan, target->slot) == 0)
        return err_set(err, ERR_NOT_AVAILABLE, "network.subnet has no address left");
    if (netlink_way_out(ground->links, SOMEWHERE, &way, err) != 0 ||
        make_host_side(ground, err) != 0 || open_uplink(ground, way.name, err) != 0)
        return -1;
    note_slot(ground, target->slot);
    if (connect_runner(ground, target, way.mtu, err) == 0 &&
        network_resolv_write(target, &ground->resolvers, err) == 0)
        return 0;
    struct err ignored;
    network_ground_detach(ground, target->slot, &ignored);
    return -1;
}

/* All of it is tried, and the first failure reported. */
int network_ground_detach(struct network_ground *ground, unsigned slot, struct err *err)
{
    char port[IFNAMSIZ];
    uint32_t address = network_plan_address(ground->plan, slot);
    struct err first = {0}, ignored;
    if (!forget_slot(ground, slot))
        return 0;
    network_plan_port(ground->plan, slot, port);
    int done = netlink_delete(ground->links, port, &first);
    network_rules_delete(ground->rules, slot, &ignored); /* it is not there when attach failed */
    if (netlink_delete_neighbour(ground->links, ground->bridge, address,
                                 done == 0 ? &first : &ignored) != 0)
        done = -1;
    if (netlink_forget_connections(ground->connections, address, done == 0 ? &first : &ignored) !=
        0)
        done = -1;
    if (done != 0)
        *err = first;
    return done;
}

/* ---- an earlier worker's ---- */

void network_ground_adopt(struct network_ground *ground, unsigned slot)
{
    if (!is_attached(ground, slot))
        note_slot(ground, slot);
}

struct strays {
    const struct network_ground *ground;
    char (*names)[IFNAMSIZ];
    size_t count;
};

static void note_stray(const char *name, void *data)
{
    struct strays *strays = data;
    int slot = network_plan_slot(strays->ground->plan, name);
    if (slot < 0 || is_attached(strays->ground, (unsigned)slot))
        return;
    strays->names = mem_realloc(strays->names, (strays->count + 1) * sizeof(*strays->names));
    strcpy(strays->names[strays->count++], name);
}

static int remove_strays(struct network_ground *ground, struct err *err)
{
    struct strays strays = {.ground = ground};
    int done = netlink_each(ground->links, note_stray, &strays, err);
    for (size_t i = 0; i < strays.count && done == 0; i++)
        done = netlink_delete(ground->links, strays.names[i], err);
    free(strays.names);
    return done;
}

int network_ground_settle(struct network_ground *ground, struct err *err)
{
    ground->bridge = netlink_index(ground->links, ground->plan->bridge);
    read_notes(ground);
    if (remove_strays(ground, err) != 0)
        return -1;
    if (ground->slots_len == 0)
        return network_ground_clear(ground, err);
    return make_host_side(ground, err);
}

int network_ground_clear(struct network_ground *ground, struct err *err)
{
    if (ground->slots_len > 0)
        return 0;
    struct err ignored;
    for (size_t i = 0; i < ground->uplinks_len; i++)
        set_sysctl("ipv4", ground->uplinks[i], "forwarding", "0", &ignored); /* it may be gone */
    bool was_there = ground->made || ground->uplinks_len > 0 || ground->bridge != 0;
    ground->uplinks_len = 0;
    ground->made = false;
    if (!was_there)
        return 0;
    unlink(ground->notes);
    int done = netlink_delete(ground->links, ground->plan->bridge, err);
    ground->bridge = 0;
    return network_rules_remove(ground->rules, done == 0 ? err : &ignored) == 0 ? done : -1;
}

struct network_ground *network_ground_create(const struct network_plan *plan, const char *notes,
                                             struct err *err)
{
    struct network_ground *ground = mem_new(struct network_ground);
    ground->plan = plan;
    ground->notes = notes;
    ground->links = netlink_open(err);
    ground->connections = ground->links ? netlink_open_connections(err) : NULL;
    ground->rules = ground->connections ? network_rules_create(plan, err) : NULL;
    ground->host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (ground->rules && ground->host_ns >= 0)
        return ground;
    if (ground->rules)
        err_sys(err, ERR_INTERNAL, errno, "cannot open this host's network namespace");
    return NULL; /* its process ends */
}
