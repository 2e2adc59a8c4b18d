/* Random lives of an oven, its callers and its worker, on engine_fake: whatever happens, in
 * whatever order, the invariants below hold after every step and every event.
 *
 * How it works. A sequence has a seed, from which its settings, its faults and some 150 operations
 * come. The rig steps the oven when the oven says so and at no other time, so that a wake that is
 * forgotten shows as a caller who is not answered. A failing sequence prints its seed, and
 * CODELAND_SEED=... begins with that one; CODELAND_SEQUENCES=... says how many to run.
 *
 * Held to: no runner is handed out twice, none that was used is warm again, the engine's live
 * containers are the roster's, each state is counted right and entered from where it may be, names
 * and id slots are unique, starts keep within oven.max_runners, oven.cook_parallel, the memory
 * ceiling, the target and the pauses, callers are answered once, in order, in time and for a
 * reason, and when all is calm the targets are met.
 */
#include "../../../src/worker/ovens.h"

#include "../../../src/common/log.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "oven_rig.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

#define SEQUENCES 4000
#define OPERATIONS 150
#define CALLERS_MOST 2000
#define RUNNERS_MOST 64
#define HANDED_MOST 4000

enum caller_state { CALLER_FREE, CALLER_WAITS, CALLER_SERVED, CALLER_REFUSED, CALLER_CANCELLED };

struct caller {
    enum caller_state state;
    struct oven_ticket *ticket;
    mono_us deadline;
    bool too_many; /* the queue was full when it came */
};

/* A runner as the last event left it. */
struct seen {
    struct runner *runner;
    enum runner_state state;
};

static struct rig rig;
static uint64_t seed, random_state;
static unsigned operation;

static struct caller callers[CALLERS_MOST];
static unsigned caller_count;
static struct seen seen[2 * RUNNERS_MOST];
static unsigned seen_count;
static char handed[HANDED_MOST][NAME_MAX_LEN + 1]; /* containers that somebody was given */
static unsigned handed_count;

static unsigned fail_percent, die_percent, meddle_percent;
static bool taking, cooking_directly, closing, stopped;

static uint64_t served_total, refused_total, restarts_total, created_total;

#define require(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg(__VA_ARGS__);                                                                 \
    } while (0)

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* least..most */
static unsigned pick(unsigned least, unsigned most)
{
    return least + (unsigned)(next_random() % (most - least + 1));
}

static bool chance(unsigned percent)
{
    return pick(1, 100) <= percent;
}

/* Mostly short, at times long: each power of two of microseconds is as likely as another. */
static mono_us pick_time(unsigned most_log2)
{
    unsigned log2 = pick(0, most_log2);
    return log2 == 0 ? 0 : (mono_us)(next_random() % (UINT64_C(1) << log2));
}

/* ---- what is held to ---- */

static bool is_ours(const struct runner *runner)
{
    return strcmp(runner->template_name, rig.config.template.name) == 0;
}

static bool was_handed(const char *container)
{
    for (unsigned i = handed_count; i-- > 0;)
        if (strcmp(handed[i], container) == 0)
            return true;
    return false;
}

struct census {
    struct runner *all[RUNNERS_MOST];
    unsigned count;
    unsigned states[RUNNER_STATES];
    unsigned warm;  /* of the oven's template */
    uint64_t slots; /* as bits */
};

static void count_runner(struct runner *runner, void *data)
{
    struct census *census = data;
    require(census->count < RUNNERS_MOST, "more than %d runners", RUNNERS_MOST);
    census->all[census->count++] = runner;
    census->states[runner->state]++;
    census->warm += runner->state == RUNNER_AVAILABLE && is_ours(runner);
    require(runner->spec.slot < 64, "slot %u though lower ones are free", runner->spec.slot);
    require(!(census->slots >> runner->spec.slot & 1), "slot %u twice", runner->spec.slot);
    census->slots |= UINT64_C(1) << runner->spec.slot;
}

static struct census take_census(void)
{
    struct census census = {0};
    roster_each(rig.roster, count_runner, &census);
    return census;
}

