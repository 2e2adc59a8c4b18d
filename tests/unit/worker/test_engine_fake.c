/* The engine in memory does as engine.h says, and notices who does not. */
#include "../../../src/worker/engine_fake.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "aborts.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A runner as its owner knows it. */
struct owned {
    struct engine_runner *handle;
    int ready, gone;
    mono_us ready_at, gone_at;
    struct err why; /* ERR_NONE: on request */
    int place;      /* in the order of going, from 1 */
};

static struct engine_fake *fake;
static struct engine *engine;
static int gone_count;
static bool in_call;

static mono_us now(void)
{
    return clock_now(engine_fake_clock(fake));
}

static void on_ready(void *data)
{
    struct owned *owned = data;
    assert_false(in_call);
    owned->ready++;
    owned->ready_at = now();
    assert_true(engine->ops->init_pid(owned->handle) > 0);
}

static void on_gone(void *data, const struct err *why)
{
    struct owned *owned = data;
    assert_false(in_call);
    owned->gone++;
    owned->gone_at = now();
    owned->place = ++gone_count;
    if (why)
        owned->why = *why;
}

static const struct engine_events events = {.ready = on_ready, .gone = on_gone};

static void attach(void)
{
    engine = engine_fake_attach(fake);
    engine->events = &events;
}

static int set_up(void **state)
{
    (void)state;
    fake = engine_fake_create();
    gone_count = 0;
    attach();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (engine)
        engine->ops->finish(engine);
    engine_fake_destroy(fake);
    return 0;
}

static struct engine_spec spec_of(unsigned slot)
{
    struct engine_spec spec = {.slot = slot, .rootfs = "/rootfs", .limits = {.processes = 7}};
    str_format(spec.name, sizeof(spec.name), "cr-%u", slot);
    return spec;
}

static void create(struct owned *owned, unsigned slot)
{
    struct engine_spec spec = spec_of(slot);
    *owned = (struct owned){0};
    in_call = true;
    owned->handle = engine->ops->create(engine, &spec, owned);
    in_call = false;
    assert_non_null(owned->handle);
}

static void adopt(struct owned *owned, unsigned slot, pid_t init_pid)
{
    struct engine_spec spec = spec_of(slot);
    *owned = (struct owned){0};
    in_call = true;
    owned->handle = engine->ops->adopt(engine, &spec, init_pid, owned);
    in_call = false;
    assert_non_null(owned->handle);
}

static void destroy(struct owned *owned)
{
    in_call = true;
    engine->ops->destroy(engine, owned->handle);
    in_call = false;
}

static void pass_ms(int64_t ms)
{
    engine_fake_advance(fake, ms * US_PER_MS);
}

static void restart(void)
{
    engine->ops->finish(engine);
    attach();
}

static void set_fate(mono_us ready_ms, mono_us die_ms, mono_us gone_ms, mono_us return_ms)
{
    struct engine_fake_fate fate = {
        .ready_us = ready_ms < 0 ? ENGINE_FAKE_NEVER : ready_ms * US_PER_MS,
        .die_us = die_ms < 0 ? ENGINE_FAKE_NEVER : die_ms * US_PER_MS,
        .gone_us = gone_ms * US_PER_MS,
        .return_us = return_ms < 0 ? ENGINE_FAKE_NEVER : return_ms * US_PER_MS,
    };
    engine_fake_set_fate(fake, &fate);
}

/* ---- lives ---- */

static void test_a_life(void **state)
{
    (void)state;
    struct owned a;
    mono_us start = now();
    assert_int_equal(start, US_PER_SEC);
    create(&a, 0);
    assert_int_equal(engine->ops->init_pid(a.handle), 0);
    assert_int_equal(engine_fake_next(fake), start + 7 * US_PER_MS);
    pass_ms(6);
    assert_int_equal(a.ready, 0);
    pass_ms(94);
    assert_int_equal(a.ready, 1);
    assert_int_equal(a.ready_at, start + 7 * US_PER_MS);
    assert_int_equal(now(), start + 100 * US_PER_MS);
    assert_int_equal(engine_fake_next(fake), 0);
    destroy(&a);
    destroy(&a); /* changes nothing */
    pass_ms(3);
    assert_int_equal(a.gone, 0);
    pass_ms(100);
    assert_int_equal(a.gone, 1);
    assert_int_equal(a.gone_at, start + 104 * US_PER_MS);
    assert_int_equal(a.why.code, ERR_NONE);
    assert_int_equal(engine_fake_count(fake).live, 0);
    assert_int_equal(engine_fake_count(fake).gone, 1);
}

