/* A runner: one container from cooking to gone, and the roster of all of a worker's runners.
 *
 *     cooking → available → in_use → freeing → gone
 *        └──────────┴──────────────────┴──(its container died)──→ gone
 *
 * runner_set_state is the only function that changes a state; it checks the move, keeps the
 * history and tells the observers. No two runners that are not gone share a container's name or an
 * id slot, and no two of one manager share a name.
 */
#ifndef WORKER_RUNNER_H
#define WORKER_RUNNER_H

#include "engine.h"

enum runner_state {
    RUNNER_COOKING,
    RUNNER_AVAILABLE,
    RUNNER_IN_USE,
    RUNNER_FREEING,
    RUNNER_GONE,
    RUNNER_STATES,
};

#define RUNNER_HISTORY 8
#define RUNNER_OWNER_MAX 64

struct roster;
struct run;
struct watched;
struct oven;
struct oven_shelf;

/* Read freely; written by runner.c alone, except where a comment says otherwise. */
struct runner {
    char name[NAME_MAX_LEN + 1]; /* what callers see; spec.name unless it was kept as another */
    struct engine_spec spec;     /* spec.name is the container's; spec.rootfs is the runner's own;
                                  * spec.networked is run.c's to write */
    char template_name[NAME_MAX_LEN + 1];
    enum runner_state state;
    bool adopted; /* an earlier worker made it */
    bool kept;    /* has an owner and lives until it is destroyed */
    char manager[MANAGER_ID_LEN +
                 1]; /* whose it is: that alone sees it. "": every manager's, as what
                      * is idle; of a kept one: that of the first that greets */
    char owner[RUNNER_OWNER_MAX + 1]; /* "" unless kept */
    struct engine_runner *handle;     /* NULL once gone */
    struct roster *roster;
    mono_us since;   /* of the state */
    mono_us cook_us; /* how long it cooked; 0 while cooking */
    int64_t started_wall_ms, since_wall_ms;
    struct {
        enum runner_state state;
        int64_t wall_ms;
    } history[RUNNER_HISTORY]; /* oldest first */
    unsigned history_len;

    /* For the run operations (run.c), which write these themselves. */
    uint32_t operations;          /* given so far; the next one's id */
    unsigned active;              /* operations that are going on */
    struct run *runs;             /* those that wait for their end */
    const char *last_status;      /* static text of the last result, NULL before the first */
    int64_t memory_bytes;         /* last sample of its cgroup */
    struct engine_stats baseline; /* at the moment it became available */

    struct watched *watched; /* batch.c's; NULL: nothing has run on it yet */

    /* For the ovens (ovens.c), which write these themselves: whose template it is of, and where it
     * cooks or waits to be taken.
     */
    struct oven *oven;        /* NULL: there is none for its template */
    struct oven_shelf *shelf; /* NULL: on none */
    struct runner *shelf_prev, *shelf_next;
    mono_us shelved; /* when it was put there */
};

typedef void (*runner_observer)(struct runner *runner, enum runner_state from, void *data);

/* The roster takes engine (and sets its events); clock must outlive it. */
struct roster *roster_create(struct engine *take_engine, const struct clock *clock,
                             unsigned max_runners);

/* Frees the roster, its records and the engine; containers live on and nobody is told. For the
 * exit of the process; never inside an observer.
 */
void roster_destroy(struct roster *roster);

/* After every change of any runner's state, and once (from == state == RUNNER_COOKING) when it is
 * made. Inside it the runner may be passed to runner_destroy; with state RUNNER_GONE its memory is
 * freed when the last observer has returned. why of a death is in roster_death(). At most 8
 * observers, called in the order in which they came.
 *
 * Changes that observers cause are reported after the present one, in order. runner->state is the
 * state now: when an earlier observer has destroyed the runner it says FREEING already, and that
 * change comes next.
 */
void roster_observe(struct roster *roster, runner_observer observer, void *data);

/* That observer is not called again. Allowed inside an observer. */
void roster_unobserve(struct roster *roster, runner_observer observer, void *data);

/* Why the runner that is now being reported GONE died by itself; NULL if on request. Valid inside
 * an observer only.
 */
const struct err *roster_death(const struct roster *roster);

/* Begin to cook. limits and disk sizes from spec; its name and slot are chosen here. NULL with
 * ERR_NOT_AVAILABLE when max_runners exist. rootfs is copied.
 */
struct runner *roster_cook(struct roster *roster, const char *template_name,
                           const struct engine_spec *spec, struct err *err);

/* What a journal knows of a runner besides its container. */
struct runner_record {
    const char *name, *template_name;
    const char *manager; /* "": of a worker that did not know whose runners are */
    const char *owner;
    bool kept;
    uint32_t operations;
    pid_t init_pid;
};

/* A runner of an earlier worker, as its journal described it. It is COOKING until its agent has
 * come back, then AVAILABLE or, if kept, IN_USE. One that ran something and is not kept is never
 * handed out again: it is FREEING at once. max_runners does not bind here: what exists, exists.
 * NULL with ERR_NAME_TAKEN when name or slot are in use, ERR_BAD_REQUEST for one that cannot be.
 */
struct runner *roster_adopt(struct roster *roster, const struct engine_spec *spec,
                            const struct runner_record *record, struct err *err);

/* By the name that its manager's callers see; NULL when there is none that is not gone and that the
 * manager sees.
 */
struct runner *roster_find(const struct roster *roster, const char *manager, const char *name);

/* Its own, or every manager's. */
bool runner_seen_by(const struct runner *runner, const char *manager);

/* AVAILABLE → IN_USE. */
void runner_take(struct runner *runner);

/* From now on it is that manager's, which has no other of its name. */
void runner_give(struct runner *runner, const char *manager);

/* Gives a runner that is IN_USE a name (NULL: its own) and an owner, so that it stays.
 * ERR_NAME_TAKEN or ERR_BAD_REQUEST for the name, ERR_RUNNER_NOT_FOUND when it is no longer IN_USE.
 */
int runner_keep(struct runner *runner, const char *name, const char *owner, struct err *err);

/* Any state but FREEING and GONE → FREEING, and the engine kills it. Else nothing. */
void runner_destroy(struct runner *runner);

unsigned roster_count(const struct roster *roster, enum runner_state state);
unsigned roster_total(const struct roster *roster); /* of all that are not gone */
unsigned roster_max(const struct roster *roster);

/* Once for each runner that is not gone, in the order in which they were made; each may destroy it
 * and make others.
 */
void roster_each(struct roster *roster, void (*each)(struct runner *runner, void *data),
                 void *data);

struct engine *roster_engine(const struct roster *roster);

/* "cooking", "available", "inUse", "freeing", "gone". */
const char *runner_state_name(enum runner_state state);

#endif