static void check_container(const struct engine_fake_view *view, void *data)
{
    const struct census *census = data;
    require(view->owned, "container %s has no runner", view->name);
    for (unsigned i = 0; i < census->count; i++) {
        const struct runner *runner = census->all[i];
        if (strcmp(runner->spec.name, view->name) != 0)
            continue;
        require(runner->spec.slot == view->slot, "%s has another slot", view->name);
        require((view->state == ENGINE_FAKE_DYING) <=
                    (runner->state == RUNNER_FREEING || runner->adopted),
                "%s is dying but %s", view->name, runner_state_name(runner->state));
        return;
    }
    require(false, "container %s is in no roster", view->name);
}

static void check_roster(const struct census *census)
{
    for (int state = 0; state < RUNNER_GONE; state++)
        require(roster_count(rig.roster, (enum runner_state)state) == census->states[state],
                "%s is counted wrong", runner_state_name((enum runner_state)state));
    require(roster_total(rig.roster) == census->count, "the total is wrong");
    require(engine_fake_count(rig.fake).live == census->count,
            "%u containers and %u runners are live", engine_fake_count(rig.fake).live,
            census->count);
    engine_fake_each(rig.fake, check_container, (void *)census);
    for (unsigned i = 0; i < census->count; i++) {
        const struct runner *runner = census->all[i];
        require(roster_find(rig.roster, "", runner->name) == runner, "%s is not found",
                runner->name);
        bool used = was_handed(runner->spec.name);
        if (runner->state == RUNNER_AVAILABLE)
            require(!used, "%s is warm, and was used before", runner->name);
        if (runner->state == RUNNER_IN_USE)
            require(used, "%s is in use by nobody", runner->name);
    }
}

static void check_oven(const struct census *census)
{
    struct oven_figures figures = rig_figures(&rig);
    require(figures.available == census->warm, "%u are warm, the oven knows %u", census->warm,
            figures.available);
    require(figures.target <= rig.config.max_runners, "a target above the maximum");
    bool due = rig.timer != 0 && rig.timer <= rig_now(&rig);
    if (due)
        return;
    /* The oven has nothing to do now: then nobody may have anything to wait for. */
    for (unsigned i = 0; i < caller_count; i++) {
        if (callers[i].state != CALLER_WAITS)
            continue;
        require(census->warm == 0, "caller %u waits though a runner is warm", i);
        require(callers[i].deadline > rig_now(&rig), "caller %u waits past its deadline", i);
        require(!callers[i].too_many, "caller %u waits in a full queue", i);
    }
}

static void check(struct rig *unused)
{
    (void)unused;
    struct census census = take_census();
    check_roster(&census);
    check_oven(&census);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    (void)data;
    static const char *const moves[RUNNER_STATES] = {"afgu", "ufg", "fg", "g", ""};
    static const char letters[RUNNER_STATES] = {'c', 'a', 'u', 'f', 'g'};
    unsigned i = 0;
    while (i < seen_count && seen[i].runner != runner)
        i++;
    if (i == seen_count) {
        require(from == RUNNER_COOKING && runner->state == RUNNER_COOKING,
                "%s begins its life from %s to %s", runner->name, runner_state_name(from),
                runner_state_name(runner->state));
        require(seen_count < ARRAY_LEN(seen), "too many runners");
        seen[seen_count++] = (struct seen){runner, RUNNER_COOKING};
        return;
    }
    require(seen[i].state == from, "%s was %s, and changes from %s", runner->name,
            runner_state_name(seen[i].state), runner_state_name(from));
    require(strchr(moves[from], letters[runner->state]), "%s goes from %s to %s", runner->name,
            runner_state_name(from), runner_state_name(runner->state));
    if (from == RUNNER_COOKING && runner->state == RUNNER_IN_USE)
        require(runner->adopted && runner->kept, "%s was not taken", runner->name);
    require((runner->handle == NULL) == (runner->state == RUNNER_GONE), "a wrong handle");
    require((roster_death(rig.roster) != NULL) ==
                (runner->state == RUNNER_GONE && from != RUNNER_FREEING),
            "why %s died is wrong", runner->name);
    seen[i].state = runner->state;
    if (runner->state == RUNNER_GONE)
        seen[i] = seen[--seen_count];
}

