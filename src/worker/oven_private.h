/* What oven.c, oven_tickets.c and ovens.c share, and nobody else sees. */
#ifndef WORKER_OVEN_PRIVATE_H
#define WORKER_OVEN_PRIVATE_H

#include "backoff.h"
#include "demand.h"
#include "oven_queue.h"
#include "oven_shelf.h"
#include "ovens.h"

struct oven {
    struct ovens *set;
    struct oven *next;           /* in the set */
    struct oven_template recipe; /* its texts are owned */
    struct engine_spec spec;     /* what is cooked; spec.rootfs is recipe.rootfs */
    struct oven_settings settings;
    struct oven_shelf cooking, returning, warm;
    struct oven_queue waiting, refused; /* both are answered in ovens_step */
    struct demand demand;
    struct backoff starts;
    struct backoff deaths; /* of warm runners, soon after they were cooked */
    char message[240];
    uint64_t cooked, failed, taken, refusals;
    unsigned total; /* its template's runners that are not gone */
};

struct ovens {
    struct roster *roster;
    const struct clock *clock;
    struct ovens_config config;
    struct oven *first; /* the default template's; the others follow as they came */
    struct oven *turn;  /* whose turn it is to cook when several want; NULL: the first's */
    unsigned count;
    uint64_t ticket_count; /* ever given, of all ovens */
    unsigned memory_percent;
    mono_us yielded; /* when idle runners last gave way for want of memory; 0: never */
    bool memory_known, stopped;
    bool stepping, cooking_now; /* refill is entered by nobody else meanwhile */
    mono_us announced;          /* what the owner believes that ovens_next_step() is */
    void (*wake)(void *data);
    void *wake_data;
};

/* How badly an oven wants another runner. */
enum oven_want { OVEN_WANTS_NONE, OVEN_WANTS_SPARE, OVEN_WANTS_TARGET, OVEN_WANTS_URGENTLY };

enum oven_want oven_wants(const struct oven *oven, mono_us now);

/* How many it lacks of that: callers without a runner on its way, or of its target too. */
unsigned oven_lacks(const struct oven *oven, enum oven_want want, mono_us now);

/* Warm runners that callers of this oven would not miss: of those who wait and what demand uses up,
 * or (want is OVEN_WANTS_TARGET) of the whole target.
 */
unsigned oven_surplus(const struct oven *oven, enum oven_want want, mono_us now);

/* Nothing of its own is in the way of a start; what all share may be. */
bool oven_is_able(const struct oven *oven, mono_us now);

/* Begins one start; a failure is noted. */
void oven_cook(struct oven *oven, mono_us now);

/* An event of a runner of its template. */
void oven_changed(struct oven *oven, struct runner *runner);

/* Counts the runner as its template's, once. */
void oven_attach(struct oven *oven, struct runner *runner);

/* Puts what was there before the oven where it belongs. */
void oven_enlist(struct oven *oven, struct runner *runner);

/* Starts that take too long, and warm runners that nobody has wanted for long. */
void oven_expire(struct oven *oven, mono_us now);

/* Another build of its template is there: what was made from the earlier one and belongs to nobody
 * goes.
 */
void oven_renew(struct oven *oven, const struct oven_template *recipe);

/* Destroys those who cook, come back and are warm. */
void oven_clear(struct oven *oven);

/* Nobody who waits now will get a runner soon. */
bool oven_is_hopeless(const struct oven *oven, mono_us now);

mono_us oven_pause_end(const struct oven *oven); /* of the pause after failures */
bool oven_is_full(const struct oven *oven);      /* as many as it may have, or as all may */
unsigned oven_target(const struct oven *oven, mono_us now);

/* When it has something to do, at the latest; 0: after the next event. */
mono_us oven_due(const struct oven *oven, mono_us now);

/* A runner was taken, which makes up for one that died. */
void oven_warm_taken(struct oven *oven);

/* Answers who can be answered, of those whose tickets are older than `before`. */
void oven_tickets_answer(struct oven *oven, mono_us now, uint64_t before);

/* Everybody gets a refusal that begins with `what`. */
void oven_tickets_refuse_all(struct oven *oven, const char *what);

/* Those who wait and will not be answered by a warm runner at once. */
unsigned oven_queued(const struct oven *oven);
unsigned ovens_queued(const struct ovens *ovens);

/* Cook what is wanted, tell the owner of what became due. */
void ovens_refill(struct ovens *ovens);
void ovens_tell_owner(struct ovens *ovens);

#endif