static void test_destroyed_while_it_cooks(void **state)
{
    (void)state;
    struct owned a;
    create(&a, 0);
    destroy(&a);
    pass_ms(100);
    assert_int_equal(a.ready, 0);
    assert_int_equal(a.gone, 1);
    assert_int_equal(a.why.code, ERR_NONE);
}

static void test_scripted_deaths(void **state)
{
    (void)state;
    struct owned failing, dying, silent;
    set_fate(7, 3, 4, 5);
    create(&failing, 0);
    set_fate(7, 20, 4, 5);
    create(&dying, 1);
    set_fate(-1, -1, 4, 5);
    create(&silent, 2);
    pass_ms(3);
    assert_int_equal(failing.gone, 1);
    assert_int_equal(failing.ready, 0);
    assert_contains(failing.why.msg, "did not start");
    pass_ms(16);
    assert_int_equal(dying.ready, 1);
    assert_int_equal(dying.gone, 0);
    pass_ms(1);
    assert_int_equal(dying.gone, 1);
    assert_contains(dying.why.msg, "signal 9");
    pass_ms(100000);
    assert_int_equal(silent.ready + silent.gone, 0);
    assert_int_equal(engine_fake_next(fake), 0);
    assert_true(engine_fake_kill(fake, "cr-2"));
    assert_false(engine_fake_kill(fake, "cr-1"));
    assert_int_equal(silent.gone, 0);
    pass_ms(0);
    assert_int_equal(silent.gone, 1);
}

static void test_gone_in_any_order(void **state)
{
    (void)state;
    struct owned slow, quick;
    set_fate(7, -1, 50, 5);
    create(&slow, 0);
    set_fate(7, -1, 1, 5);
    create(&quick, 1);
    pass_ms(7);
    destroy(&slow);
    destroy(&quick);
    assert_true(engine_fake_kill(fake, "cr-0")); /* dying already */
    pass_ms(49);
    assert_int_equal(quick.place, 1);
    assert_int_equal(slow.gone, 0);
    pass_ms(1);
    assert_int_equal(slow.place, 2);
    assert_int_equal(slow.why.code, ERR_NONE);
}

static void fail_second(uint64_t nth, const struct engine_spec *spec, struct engine_fake_fate *fate,
                        void *data)
{
    assert_string_equal(spec->rootfs, "/rootfs");
    ++*(int *)data;
    if (nth == 1)
        fate->die_us = 0;
}

static void test_the_nth_start_fails(void **state)
{
    (void)state;
    struct owned owned[3];
    int asked = 0;
    engine_fake_on_create(fake, fail_second, &asked);
    for (unsigned i = 0; i < 3; i++)
        create(&owned[i], i);
    assert_int_equal(asked, 3);
    assert_int_equal(engine_fake_count(fake).cooking, 3);
    pass_ms(0);
    assert_int_equal(engine_fake_count(fake).cooking, 2);
    assert_int_equal(owned[1].gone, 1);
    pass_ms(7);
    assert_int_equal(owned[0].ready + owned[2].ready, 2);
    assert_int_equal(engine_fake_count(fake).cooking, 0);
    assert_int_equal(engine_fake_count(fake).created, 3);
}

static void test_figures_and_limits(void **state)
{
    (void)state;
    struct owned a;
    struct engine_stats stats = {.memory_bytes = 1}, wanted = {.oom_kills = 3};
    struct err err;
    create(&a, 0);
    assert_ok(engine->ops->stats(engine, a.handle, &stats, &err), err);
    assert_int_equal(stats.memory_bytes, 0);
    assert_true(engine_fake_set_stats(fake, "cr-0", &wanted));
    assert_false(engine_fake_set_stats(fake, "cr-1", &wanted));
    struct engine_limits limits = {.memory_bytes = 99};
    assert_ok(engine->ops->set_limits(engine, a.handle, &limits, &err), err);
    destroy(&a);
    /* Its accounting is there until it is gone. */
    assert_ok(engine->ops->stats(engine, a.handle, &stats, &err), err);
    assert_int_equal(stats.oom_kills, 3);
    assert_fails(engine->ops->set_limits(engine, a.handle, &limits, &err), err, ERR_BAD_GATEWAY,
                 "being destroyed");
}