/* Another observer with reasons of its own. */
static void on_change_meddle(struct runner *runner, enum runner_state from, void *data)
{
    (void)data;
    if (from == RUNNER_COOKING && runner->state != RUNNER_GONE && chance(meddle_percent))
        runner_destroy(runner);
}

/* Made by this oven's worker, and not there yet. */
static unsigned count_cooking(void)
{
    struct census census = take_census();
    unsigned cooking = 0;
    for (unsigned i = 0; i < census.count; i++)
        cooking += census.all[i]->state == RUNNER_COOKING && !census.all[i]->adopted &&
                   is_ours(census.all[i]);
    return cooking;
}

/* At each start, as the engine sees it: the roster counts the new one already. */
static void on_create(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                      void *data)
{
    (void)nth, (void)spec, (void)data;
    struct engine_fake_counts counts = engine_fake_count(rig.fake);
    struct oven_figures figures = rig_figures(&rig);
    created_total++;
    require(counts.live < rig.config.max_runners, "a start past oven.max_runners");
    if (!cooking_directly) {
        require(rig.steps > 0, "a start before the memory is known");
        require(rig.memory <= rig.config.mem_ceiling_percent, "a start above the ceiling");
        require(figures.status != OVEN_BACKING_OFF, "a start during a pause");
        require(!stopped, "a start after oven_stop");
        require(count_cooking() <= rig.config.cook_parallel, "a start past oven.cook_parallel");
        if (rig.memory >= rig.config.mem_target_percent)
            require(figures.cooking + figures.available < figures.target + figures.waiting,
                    "a start that nobody wants");
    }
    fate->ready_us = 1 + pick_time(20);
    fate->gone_us = pick_time(18);
    fate->return_us = chance(90) ? pick_time(18) : ENGINE_FAKE_NEVER;
    fate->die_us = ENGINE_FAKE_NEVER;
    if (chance(fail_percent)) {
        if (chance(70))
            fate->die_us = pick_time(18);
        if (chance(70))
            fate->ready_us = ENGINE_FAKE_NEVER;
    } else if (chance(die_percent)) {
        fate->die_us = fate->ready_us + pick_time(24);
    }
}

/* ---- callers ---- */

static void take(bool may_wait);

static void cancel_one(void)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < caller_count; i++)
        waiting += callers[i].state == CALLER_WAITS;
    if (waiting == 0)
        return;
    unsigned chosen = pick(1, waiting), i = 0;
    while (callers[i].state != CALLER_WAITS || --chosen > 0)
        i++;
    callers[i].state = CALLER_CANCELLED;
    oven_cancel(callers[i].ticket);
}

static struct runner *pick_runner(unsigned states)
{
    struct census census = take_census();
    struct runner *fitting[RUNNERS_MOST];
    unsigned count = 0;
    for (unsigned i = 0; i < census.count; i++)
        if (states >> census.all[i]->state & 1)
            fitting[count++] = census.all[i];
    return count > 0 ? fitting[pick(0, count - 1)] : NULL;
}

#define ANY_STATE ((1U << RUNNER_STATES) - 1)

static void check_served(const struct caller *caller, struct runner *runner)
{
    require(runner->state == RUNNER_IN_USE, "%s was handed out %s", runner->name,
            runner_state_name(runner->state));
    require(is_ours(runner), "%s is of another template", runner->name);
    require(!was_handed(runner->spec.name), "%s was handed out twice", runner->name);
    require(!runner->kept && runner->operations == 0, "%s is not fresh", runner->name);
    require(!caller->too_many, "a runner for one who came to a full queue");
    for (const struct caller *other = callers; other < caller; other++)
        require(other->state != CALLER_WAITS, "caller %td overtook %td", caller - callers,
                other - callers);
    require(handed_count < HANDED_MOST, "too many runners");
    strcpy(handed[handed_count++], runner->spec.name);
    runner->operations = 1; /* as run.c does */
    served_total++;
}

