/* One worker host, seen from the manager: its link, its last figures and its runners, fed by a
 * WATCH that is opened again whenever it ends.
 */
#ifndef MANAGER_WORKER_H
#define MANAGER_WORKER_H

#include "../link/link.h"
#include "health.h"
#include "listeners.h"
#include "placement.h"
#include "registry.h"

#include <uv.h>

#define WORKER_BACKOFF_MIN_MS 50
#define WORKER_BACKOFF_MAX_MS 1000

/* A WATCH that has not been heard of for so long (it speaks every second) is given up. */
#define WORKER_SILENCE_MS 10000

#define WORKER_OVENS_MAX 32

struct worker;

/* One template of a worker, and its oven there. */
struct worker_oven {
    char name[NAME_MAX_LEN + 1], made[64], status[32], message[240];
    int64_t bytes; /* of the template on the worker's disk; 0: unknown */
    int64_t cooking, available, in_use, freeing, count, waiting;
    int64_t target, min_available, mem_target, max_runners;
    bool paused, draining;
    double cook_ms;
};

/* A plain value: the last SNAPSHOT. */
struct worker_figures {
    char name[NAME_MAX_LEN + 1], version[32], kernel[80], cgroup[16], user[40];
    int64_t started_ms; /* wall time */
    struct {
        int64_t total, free, available, used, swap_total, swap_free;
    } memory;
    struct {
        char path[256], filesystem[64];
        int64_t total, used, available;
    } disk;
    double load[3];
    struct {
        char template_name[NAME_MAX_LEN + 1], status[32], message[240];
        int64_t cooking, available, in_use, freeing, count, waiting;
        int64_t min_available, mem_target, mem_ceiling, max_runners;
        double cook_ms;
    } oven; /* of the default template; inUse, freeing and count are of all */
    struct worker_oven ovens[WORKER_OVENS_MAX]; /* of every template, the default one's first */
    size_t ovens_len;
};

/* Takes link; watching begins in the loop's next turn. name is copied. */
struct worker *worker_create(uv_loop_t *loop, const char *name, struct link *take_link);

/* Its runners' names go into names, which outlives it. */
void worker_join(struct worker *worker, struct names *names);

/* NULL is fine. Nobody may be waiting, and no connection of its link may be open. */
void worker_destroy(struct worker *worker);

const char *worker_name(const struct worker *worker);
struct link *worker_link(const struct worker *worker);

/* Up: the WATCH is open and its first SNAPSHOT has come. */
bool worker_up(const struct worker *worker);

/* Monotonic time since which it is up, or down. */
int64_t worker_since_us(const struct worker *worker);

/* How long the worker took from the WATCH's begin to its first SNAPSHOT; below 0: not known yet. */
double worker_latency_ms(const struct worker *worker);

/* What went wrong last, "" when nothing ever did. */
const char *worker_last_error(const struct worker *worker);

/* Its last hello told an older, or a newer version than this manager's: it is down until one fits.
 * The listeners hear when that begins.
 */
bool worker_outdated(const struct worker *worker);
bool worker_too_new(const struct worker *worker);

/* What is done about an outdated one; over by itself when its hello fits. why (copied) is told as
 * its last error; "": the link's own.
 */
enum worker_upgrade { WORKER_UPGRADE_NONE, WORKER_UPGRADING, WORKER_UPGRADE_FAILED };
void worker_set_upgrade(struct worker *worker, enum worker_upgrade upgrade, const char *why);
enum worker_upgrade worker_get_upgrade(const struct worker *worker);

/* The last SNAPSHOT, also of a worker that is down; NULL before the first. */
const struct worker_figures *worker_get_figures(const struct worker *worker);

/* The oven of a template, "" for its default one; NULL when the worker has no such template or has
 * not been reached yet. Valid until the loop's next turn.
 */
const struct worker_oven *worker_oven(const struct worker *worker, const char *template_name);

/* The languages of the template that is figures->ovens[index]: [{"name", "version"}], borrowed;
 * NULL when it told none.
 */
const json_t *worker_languages(const struct worker *worker, size_t index);

/* What it runs. Kept while it is down, and until the next WATCH has told of all that there are: its
 * first two SNAPSHOTs stand around them.
 */
const struct registry *worker_runners(const struct worker *worker);

/* An operation's answer was faster than the WATCH: the runner is there and kept, or gone. */
void worker_note_kept(struct worker *worker, const char *name, const char *owner);
void worker_note_gone(struct worker *worker, const char *name);

/* An operation that keeps a runner was lost and may have made it: that is believed until the
 * worker's next SNAPSHOT.
 */
void worker_note_perhaps_kept(struct worker *worker, const char *name, const char *owner);

/* A run was told which runner it has: that one is no longer there for another. */
void worker_note_used(struct worker *worker, const char *name);

/* Tells the listener when the worker went up or down, began or ceased to fail or to drain, or is
 * being removed.
 */
void worker_listen(struct worker *worker, struct listener *listener);
void worker_unlisten(struct worker *worker, struct listener *listener);

/* Operations that are on their way to it or going on there; they keep it in memory. pending: of
 * those, runs that have no runner yet.
 */
struct worker_load {
    unsigned operations, pending;
};
const struct worker_load *worker_get_load(const struct worker *worker);
void worker_begin(struct worker *worker, bool pending);
void worker_placed(struct worker *worker); /* one that was pending is so no more */

/* The end of what worker_begin began. The listeners of a worker that drains hear of the last one.
 */
void worker_end(struct worker *worker, bool pending);

bool worker_has_template(const struct worker *worker, const char *template_name);

/* What placement must know of it; not tried. */
void worker_describe(const struct worker *worker, const char *template_name,
                     struct placement_worker *known);

/* Draining: no fresh runner is taken here; what is there goes on. Set by an admin. */
void worker_set_draining(struct worker *worker, bool draining);
bool worker_draining(const struct worker *worker);

/* About to be removed: what has no runner there yet must go elsewhere. */
void worker_evict(struct worker *worker);
bool worker_evicting(const struct worker *worker);

/* Removed: its operations end now. Those that listen must have let go of it when this returns. */
void worker_remove(struct worker *worker);
bool worker_removed(const struct worker *worker);

/* What happened there. A worker that fails again and again is not used until a probe, which the
 * fleet sends, went well.
 */
void worker_failed(struct worker *worker, const struct err *why);
void worker_went_well(struct worker *worker);
void worker_probed(struct worker *worker, const struct err *why); /* NULL: it went well */
const struct health *worker_health(const struct worker *worker);

/* The payload of a SNAPSHOT; *runners is its "runners" array or NULL, owned by json. */
int worker_parse_figures(const json_t *json, struct worker_figures *figures, json_t **runners,
                         struct err *err);

/* An entry of its "templates", which is also what OVEN answers. */
int worker_parse_oven(const json_t *json, struct worker_oven *oven, struct err *err);

/* Its "templates"; figures->oven is there already. */
int worker_parse_ovens(const json_t *json, struct worker_figures *figures, struct err *err);

#endif
