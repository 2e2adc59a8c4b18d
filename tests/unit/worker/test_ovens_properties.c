/* Random lives of the ovens of several templates, on engine_fake: what they share is shared, and
 * what is of one template never becomes another's.
 *
 * How it works. As test_oven_properties.c, which holds one oven to much more: a sequence has a
 * seed, from which its settings and its operations come; a failing one prints it, and
 * CODELAND_SEED=... begins with that one, CODELAND_SEQUENCES=... says how many to run.
 *
 * Held to: no container is handed out twice; each caller gets its own template, of the build that
 * is there now; callers of a template are answered once, in order and in time, and when nothing
 * fails any more nobody starves; nothing is lost: what lives is in the roster, and each oven counts
 * its own; starts keep within the room of all and of the template, the parallel starts, the memory
 * ceiling and the template's memory target.
 */
#include "../../../src/worker/ovens.h"

#include "../../../src/common/log.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "oven_rig.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#define SEQUENCES 1500
#define OPERATIONS 120
#define CALLERS_MOST 1500
#define RUNNERS_MOST 64
#define HANDED_MOST 3000
#define TEMPLATES 4

static const char *const names[TEMPLATES] = {"base", "native", "jvm", "web"};

enum caller_state { CALLER_WAITS, CALLER_SERVED, CALLER_REFUSED, CALLER_CANCELLED };

struct caller {
    unsigned template;
    enum caller_state state;
    struct oven_ticket *ticket;
    mono_us deadline;
};

static struct rig rig;
static uint64_t seed, random_state;
static unsigned operation;
static struct caller callers[CALLERS_MOST];
static unsigned caller_count;
static char handed[HANDED_MOST][NAME_MAX_LEN + 1];
static unsigned handed_count;
static int64_t builds[TEMPLATES]; /* stamps */
static unsigned fail_percent;
static bool taking;
static uint64_t served_total, refused_total, restarts_total, rebuilds_total;

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

static unsigned pick(unsigned least, unsigned most)
{
    return least + (unsigned)(next_random() % (most - least + 1));
}

static bool chance(unsigned percent)
{
    return pick(1, 100) <= percent;
}

static mono_us pick_time(unsigned most_log2)
{
    return (mono_us)(next_random() % (UINT64_C(1) << pick(0, most_log2)));
}

static struct oven *oven_of(unsigned template)
{
    return ovens_find(rig.ovens, names[template]);
}