static void check_refused(const struct caller *caller, const struct err *err,
                          mono_us retry_after_us)
{
    refused_total++;
    require(err->code == ERR_NOT_AVAILABLE && err->msg[0], "refused without a reason");
    require(retry_after_us > 0, "refused without a time to try again");
    if (closing || caller->too_many)
        return;
    struct oven_figures figures = rig_figures(&rig);
    require(figures.available == 0, "refused though %u are warm", figures.available);
    if (caller->deadline <= rig_now(&rig))
        return;
    require(figures.cooking == 0, "given up though %u cook", figures.cooking);
    require(stopped || figures.status == OVEN_BACKING_OFF, "given up for no reason");
}

static void on_done(struct runner *runner, const struct err *err, mono_us retry_after_us,
                    void *data)
{
    struct caller *caller = data;
    require(!taking, "answered inside oven_take");
    require(caller->state == CALLER_WAITS, "answered twice, or after it was cancelled");
    if (runner)
        check_served(caller, runner);
    else
        check_refused(caller, err, retry_after_us);
    caller->state = runner ? CALLER_SERVED : CALLER_REFUSED;
    caller->ticket = NULL;
    if (closing)
        return;
    if (chance(5))
        cancel_one();
    if (chance(5))
        take(chance(80));
    if (runner && chance(20))
        runner_destroy(runner);
    if (chance(2) && (runner = pick_runner(ANY_STATE)))
        runner_destroy(runner);
}

/* Those who wait and will not be answered at once. */
static unsigned queue_length(void)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < caller_count; i++)
        waiting += callers[i].state == CALLER_WAITS && !callers[i].too_many;
    return waiting;
}

static void take(bool may_wait)
{
    if (caller_count == CALLERS_MOST)
        return;
    struct caller *caller = &callers[caller_count];
    struct census census = take_census();
    caller->deadline = may_wait ? rig_now(&rig) + 1 + pick_time(23) : 0;
    caller->too_many = queue_length() >= census.warm + (may_wait ? rig.config.queue_length : 0);
    caller->state = CALLER_WAITS;
    caller_count++;
    taking = true;
    caller->ticket = oven_take(rig.oven, caller->deadline, on_done, caller);
    taking = false;
}

/* ---- the other operations ---- */

static void keep_one(void)
{
    struct runner *runner = pick_runner(1U << RUNNER_IN_USE);
    if (!runner)
        return;
    struct census census = take_census();
    char name[NAME_MAX_LEN + 1];
    if (chance(80))
        str_format(name, sizeof(name), "name-%u", pick(0, 5));
    else
        strcpy(name, census.all[pick(0, census.count - 1)]->spec.name);
    bool taken = false;
    for (unsigned i = 0; i < census.count; i++)
        taken = taken || (census.all[i] != runner && (strcmp(census.all[i]->name, name) == 0 ||
                                                      strcmp(census.all[i]->spec.name, name) == 0));
    struct err err = {0};
    int result = runner_keep(runner, name, "alice", &err);
    require((result == 0) == !taken, "keep as %s: %s", name, err.msg);
    if (taken)
        require(err.code == ERR_NAME_TAKEN, "keep as %s: %s", name, err.msg);
    else
        require(runner->kept && roster_find(rig.roster, "", name) == runner, "%s is not found",
                name);
}

static void kill_one(void)
{
    struct runner *runner = pick_runner(ANY_STATE);
    if (runner)
        engine_fake_kill(rig.fake, runner->spec.name);
}

static void destroy_one(unsigned states)
{
    struct runner *runner = pick_runner(states);
    if (runner)
        runner_destroy(runner);
}

static void change_faults(void)
{
    static const unsigned percents[] = {0, 0, 0, 5, 20, 100};
    fail_percent = percents[pick(0, 5)];
    die_percent = percents[pick(0, 5)];
    meddle_percent = chance(80) ? 0 : pick(1, 30);
}

static void cook_another(void)
{
    cooking_directly = true;
    struct err err = {0};
    bool full = roster_total(rig.roster) >= rig.config.max_runners;
    struct runner *runner = roster_cook(rig.roster, "other", &rig.config.spec, &err);
    require((runner == NULL) == full, "roster_cook: %s", err.msg);
    cooking_directly = false;
}