/* ---- restarts ---- */

static void test_adopted(void **state)
{
    (void)state;
    struct owned old[4], warm, cooking, dying, lost;
    create(&old[0], 0);
    pass_ms(7);
    pid_t pid = engine->ops->init_pid(old[0].handle);
    set_fate(100, -1, 50, 5);
    create(&old[1], 1);
    create(&old[2], 2);
    destroy(&old[2]);
    restart();
    assert_int_equal(engine_fake_count(fake).live, 3);
    assert_int_equal(engine_fake_count(fake).cooking, 0);
    adopt(&warm, 0, pid);
    adopt(&cooking, 1, 0);
    adopt(&dying, 2, 0);
    adopt(&lost, 3, 0);
    pass_ms(0);
    assert_int_equal(lost.gone, 1);
    assert_contains(lost.why.msg, "did not come back");
    assert_int_equal(warm.ready, 0);
    pass_ms(5);
    assert_int_equal(warm.ready, 1);
    assert_int_equal(engine->ops->init_pid(warm.handle), pid);
    pass_ms(45);
    assert_int_equal(dying.gone, 1);
    assert_int_not_equal(dying.why.code, ERR_NONE);
    assert_int_equal(cooking.ready, 0);
    pass_ms(50);
    assert_int_equal(cooking.ready, 1);
    assert_int_equal(engine_fake_count(fake).adopted, 4);
    /* Nobody told the earlier engine's owner. */
    assert_int_equal(old[1].ready + old[2].gone, 0);
    destroy(&cooking);
    pass_ms(50);
    assert_int_equal(cooking.gone, 1);
    assert_int_equal(cooking.why.code, ERR_NONE);
}

static void test_adopted_ones_that_stay_away(void **state)
{
    (void)state;
    struct owned old[3], away, silent, again;
    set_fate(7, -1, 4, -1);
    create(&old[0], 0);
    set_fate(-1, -1, 4, 5);
    create(&old[1], 1);
    set_fate(7, -1, 4, 5);
    create(&old[2], 2);
    pass_ms(7);
    restart();
    adopt(&away, 0, 0);
    adopt(&silent, 1, 0);
    adopt(&again, 2, 0);
    restart(); /* before anything came of it */
    adopt(&away, 0, 0);
    adopt(&silent, 1, 0);
    adopt(&again, 2, 0);
    pass_ms(9999);
    assert_int_equal(away.gone + silent.gone, 0);
    pass_ms(1);
    assert_int_equal(away.gone, 1);
    assert_int_equal(silent.gone, 1);
    assert_int_equal(again.ready, 1);
    assert_int_equal(engine_fake_count(fake).live, 1);
}

static void test_an_absent_one_is_destroyed_and_forgotten(void **state)
{
    (void)state;
    struct owned a;
    adopt(&a, 0, 0);
    destroy(&a);
    pass_ms(10);
    assert_int_equal(a.gone, 1);
    assert_int_equal(a.why.code, ERR_NONE);
    adopt(&a, 0, 0);
    assert_false(engine_fake_kill(fake, "cr-0"));
    restart();
    assert_int_equal(engine_fake_count(fake).live, 0);
}

struct names {
    char text[100];
};

static void note_name(const char *name, void *data)
{
    struct names *names = data;
    strcat(names->text, name);
    strcat(names->text, " ");
}

