#include "selftest_host.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/str.h"

#include <time.h>

#define REST_MS 60000
#define SETTLE_MS 90000 /* idle runners stay for oven.linger */
#define REMAINS_MS                                                                                 \
    30000 /* what is left when all is at rest: sets of the firewall forget in 10 s                 \
           */
#define PAUSE_MS 250

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
}

static const json_t *worker_of(const json_t *footprint)
{
    return json_object_get(footprint, "worker");
}

/* Nothing is being made or unmade there, and nothing has just ended. */
static bool is_at_rest(const json_t *footprint)
{
    const json_t *worker = worker_of(footprint);
    return worker && json_integer_value(json_object_get(worker, "busy")) == 0 &&
           json_array_size(json_object_get(worker, "strays")) == 0;
}

static bool same_runners(const json_t *one, const json_t *other)
{
    return json_equal(json_object_get(worker_of(one), "runners"),
                      json_object_get(worker_of(other), "runners"));
}

/* A runner's network makes the bridge and the rules, which stay until the worker ends. A worker or
 * an installation that has none says so now, and in each case that needs one.
 */
static void make_network(const struct api *api, const char *worker)
{
    struct err ignored;
    json_decref(
        api_ask(api, "POST", "/runner/run",
                json_pack("{s:s, s:s, s:s}", "code", "true", "network", "nat", "worker", worker),
                &ignored));
}

static json_t *look(const struct api *api, const char *worker, struct err *err)
{
    mono_us until = clock_now(&clock_system) + (mono_us)REST_MS * US_PER_MS;
    json_t *last = NULL;
    make_network(api, worker);
    for (;;) {
        json_t *footprint = abuse_host_take(api, worker, err);
        bool rests = footprint && last && is_at_rest(last) && is_at_rest(footprint) &&
                     same_runners(last, footprint);
        json_decref(last);
        if (!footprint || rests || clock_now(&clock_system) >= until)
            return footprint;
        last = footprint;
        pause_a_little();
    }
}

int selftest_hosts_begin(struct selftest_hosts *hosts, const struct config *config,
                         const char *worker, struct err *err)
{
    size_t i;
    json_t *name;
    *hosts = (struct selftest_hosts){0};
    if (api_init(&hosts->api, config, -1, err) != 0)
        return -1;
    hosts->names = worker ? json_pack("[s]", worker) : abuse_host_workers(&hosts->api, err);
    if (!hosts->names)
        return -1;
    json_array_foreach(hosts->names, i, name)
    {
        if (i == SELFTEST_HOSTS_MAX)
            break;
        json_t *footprint = look(&hosts->api, json_string_value(name), err);
        if (!footprint && err->code == ERR_NOT_FOUND)
            return -1;
        if (!footprint)
            str_format(hosts->why_not, sizeof(hosts->why_not), "%s", err->msg);
        hosts->before[hosts->count++] = footprint;
    }
    err->msg[0] = '\0';
    return 0;
}

static bool is_settled(const struct abuse_host_finding findings[ABUSE_HOST_ITEMS],
                       const json_t *before, const json_t *after)
{
    for (size_t i = 0; i < ABUSE_HOST_ITEMS; i++)
        if (findings[i].verdict == ABUSE_FAILED)
            return false;
    return is_at_rest(after) && same_runners(before, after);
}

static void compare(const struct selftest_hosts *hosts, const json_t *before, const char *worker,
                    struct abuse_host_finding findings[ABUSE_HOST_ITEMS])
{
    mono_us until = clock_now(&clock_system) + (mono_us)SETTLE_MS * US_PER_MS;
    bool rests = false;
    struct err err;
    for (;;) {
        cleanup_json json_t *after = abuse_host_take(&hosts->api, worker, &err);
        abuse_host_compare(before, after, findings);
        if (!before || is_settled(findings, before, after) || clock_now(&clock_system) >= until)
            return;
        if (!rests && is_at_rest(after) && same_runners(before, after)) {
            rests = true;
            until = clock_now(&clock_system) + (mono_us)REMAINS_MS * US_PER_MS;
        }
        pause_a_little();
    }
}

void selftest_hosts_end(struct selftest_hosts *hosts,
                        void (*tell)(const char *worker, const struct abuse_host_finding *finding,
                                     void *data),
                        void *data)
{
    for (size_t i = 0; i < hosts->count; i++) {
        struct abuse_host_finding findings[ABUSE_HOST_ITEMS];
        const char *worker = json_string_value(json_array_get(hosts->names, i));
        compare(hosts, hosts->before[i], worker, findings);
        for (size_t k = 0; k < ABUSE_HOST_ITEMS; k++) {
            if (!hosts->before[i])
                str_format(findings[k].why, sizeof(findings[k].why), "%s", hosts->why_not);
            tell(worker, &findings[k], data);
        }
    }
}

void selftest_hosts_finish(struct selftest_hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        json_decref(hosts->before[i]);
    json_decref(hosts->names);
}