static void pick_config(void)
{
    struct ovens_config *config = &rig.config;
    config->max_runners = pick(1, 16);
    config->min_available = pick(0, chance(80) ? config->max_runners : 20);
    config->cook_parallel = pick(1, 5);
    config->queue_length = pick(0, 8);
    config->mem_target_percent = pick(0, 100);
    config->mem_ceiling_percent = pick(1, 100);
    config->cook_timeout_us = pick(100, 3000) * US_PER_MS;
    config->backoff_max_us = pick(100, 5000) * US_PER_MS;
}

static void start(void)
{
    rig.steps = 0;
    stopped = false;
    seen_count = 0;
    rig_start(&rig);
    roster_observe(rig.roster, on_change_meddle, NULL);
    engine_fake_on_create(rig.fake, on_create, NULL);
}

/* The first to hear of each change, before anybody makes another of it. */
static void prepare(struct rig *unused)
{
    (void)unused;
    roster_observe(rig.roster, on_change, NULL);
}

static void end(void)
{
    closing = true;
    rig_stop(&rig);
    closing = false;
    for (unsigned i = 0; i < caller_count; i++)
        require(callers[i].state != CALLER_WAITS, "caller %u was never answered", i);
    caller_count = 0;
}

struct journal {
    struct runner entries[RUNNERS_MOST];
    pid_t pids[RUNNERS_MOST];
    unsigned count;
};

static struct journal journal;

static void write_journal(struct runner *runner, void *data)
{
    (void)data;
    const struct engine_ops *ops = roster_engine(rig.roster)->ops;
    if (chance(5))
        return; /* lost: a zombie it will be */
    journal.entries[journal.count] = *runner;
    journal.pids[journal.count++] = ops->init_pid(runner->handle);
}

static void remove_zombie(const char *name, void *data)
{
    (void)data;
    struct err err;
    struct engine *engine = roster_engine(rig.roster);
    require(engine->ops->remove_zombie(engine, name, &err) == 0, "%s", err.msg);
}