static void test_zombies(void **state)
{
    (void)state;
    struct owned a, b;
    struct names names = {""};
    struct err err;
    create(&a, 0);
    create(&b, 1);
    pass_ms(7);
    engine->ops->zombies(engine, note_name, &names);
    assert_string_equal(names.text, "");
    restart();
    adopt(&b, 1, 0);
    engine->ops->zombies(engine, note_name, &names);
    assert_string_equal(names.text, "cr-0 ");
    assert_ok(engine->ops->remove_zombie(engine, "cr-0", &err), err);
    assert_fails(engine->ops->remove_zombie(engine, "cr-0", &err), err, ERR_RUNNER_NOT_FOUND,
                 "cr-0");
    assert_fails(engine->ops->remove_zombie(engine, "cr-1", &err), err, ERR_RUNNER_BUSY, "owner");
    assert_int_equal(engine_fake_count(fake).live, 1);
    assert_int_equal(a.gone, 0);
}

static void note_view(const struct engine_fake_view *view, void *data)
{
    struct engine_fake_view *views = data;
    views[view->slot] = *view;
}

static void test_seen_from_outside(void **state)
{
    (void)state;
    struct owned a, b, c;
    struct engine_fake_view views[4] = {0};
    create(&a, 0);
    pass_ms(7);
    restart();
    create(&b, 1);
    pass_ms(7);
    create(&c, 2);
    destroy(&b);
    engine_fake_each(fake, note_view, views);
    assert_string_equal(views[0].name, "cr-0");
    assert_int_equal(views[0].state, ENGINE_FAKE_READY);
    assert_false(views[0].owned);
    assert_true(views[0].init_pid > 0);
    assert_int_equal(views[1].state, ENGINE_FAKE_DYING);
    assert_true(views[1].owned);
    assert_int_equal(views[2].state, ENGINE_FAKE_COOKING);
    assert_int_equal(views[2].init_pid, 0);
    assert_int_equal(views[2].limits.processes, 7);
    assert_null(views[3].name);
}

/* ---- misuse ---- */

static struct owned first;

static void destroy_first(void *data)
{
    (void)data;
    engine->ops->destroy(engine, first.handle);
}

static void pid_of_first(void *data)
{
    (void)data;
    engine->ops->init_pid(first.handle);
}

static void stats_of_first(void *data)
{
    struct engine_stats stats;
    (void)data;
    engine->ops->stats(engine, first.handle, &stats, NULL);
}

static void create_at(void *data)
{
    engine->ops->create(engine, data, &first);
}

static void adopt_at(void *data)
{
    engine->ops->adopt(engine, data, 0, &first);
}

static void attach_again(void *data)
{
    engine_fake_attach(data);
}

static void destroy_machine(void *data)
{
    engine_fake_destroy(data);
}

static void test_a_handle_is_void_after_gone(void **state)
{
    (void)state;
    create(&first, 0);
    pass_ms(7);
    assert_false(aborts(destroy_first, NULL));
    destroy(&first);
    pass_ms(4);
    assert_true(aborts(destroy_first, NULL));
    assert_true(aborts(pid_of_first, NULL));
    assert_true(aborts(stats_of_first, NULL));
    struct owned next; /* also when its place is taken by another */
    create(&next, 0);
    assert_true(aborts(destroy_first, NULL));
    first = next;
    restart();
    assert_true(aborts(destroy_first, NULL));
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    create(&first, 0);
    struct engine_spec spec = spec_of(1);
    assert_false(aborts(create_at, &spec));
    spec.slot = 0;
    assert_true(aborts(create_at, &spec));
    spec = spec_of(0);
    spec.slot = 1;
    assert_true(aborts(create_at, &spec));
    spec = spec_of(1);
    spec.rootfs = NULL;
    assert_true(aborts(create_at, &spec));
    spec = spec_of(0);
    assert_true(aborts(adopt_at, &spec)); /* it has an owner */
    assert_true(aborts(attach_again, fake));
    assert_true(aborts(destroy_machine, fake));
    engine->events = NULL;
    spec = spec_of(1);
    assert_true(aborts(create_at, &spec));
    engine->events = &events;
}

/* ---- operations ---- */

static int open_operation(struct owned *owned, uint32_t id, bool confined)
{
    int pair[2];
    struct err err;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    const struct engine_operation operation = {
        .id = id, .confined = confined, .output_bytes = INT64_MAX};
    if (engine->ops->open(engine, owned->handle, &operation, pair[1], &err) == 0)
        return pair[0];
    assert_int_equal(err.code, ERR_BAD_GATEWAY);
    close(pair[0]);
    return -1;
}

