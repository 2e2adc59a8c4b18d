#include "upgrade.h"

#include "../common/clock.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/timer.h"

#include <stddef.h>
#include <string.h>

/* How it works. Whenever a worker or an installation changes, all outdated workers are looked at.
 * One has an attempt: an installation that runs, or one that is over, and then the time of the next
 * try. A worker that fits again, or is gone, has none. An installation that a person began for the
 * same host (provisioner_find tells) is as good as one of ours.
 */
struct attempt {
    char name[NAME_MAX_LEN + 1];
    bool running, installed; /* installed: and the worker has not greeted since */
    mono_us again;           /* what is over is looked at again */
    struct attempt *next;
};

struct upgrades {
    struct fleet *fleet;
    const struct workers *workers;
    struct provisioner *provisioner;
    struct listener of_fleet, of_provisioner;
    uv_timer_t *timer; /* for the next try */
    struct attempt *attempts;
};

/* An installation that went well has so long to have its worker greet us. */
#define GREET_MS 30000

static struct attempt **find(struct upgrades *upgrades, const char *name)
{
    struct attempt **at = &upgrades->attempts;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void end(struct attempt *attempt, bool installed, int64_t pause_ms)
{
    attempt->running = false;
    attempt->installed = installed;
    attempt->again = clock_now(&clock_system) + pause_ms * US_PER_MS;
}

static void refuse(struct worker *worker, struct attempt *attempt, const struct err *why)
{
    struct err err = *why;
    const struct link_status *link = link_get_status(worker_link(worker));
    err_context(&err, "%.40s is older than this manager (codeland %s) and could not be upgraded",
                link->program, CODELAND_VERSION);
    worker_set_upgrade(worker, WORKER_UPGRADE_FAILED, err.msg);
    log_warn("worker not upgraded", LOG_S("worker", worker_name(worker)), LOG_ERR(&err));
    end(attempt, false, UPGRADE_RETRY_MS);
}

static void begin(struct upgrades *upgrades, struct worker *worker, const struct worker_spec *spec,
                  struct attempt *attempt)
{
    struct err err;
    char text[ERR_MSG_SIZE];
    const struct link_status *link = link_get_status(worker_link(worker));
    str_format(text, sizeof(text), "%.40s is being upgraded to %s", link->program,
               CODELAND_VERSION);
    worker_set_upgrade(worker, WORKER_UPGRADING, text);
    attempt->running = true;
    log_info("upgrading worker", LOG_S("worker", worker_name(worker)), LOG_S("from", link->program),
             LOG_S("to", CODELAND_VERSION));
    if (provisioner_start(upgrades->provisioner, spec, true, "", &err) != 0 &&
        err.code != ERR_NAME_TAKEN)
        refuse(worker, attempt, &err);
}

static void try(struct upgrades *upgrades, struct worker *worker, const struct worker_spec *spec,
                struct attempt *attempt)
{
    struct err err;
    if (!attempt->installed) {
        begin(upgrades, worker, spec, attempt);
        return;
    }
    err_set(&err, ERR_NOT_AVAILABLE,
            "the new one is installed, and the old one still listens at %.100s: it was not started "
            "by the unit codeland-worker; stop it on its host",
            spec->socket);
    refuse(worker, attempt, &err);
}

/* What came of an installation that was begun. */
static void follow(struct upgrades *upgrades, struct worker *worker, struct attempt *attempt)
{
    const struct provision *at = provisioner_find(upgrades->provisioner, attempt->name);
    if (at && at->state == PROVISION_RUNNING)
        return;
    if (at && at->state == PROVISION_FAILED)
        refuse(worker, attempt, &at->err);
    else
        end(attempt, true, GREET_MS);
}

static void look_at(struct upgrades *upgrades, struct worker *worker)
{
    enum workers_source source;
    const char *name = worker_name(worker);
    const struct worker_spec *spec = workers_spec(upgrades->workers, name, &source);
    struct attempt **place = find(upgrades, name), *attempt = *place;
    if (!worker_outdated(worker) || !spec || !spec->host[0]) {
        if (attempt)
            *place = attempt->next;
        free(attempt);
        return;
    }
    if (!attempt) {
        attempt = mem_new(struct attempt);
        str_format(attempt->name, sizeof(attempt->name), "%s", name);
        attempt->next = upgrades->attempts;
        upgrades->attempts = attempt;
    }
    if (attempt->running)
        follow(upgrades, worker, attempt);
    else if (clock_now(&clock_system) >= attempt->again)
        try(upgrades, worker, spec, attempt);
}

static void look(struct upgrades *upgrades);

static void on_due(uv_timer_t *timer)
{
    look(timer->data);
}

/* Those of workers that have left the fleet go, too. */
static void forget_gone(struct upgrades *upgrades)
{
    for (struct attempt **at = &upgrades->attempts; *at;) {
        struct attempt *attempt = *at;
        if (fleet_worker(upgrades->fleet, attempt->name)) {
            at = &attempt->next;
            continue;
        }
        *at = attempt->next;
        free(attempt);
    }
}

static void look(struct upgrades *upgrades)
{
    mono_us now = clock_now(&clock_system), next = 0;
    forget_gone(upgrades);
    for (size_t i = 0; i < fleet_count(upgrades->fleet); i++)
        look_at(upgrades, fleet_at(upgrades->fleet, i));
    for (const struct attempt *at = upgrades->attempts; at; at = at->next)
        if (!at->running && (next == 0 || at->again < next))
            next = at->again;
    if (next == 0)
        uv_timer_stop(upgrades->timer);
    else
        uv_timer_start(upgrades->timer, on_due,
                       next > now ? (uint64_t)(next - now) / US_PER_MS + 1 : 1, 0);
}

static void on_fleet(struct listener *listener)
{
    look((struct upgrades *)((char *)listener - offsetof(struct upgrades, of_fleet)));
}

static void on_provisioner(struct listener *listener)
{
    look((struct upgrades *)((char *)listener - offsetof(struct upgrades, of_provisioner)));
}

struct upgrades *upgrades_create(uv_loop_t *loop, struct fleet *fleet,
                                 const struct workers *workers, struct provisioner *provisioner)
{
    struct upgrades *upgrades = mem_new(struct upgrades);
    upgrades->fleet = fleet;
    upgrades->workers = workers;
    upgrades->provisioner = provisioner;
    upgrades->timer = loop_timer_create(loop, upgrades);
    upgrades->of_fleet.changed = on_fleet;
    upgrades->of_provisioner.changed = on_provisioner;
    fleet_listen(fleet, &upgrades->of_fleet);
    provisioner_listen(provisioner, &upgrades->of_provisioner);
    return upgrades;
}

void upgrades_destroy(struct upgrades *upgrades)
{
    if (!upgrades)
        return;
    fleet_unlisten(upgrades->fleet, &upgrades->of_fleet);
    provisioner_unlisten(upgrades->provisioner, &upgrades->of_provisioner);
    loop_timer_destroy(upgrades->timer);
    for (struct attempt *attempt = upgrades->attempts, *next; attempt; attempt = next) {
        next = attempt->next;
        free(attempt);
    }
    free(upgrades);
}