static void restart(void)
{
    restarts_total++;
    journal.count = 0;
    roster_each(rig.roster, write_journal, NULL);
    end();
    if (chance(30))
        for (unsigned i = 0; i < journal.count; i++)
            if (chance(20))
                engine_fake_kill(rig.fake, journal.entries[i].spec.name);
    engine_fake_advance(rig.fake, pick_time(21));
    if (chance(30))
        pick_config();
    start();
    for (unsigned i = 0; i < journal.count; i++) {
        const struct runner *old = &journal.entries[i];
        struct engine_spec spec = old->spec;
        spec.rootfs = rig.config.template.rootfs;
        struct err err;
        const struct runner *runner =
            roster_adopt(rig.roster, &spec,
                         &(struct runner_record){.name = old->name,
                                                 .template_name = old->template_name,
                                                 .manager = old->manager,
                                                 .owner = old->owner,
                                                 .kept = old->kept,
                                                 .operations = old->operations,
                                                 .init_pid = journal.pids[i]},
                         &err);
        require(runner, "not adopted: %s", err.msg);
        require(!runner->kept || roster_find(rig.roster, "", old->name) == runner,
                "%s is not found", old->name);
    }
    roster_engine(rig.roster)->ops->zombies(roster_engine(rig.roster), remove_zombie, NULL);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Nothing fails and nobody comes for a while: then all that is wanted is there. */
static void calm_down(void)
{
    fail_percent = die_percent = meddle_percent = 0;
    if (stopped)
        restart();
    rig_memory(&rig, chance(70) ? pick(0, rig.config.mem_ceiling_percent) : rig.memory);
    /* What was made while things failed has its fate already, and those who live on may die up to
     * 17 s later; and no caller is remembered after so long.
     */
    rig_pass(&rig, 200 * (mono_us)US_PER_SEC);
    struct census census = take_census();
    struct oven_figures figures = rig_figures(&rig);
    require(census.states[RUNNER_FREEING] == 0, "%u are still freeing",
            census.states[RUNNER_FREEING]);
    require(figures.waiting == 0 && queue_length() == 0, "%u still wait", figures.waiting);
    require(figures.cooking == 0, "%u still cook", figures.cooking);
    if (rig.memory > rig.config.mem_ceiling_percent)
        return;
    require(figures.target == least(rig.config.min_available, rig.config.max_runners),
            "the target is still %u", figures.target);
    unsigned others = census.count - census.warm;
    unsigned room = rig.config.max_runners > others ? rig.config.max_runners - others : 0;
    unsigned wanted = least(rig.config.min_available, room);
    if (rig.memory < rig.config.mem_target_percent)
        wanted = room;
    require(census.warm >= wanted, "%u are warm of %u", census.warm, wanted);
    bool more = census.warm < figures.target || rig.memory < rig.config.mem_target_percent;
    require(figures.status == (more ? OVEN_FULL : OVEN_IDLE), "the oven is %s",
            oven_status_name(figures.status));
}

static void operate(void)
{
    switch (pick(0, 21)) {
    case 0 ... 3:
        take(true);
        break;
    case 4:
        take(false);
        break;
    case 5:
        for (unsigned i = pick(2, 10); i > 0; i--)
            take(chance(80));
        break;
    case 6:
        cancel_one();
        break;
    case 7 ... 8:
        destroy_one(1U << RUNNER_IN_USE);
        break;
    case 9:
        destroy_one(ANY_STATE);
        break;
    case 10:
        kill_one();
        break;
    case 11:
        keep_one();
        break;
    case 12 ... 15:
        rig_pass(&rig, pick_time(16));
        break;
    case 16 ... 17:
        rig_pass(&rig, pick_time(24));
        break;
    case 18:
        rig_memory(&rig, pick(0, chance(30) ? 100 : rig.config.mem_ceiling_percent));
        break;
    case 19:
        change_faults();
        break;
    case 20:
        if (chance(50))
            cook_another();
        else if (chance(20))
            restart();
        else if (chance(10))
            calm_down();
        break;
    default:
        if (stopped && chance(50)) {
            restart();
        } else if (chance(5)) {
            ovens_stop(rig.ovens);
            stopped = true;
        }
    }
}

static void run_sequence(void)
{
    random_state = seed;
    handed_count = caller_count = 0;
    rig_defaults(&rig);
    rig.after = check;
    rig.prepare = prepare;
    pick_config();
    rig.memory = pick(0, chance(10) ? 100 : rig.config.mem_ceiling_percent);
    change_faults();
    start();
    for (operation = 0; operation < OPERATIONS; operation++) {
        operate();
        check(&rig);
    }
    calm_down();
    end();
    engine_fake_destroy(rig.fake);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_lives(void **state)
{
    (void)state;
    log_init("test", (enum log_level)(LOG_ERROR + 1));
    uint32_t entropy = 0;
    assert_int_equal(getrandom(&entropy, sizeof(entropy), 0), sizeof(entropy));
    seed = setting("CODELAND_SEED", entropy);
    for (uint64_t left = setting("CODELAND_SEQUENCES", SEQUENCES); left > 0; left--, seed++)
        run_sequence();
    printf("%" PRIu64 " started, %" PRIu64 " served, %" PRIu64 " refused, %" PRIu64 " restarts\n",
           created_total, served_total, refused_total, restarts_total);
    /* The sequences do get anywhere. */
    assert_true(served_total > 0 && refused_total > 0 && restarts_total > 0);
}

static void print_seed(void)
{
    fprintf(stderr, "CODELAND_SEED=%" PRIu64 ", operation %u\n", seed, operation);
}

static void on_abort(int number)
{
    print_seed();
    signal(number, SIG_DFL);
    raise(number);
}

/* Of the sanitizers, where there are any: called before they end the program. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lives)};
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(print_seed);
    int failed = cmocka_run_group_tests_name("oven properties", tests, NULL, NULL);
    if (failed != 0)
        print_seed();
    return failed;
}