static void start_program(int fd)
{
    unsigned char message[1000];
    struct agent_exec exec = {.cwd = "", .argc = 1, .argv = {"true"}};
    size_t len = agent_exec_encode(&exec, message + FRAME_HEADER_LEN, 500);
    frame_put_header(message, FRAME_AGENT_EXEC, 0, (uint32_t)len);
    len += FRAME_HEADER_LEN;
    assert_int_equal(send(fd, message, len, MSG_NOSIGNAL), len);
}

/* The names of the frames that have come, and "eof" when that has; a frame is never cut here. */
static const char *heard(int fd)
{
    static char text[500], data[100000];
    text[0] = '\0';
    ssize_t got;
    while ((got = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0) {
        size_t at = 0, used = 0;
        struct frame frame;
        while (frame_parse(data + at, (size_t)got - at, &frame, &used) == FRAME_OK) {
            at += used;
            size_t len = strlen(text);
            snprintf(text + len, sizeof(text) - len, "%s ", frame_name(frame.type));
        }
        assert_int_equal(at, got);
    }
    if (got == 0)
        strcat(text, "eof");
    return text;
}

static void run_as(const struct fake_script *script)
{
    engine_fake_set_script(fake, script, NULL, NULL);
}

static void create_warm(struct owned *owned, unsigned slot)
{
    create(owned, slot);
    pass_ms(7);
}

static void test_a_program_runs_for_its_time(void **state)
{
    (void)state;
    struct owned a;
    run_as(&(struct fake_script){.run_us = 20 * US_PER_MS, .stdout_bytes = 100});
    create_warm(&a, 0);
    int fd = open_operation(&a, 0, false);
    struct pollfd poll_fd = {.fd = engine_fake_fd(fake), .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    start_program(fd);
    assert_int_equal(poll(&poll_fd, 1, 0), 1);
    pass_ms(0);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    assert_string_equal(heard(fd), "AGENT_STARTED STDOUT ");
    pass_ms(19);
    assert_string_equal(heard(fd), "");
    pass_ms(1);
    assert_string_equal(heard(fd), "AGENT_EXIT eof");
    assert_int_equal(engine_fake_count(fake).operations, 0);
    close(fd);
}

static void by_program(const char *name, const struct agent_exec *exec, struct fake_script *script,
                       void *data)
{
    assert_string_equal(name, "cr-0");
    assert_string_equal(exec->argv[0], "true");
    assert_int_equal(script->ending, FAKE_SILENT);
    script->ending = FAKE_EXITS;
    ++*(int *)data;
}

static void test_the_program_decides(void **state)
{
    (void)state;
    struct owned a;
    int asked = 0;
    engine_fake_set_script(fake, &(struct fake_script){.ending = FAKE_SILENT}, by_program, &asked);
    create_warm(&a, 0);
    int fd = open_operation(&a, 0, false);
    start_program(fd);
    pass_ms(0);
    assert_int_equal(asked, 1);
    assert_string_equal(heard(fd), "AGENT_STARTED AGENT_EXIT eof");
    close(fd);
}

static void test_an_operation_is_killed_alone(void **state)
{
    (void)state;
    struct owned a;
    run_as(&(struct fake_script){.ending = FAKE_SILENT});
    create_warm(&a, 0);
    int confined = open_operation(&a, 0, true), free_one = open_operation(&a, 1, false);
    start_program(confined);
    start_program(free_one);
    pass_ms(1000);
    assert_string_equal(heard(confined), "AGENT_STARTED ");
    engine->ops->kill_operation(engine, a.handle, 0);
    engine->ops->kill_operation(engine, a.handle, 1); /* is not confined */
    engine->ops->kill_operation(engine, a.handle, 2); /* there is none */
    pass_ms(0);
    assert_string_equal(heard(confined), "AGENT_EXIT eof");
    assert_string_equal(heard(free_one), "AGENT_STARTED ");
    engine->ops->kill_operation(engine, a.handle, 0); /* over */
    engine->ops->end_operation(engine, a.handle, 0);
    engine->ops->end_operation(engine, a.handle, 0);
    assert_int_equal(engine_fake_count(fake).operations, 1);
    close(confined);
    close(free_one); /* abandoned */
    pass_ms(0);
    assert_int_equal(engine_fake_count(fake).operations, 0);
    assert_int_equal(a.gone, 0);
}

static void test_the_container_dies_under_a_program(void **state)
{
    (void)state;
    struct owned a, b;
    run_as(&(struct fake_script){.ending = FAKE_DIES, .run_us = 5 * US_PER_MS, .stdout_bytes = 3});
    create_warm(&a, 0);
    create_warm(&b, 1);
    int of_a = open_operation(&a, 0, true), of_b = open_operation(&b, 0, false);
    start_program(of_a);
    pass_ms(5);
    assert_string_equal(heard(of_a), "AGENT_STARTED STDOUT eof");
    assert_int_equal(a.gone, 1);
    destroy(&b);
    assert_string_equal(heard(of_b), "eof");
    close(of_a);
    close(of_b);
    pass_ms(4);
    assert_int_equal(engine_fake_count(fake).operations, 0);
}

static void test_open_needs_an_agent(void **state)
{
    (void)state;
    struct owned cooking, refusing;
    create(&cooking, 0);
    assert_int_equal(open_operation(&cooking, 0, false), -1);
    pass_ms(7);
    destroy(&cooking);
    assert_int_equal(open_operation(&cooking, 0, false), -1);
    engine_fake_set_fate(
        fake, &(struct engine_fake_fate){.refuse_open = true, .die_us = ENGINE_FAKE_NEVER});
    create(&refusing, 1);
    pass_ms(0);
    assert_int_equal(refusing.ready, 1);
    assert_int_equal(open_operation(&refusing, 0, false), -1);
}

static void open_twice(void *data)
{
    open_operation(data, 0, false);
}

static void test_an_operations_id_is_its_own(void **state)
{
    (void)state;
    struct owned a;
    create_warm(&a, 0);
    int fd = open_operation(&a, 0, false);
    assert_true(aborts(open_twice, &a));
    close(fd);
}

static void test_a_worker_that_ends_leaves_its_programs(void **state)
{
    (void)state;
    struct owned a;
    run_as(&(struct fake_script){.ending = FAKE_SILENT});
    create_warm(&a, 0);
    int fd = open_operation(&a, 0, true);
    start_program(fd);
    pass_ms(0);
    engine->ops->finish(engine);
    engine = NULL;
    close(fd);
    pass_ms(0);
    assert_int_equal(engine_fake_count(fake).operations, 0);
    assert_int_equal(engine_fake_count(fake).live, 1);
}

#define FLEET 20000

static void test_a_fleet(void **state)
{
    (void)state;
    struct owned *owned = mem_calloc(FLEET, sizeof(*owned));
    for (unsigned i = 0; i < FLEET; i++)
        create(&owned[i], i);
    pass_ms(7);
    unsigned ready = 0;
    for (unsigned i = 0; i < FLEET; i++) {
        ready += (unsigned)owned[i].ready;
        destroy(&owned[i]);
    }
    assert_int_equal(ready, FLEET);
    pass_ms(4);
    assert_int_equal(gone_count, FLEET);
    assert_int_equal(engine_fake_count(fake).live, 0);
    free(owned);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_life),
        T(destroyed_while_it_cooks),
        T(scripted_deaths),
        T(gone_in_any_order),
        T(the_nth_start_fails),
        T(figures_and_limits),
        T(adopted),
        T(adopted_ones_that_stay_away),
        T(an_absent_one_is_destroyed_and_forgotten),
        T(zombies),
        T(seen_from_outside),
        T(a_handle_is_void_after_gone),
        T(misuse_aborts),
        T(a_program_runs_for_its_time),
        T(the_program_decides),
        T(an_operation_is_killed_alone),
        T(the_container_dies_under_a_program),
        T(open_needs_an_agent),
        T(an_operations_id_is_its_own),
        T(a_worker_that_ends_leaves_its_programs),
        T(a_fleet),
    };
    return cmocka_run_group_tests_name("engine_fake", tests, NULL, NULL);
}