static unsigned template_of(const char *name)
{
    for (unsigned i = 0; i < TEMPLATES; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fail_msg("%s is no template", name);
    return 0;
}

/* ---- what is held to ---- */

struct census {
    struct runner *all[RUNNERS_MOST];
    unsigned count;
    unsigned states[TEMPLATES][RUNNER_STATES];
};

static void count_runner(struct runner *runner, void *data)
{
    struct census *census = data;
    require(census->count < RUNNERS_MOST, "more than %d runners", RUNNERS_MOST);
    census->all[census->count++] = runner;
    census->states[template_of(runner->template_name)][runner->state]++;
}

static struct census take_census(void)
{
    struct census census = {0};
    roster_each(rig.roster, count_runner, &census);
    return census;
}

static bool was_handed(const char *container)
{
    for (unsigned i = handed_count; i-- > 0;)
        if (strcmp(handed[i], container) == 0)
            return true;
    return false;
}

static void check_oven(const struct census *census, unsigned template)
{
    struct oven_figures figures;
    const unsigned *states = census->states[template];
    oven_get_figures(oven_of(template), &figures);
    require(figures.available == states[RUNNER_AVAILABLE] &&
                figures.cooking == states[RUNNER_COOKING] &&
                figures.in_use == states[RUNNER_IN_USE] &&
                figures.freeing == states[RUNNER_FREEING],
            "%s: %u warm, %u cook, %u in use, %u freeing; its oven says %u, %u, %u, %u",
            names[template], states[RUNNER_AVAILABLE], states[RUNNER_COOKING],
            states[RUNNER_IN_USE], states[RUNNER_FREEING], figures.available, figures.cooking,
            figures.in_use, figures.freeing);
}

static void check(struct rig *unused)
{
    (void)unused;
    struct census census = take_census();
    require(engine_fake_count(rig.fake).live == census.count, "%u containers, %u runners",
            engine_fake_count(rig.fake).live, census.count);
    for (unsigned i = 0; i < census.count; i++) {
        const struct runner *runner = census.all[i];
        bool used = was_handed(runner->spec.name);
        if (runner->state == RUNNER_AVAILABLE) {
            require(!used, "%s is warm, and was used before", runner->name);
            require(runner->spec.rootfs_stamp == builds[template_of(runner->template_name)],
                    "%s is warm, of an earlier build", runner->name);
        }
        require(runner->state != RUNNER_IN_USE || used, "%s is in use by nobody", runner->name);
    }
    for (unsigned i = 0; i < TEMPLATES; i++)
        if (oven_of(i))
            check_oven(&census, i);
    if (rig.timer != 0 && rig.timer <= rig_now(&rig))
        return; /* there is something to do */
    for (unsigned i = 0; i < caller_count; i++) {
        if (callers[i].state != CALLER_WAITS)
            continue;
        require(census.states[callers[i].template][RUNNER_AVAILABLE] == 0,
                "caller %u waits though a runner of %s is warm", i, names[callers[i].template]);
        require(callers[i].deadline > rig_now(&rig), "caller %u waits past its deadline", i);
    }
}

static void on_create(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                      void *data)
{
    (void)nth, (void)data;
    char name[NAME_MAX_LEN + 1] = "";
    require(sscanf(spec->rootfs, "/templates/%41[a-z]/rootfs", name) == 1, "%s", spec->rootfs);
    unsigned template = template_of(name), cooking = 0;
    struct census census = take_census();
    for (unsigned i = 0; i < census.count; i++)
        cooking += census.all[i]->state == RUNNER_COOKING && !census.all[i]->adopted;
    const struct oven_settings *settings = oven_get_settings(oven_of(template));
    struct oven_figures figures;
    oven_get_figures(oven_of(template), &figures);
    require(spec->rootfs_stamp == builds[template], "a start of an earlier build of %s", name);
    require(engine_fake_count(rig.fake).live < rig.config.max_runners, "past the room of all");
    require(figures.total <= settings->max_runners, "past the room of %s", name);
    require(cooking <= rig.config.cook_parallel, "past the parallel starts");
    require(rig.memory <= rig.config.mem_ceiling_percent, "a start above the ceiling");
    require(settings->mode == OVEN_COOKS, "a start of %s, which is paused", name);
    if (rig.memory >= settings->mem_target_percent)
        require(figures.cooking + figures.available < figures.target + figures.waiting,
                "a start of %s that nobody wants", name);
    /* None hangs: one that does lets others begin beside it. */
    fate->ready_us = 1 + pick_time(20);
    fate->gone_us = pick_time(18);
    fate->return_us = chance(90) ? pick_time(18) : ENGINE_FAKE_NEVER;
    fate->die_us = chance(fail_percent) ? pick_time(20) : ENGINE_FAKE_NEVER;
}

static void on_done(struct runner *runner, const struct err *err, mono_us retry_after_us,
                    void *data)
{
    struct caller *caller = data;
    (void)retry_after_us;
    require(!taking, "answered inside oven_take");
    require(caller->state == CALLER_WAITS, "answered twice, or after it was cancelled");
    caller->state = runner ? CALLER_SERVED : CALLER_REFUSED;
    if (!runner) {
        require(err->code == ERR_NOT_AVAILABLE && err->msg[0], "refused without a reason");
        refused_total++;
        return;
    }
    require(strcmp(runner->template_name, names[caller->template]) == 0, "%s is of %s, not of %s",
            runner->name, runner->template_name, names[caller->template]);
    require(runner->state == RUNNER_IN_USE, "%s is not in use", runner->name);
    require(runner->spec.rootfs_stamp == builds[caller->template], "%s is of an earlier build",
            runner->name);
    require(!was_handed(runner->spec.name), "%s was handed out twice", runner->name);
    for (const struct caller *other = callers; other < caller; other++)
        require(other->state != CALLER_WAITS || other->template != caller->template,
                "caller %td overtook %td", caller - callers, other - callers);
    require(handed_count < HANDED_MOST, "too many runners");
    strcpy(handed[handed_count++], runner->spec.name);
    runner->operations = 1; /* as run.c does */
    served_total++;
}

/* ---- operations ---- */

static void take_of(unsigned template, mono_us deadline)
{
    struct oven *oven = oven_of(template);
    if (!oven || caller_count == CALLERS_MOST)
        return;
    struct caller *caller = &callers[caller_count++];
    *caller = (struct caller){.template = template, .deadline = deadline};
    taking = true;
    caller->ticket = oven_take(oven, deadline, on_done, caller);
    taking = false;
}

static void take(void)
{
    take_of(pick(0, TEMPLATES - 1), chance(80) ? rig_now(&rig) + 1 + pick_time(23) : 0);
}

static void cancel_one(void)
{
    if (caller_count == 0)
        return;
    struct caller *caller = &callers[pick(0, caller_count - 1)];
    if (caller->state != CALLER_WAITS)
        return;
    caller->state = CALLER_CANCELLED;
    oven_cancel(caller->ticket);
}

static struct runner *pick_runner(bool in_use)
{
    struct census census = take_census();
    struct runner *runner = census.count ? census.all[pick(0, census.count - 1)] : NULL;
    return runner && (!in_use || runner->state == RUNNER_IN_USE) ? runner : NULL;
}

static void put(unsigned template)
{
    struct err err;
    char rootfs[64];
    str_format(rootfs, sizeof(rootfs), "/templates/%s/rootfs", names[template]);
    const struct oven_template spec = {
        .name = names[template], .rootfs = rootfs, .stamp = builds[template]};
    require(ovens_put(rig.ovens, &spec, &err), "%s", err.msg);
}

static void rebuild(unsigned template)
{
    builds[template]++;
    rebuilds_total++;
    put(template);
}

static void set_one(unsigned template, bool calm)
{
    struct oven *oven = oven_of(template);
    if (!oven)
        return;
    struct oven_settings settings = *oven_get_settings(oven);
    settings.min_available = calm ? 1 : pick(0, 6);
    settings.max_runners = calm ? rig.config.max_runners : pick(1, rig.config.max_runners);
    settings.mem_target_percent = pick(0, 100);
    settings.linger_us = chance(50) ? 0 : pick_time(24);
    settings.mode = calm || chance(70) ? OVEN_COOKS : chance(50) ? OVEN_IS_PAUSED : OVEN_IS_DRAINED;
    oven_set_settings(oven, &settings);
}

static void start(void)
{
    rig_start(&rig);
    engine_fake_on_create(rig.fake, on_create, NULL);
    for (unsigned i = 0; i < TEMPLATES; i++)
        put(i);
}

static void end(void)
{
    rig_stop(&rig);
    for (unsigned i = 0; i < caller_count; i++)
        require(callers[i].state != CALLER_WAITS, "caller %u was never answered", i);
    caller_count = 0;
}

struct written {
    struct runner runner;
    pid_t pid;
};

static struct written journal[RUNNERS_MOST];
static unsigned journal_len;

static void write_down(struct runner *runner, void *data)
{
    (void)data;
    const struct engine_ops *ops = roster_engine(rig.roster)->ops;
    journal[journal_len++] = (struct written){*runner, ops->init_pid(runner->handle)};
}

static void remove_zombie(const char *name, void *data)
{
    (void)data;
    struct err err;
    struct engine *engine = roster_engine(rig.roster);
    require(engine->ops->remove_zombie(engine, name, &err) == 0, "%s", err.msg);
}

/* Between two workers a template may have been built again. */
static void restart(void)
{
    restarts_total++;
    journal_len = 0;
    roster_each(rig.roster, write_down, NULL);
    end();
    engine_fake_advance(rig.fake, pick_time(21));
    if (chance(50))
        builds[pick(0, TEMPLATES - 1)]++;
    start();
    for (unsigned i = 0; i < journal_len; i++) {
        const struct runner *old = &journal[i].runner;
        struct engine_spec spec = old->spec;
        char rootfs[64];
        struct err err;
        str_format(rootfs, sizeof(rootfs), "/templates/%s/rootfs", old->template_name);
        spec.rootfs = rootfs;
        const struct runner_record record = {.name = old->name,
                                             .template_name = old->template_name,
                                             .manager = old->manager,
                                             .owner = old->owner,
                                             .kept = old->kept,
                                             .operations = old->operations,
                                             .init_pid = journal[i].pid};
        require(roster_adopt(rig.roster, &spec, &record, &err), "not adopted: %s", err.msg);
    }
    roster_engine(rig.roster)->ops->zombies(roster_engine(rig.roster), remove_zombie, NULL);
}

static void take_away(unsigned template)
{
    if (template == 0 || !oven_of(template))
        return; /* the default one stays */
    ovens_remove(rig.ovens, oven_of(template));
    for (unsigned i = 0; i < caller_count; i++)
        require(callers[i].state != CALLER_WAITS || callers[i].template != template,
                "caller %u waits for a template that was removed", i);
}

static void operate(void)
{
    unsigned template = pick(0, TEMPLATES - 1);
    struct runner *runner;
    switch (pick(0, 19)) {
    case 0 ... 5:
        for (unsigned i = pick(1, chance(20) ? 8 : 2); i > 0; i--)
            take();
        break;
    case 6:
        cancel_one();
        break;
    case 7 ... 9:
        if ((runner = pick_runner(chance(90))))
            runner_destroy(runner);
        break;
    case 10:
        if ((runner = pick_runner(false)))
            engine_fake_kill(rig.fake, runner->spec.name);
        break;
    case 11 ... 14:
        rig_pass(&rig, pick_time(chance(60) ? 16 : 24));
        break;
    case 15:
        rig_memory(&rig, pick(0, chance(30) ? 100 : rig.config.mem_ceiling_percent));
        break;
    case 16:
        set_one(template, false);
        break;
    case 17:
        if (oven_of(template))
            rebuild(template);
        else
            put(template);
        break;
    case 18:
        if (chance(20))
            take_away(template);
        else
            fail_percent = chance(50) ? 0 : pick(1, 100);
        break;
    default:
        if (chance(20))
            restart();
    }
}

static void free_all(void)
{
    struct census census = take_census();
    for (unsigned i = 0; i < census.count; i++)
        if (census.all[i]->state == RUNNER_IN_USE)
            runner_destroy(census.all[i]);
}

/* Nothing fails, there is room and memory: whoever comes gets one, whatever it is of. */
static void nobody_starves(void)
{
    fail_percent = 0;
    for (unsigned i = 0; i < TEMPLATES; i++) {
        if (!oven_of(i))
            put(i);
        rebuild(i); /* which ends its pauses */
        set_one(i, true);
    }
    rig_memory(&rig, pick(0, rig.config.mem_ceiling_percent));
    rig_pass(&rig, 100 * (mono_us)US_PER_SEC);
    free_all();
    rig_pass(&rig, 10 * (mono_us)US_PER_SEC);
    const unsigned first = caller_count;
    for (unsigned i = 0; i < TEMPLATES; i++)
        take_of(i, rig_now(&rig) + 60 * (mono_us)US_PER_SEC);
    for (unsigned turns = 0; turns < TEMPLATES; turns++) {
        rig_pass(&rig, 10 * (mono_us)US_PER_SEC);
        free_all(); /* there may be room for one at a time */
    }
    for (unsigned i = first; i < caller_count; i++)
        require(callers[i].state == CALLER_SERVED, "a caller of %s starves",
                names[callers[i].template]);
}

static void run_sequence(void)
{
    random_state = seed;
    handed_count = caller_count = 0;
    rig_defaults(&rig);
    rig.after = check;
    struct ovens_config *config = &rig.config;
    config->max_runners = pick(1, 16);
    config->min_available = pick(0, config->max_runners);
    config->min_available_other = pick(0, 3);
    config->linger_us = pick_time(25);
    config->cook_parallel = pick(1, 5);
    config->queue_length = pick(4, 16);
    config->mem_target_percent = pick(0, 100);
    config->mem_ceiling_percent = pick(1, 100);
    config->cook_timeout_us = 2 * (mono_us)US_PER_SEC;
    config->backoff_max_us = pick(100, 5000) * US_PER_MS;
    config->template.stamp = 1;
    rig.memory = pick(0, config->mem_ceiling_percent);
    fail_percent = chance(50) ? 0 : pick(1, 60);
    for (unsigned i = 0; i < TEMPLATES; i++)
        builds[i] = 1;
    start();
    for (operation = 0; operation < OPERATIONS; operation++) {
        operate();
        check(&rig);
    }
    nobody_starves();
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
    printf("%" PRIu64 " served, %" PRIu64 " refused, %" PRIu64 " restarts, %" PRIu64 " rebuilds\n",
           served_total, refused_total, restarts_total, rebuilds_total);
    assert_true(served_total > 0 && refused_total > 0 && restarts_total > 0 && rebuilds_total > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lives)};
    int failed = cmocka_run_group_tests_name("ovens properties", tests, NULL, NULL);
    if (failed != 0)
        fprintf(stderr, "CODELAND_SEED=%" PRIu64 ", operation %u\n", seed, operation);
    return failed;
}
