/* How it works. libuv leaves a fork handler behind that a starter's children could not bear, so the
 * starters are made in main, before the first loop: two for workers that follow each other, one to
 * be killed, and one whose agent misbehaves.
 */
#include "../../../src/worker/engine_lxc.h"

#include "../../../src/common/agent_wire.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../../src/worker/engine_lxc_start.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"
#include "peer.h"
#include "tiny_root.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { FIRST, SECOND, MORTAL, WILD, STARTERS };

static struct ground {
    char folder[PATH_MAX], run_dir[PATH_MAX], agent_folder[PATH_MAX], rootfs[PATH_MAX];
    char prefix[NAME_MAX_LEN + 1];
    struct cgroup *cgroup;
    struct idmap *idmap;
    int sockets[STARTERS];
    pid_t starters[STARTERS];
} ground;

/* What was heard of one runner. */
struct seen {
    unsigned ready, gone;
    struct err why; /* ERR_NONE: on request */
    bool calling;   /* the engine is in a call of ours: it must not call back */
    struct engine_runner *handle;
    struct engine_spec spec;
};

struct stage {
    uv_loop_t loop;
    struct engine *engine;
    bool starter_died;
    int checks, check_status;
};

static void on_ready(void *runner)
{
    struct seen *seen = runner;
    assert_false(seen->calling);
    seen->ready++;
}

static void on_gone(void *runner, const struct err *why)
{
    struct seen *seen = runner;
    assert_false(seen->calling);
    seen->gone++;
    seen->handle = NULL;
    seen->why = why ? *why : (struct err){0};
}

static const struct engine_events events = {.ready = on_ready, .gone = on_gone};

static void on_starter_died(void *data)
{
    ((struct stage *)data)->starter_died = true;
}

static int check_template(const char *rootfs, void *data, struct err *err)
{
    struct stage *stage = data;
    assert_non_null(rootfs);
    stage->checks++;
    return stage->check_status == 0 ? 0 : err_set(err, ERR_NOT_AVAILABLE, "the template is broken");
}

/* A worker that starts; the same starter may serve several, one after the other. */
static void attach(struct stage *stage, int starter)
{
    struct err err;
    const struct engine_lxc_config config = {
        .loop = &stage->loop,
        .cgroup = ground.cgroup,
        .idmap = ground.idmap,
        .starter_socket = fcntl(ground.sockets[starter], F_DUPFD_CLOEXEC, 3),
        .starter = ground.starters[starter],
        .run_dir = ground.run_dir,
        .starter_died = on_starter_died,
        .check = check_template,
        .data = stage,
    };
    stage->engine = engine_lxc_create(&config, &err);
    if (!stage->engine)
        fail_msg("%s", err.msg);
    stage->engine->events = &events;
}

/* It ends, its containers live on. */
static void detach(struct stage *stage)
{
    stage->engine->ops->finish(stage->engine);
    stage->engine = NULL;
    loop_wait(&stage->loop, !uv_loop_alive(&stage->loop));
}

static void begin(struct stage *stage, int starter)
{
    *stage = (struct stage){.engine = NULL};
    uv_loop_init(&stage->loop);
    attach(stage, starter);
}

static struct engine_spec spec_of(const char *name, unsigned slot)
{
    struct engine_spec spec = {
        .slot = slot,
        .rootfs = ground.rootfs,
        .limits = {.memory_bytes = 64 << 20, .processes = 20, .cpu_percent = 100},
        .disk_bytes = 4 << 20,
        .disk_inodes = 1000,
    };
    str_format(spec.name, sizeof(spec.name), "%s", name);
    return spec;
}

static void create(struct stage *stage, struct seen *seen, const char *name, unsigned slot)
{
    *seen = (struct seen){.spec = spec_of(name, slot), .calling = true};
    seen->handle = stage->engine->ops->create(stage->engine, &seen->spec, seen);
    seen->calling = false;
}

static void create_ready(struct stage *stage, struct seen *seen, const char *name, unsigned slot)
{
    create(stage, seen, name, slot);
    loop_wait(&stage->loop, seen->ready || seen->gone);
    if (seen->gone)
        fail_msg("this machine cannot make containers: %s", seen->why.msg);
}

static void adopt(struct stage *stage, struct seen *seen, const struct seen *earlier, pid_t pid)
{
    *seen = (struct seen){.spec = earlier->spec, .calling = true};
    seen->handle = stage->engine->ops->adopt(stage->engine, &seen->spec, pid, seen);
    seen->calling = false;
}

static pid_t init_of(struct stage *stage, const struct seen *seen)
{
    return stage->engine->ops->init_pid(seen->handle);
}

static void destroy(struct stage *stage, struct seen *seen)
{
    seen->calling = true;
    stage->engine->ops->destroy(stage->engine, seen->handle);
    stage->engine->ops->destroy(stage->engine, seen->handle);
    seen->calling = false;
    loop_wait(&stage->loop, seen->gone);
    assert_int_equal(seen->gone, 1);
    assert_int_equal(seen->why.code, ERR_NONE);
    assert_false(cgroup_exists(ground.cgroup, seen->spec.name));
}

static void finish(struct stage *stage)
{
    detach(stage);
    loop_finish(&stage->loop);
}

static int clean_up(void **state);

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

/* ---- programs in it ---- */

static void turn(void *data)
{
    struct stage *stage = data;
    struct pollfd ready = {.fd = uv_backend_fd(&stage->loop), .events = POLLIN};
    uv_run(&stage->loop, UV_RUN_NOWAIT);
    poll(&ready, 1, 1);
}

#define OUTPUT_BYTES 4000 /* wanted of an operation */

static void start(struct stage *stage, struct seen *seen, struct peer *peer, uint32_t id,
                  bool confined, const char *script)
{
    static unsigned char payload[65536];
    struct err err;
    const struct agent_exec exec = {
        .flags = confined ? AGENT_EXEC_CGROUP : 0,
        .cwd = "",
        .argc = 3,
        .argv = {"sh", "-c", script},
        .envc = 1,
        .env = {"PATH=/bin"},
    };
    int fd = peer_pair(peer, turn, stage);
    const struct engine_operation operation = {
        .id = id, .confined = confined, .output_bytes = OUTPUT_BYTES};
    assert_ok(stage->engine->ops->open(stage->engine, seen->handle, &operation, fd, &err), err);
    peer_send(peer, FRAME_AGENT_EXEC, payload, agent_exec_encode(&exec, payload, sizeof(payload)));
}

/* The same without input. */
static void run(struct stage *stage, struct seen *seen, struct peer *peer, uint32_t id,
                bool confined, const char *script)
{
    start(stage, seen, peer, id, confined, script);
    peer_send(peer, FRAME_STDIN_EOF, NULL, 0);
}

/* What it prints, and how it ends. */
static const char *output_of(struct peer *peer, struct agent_exit *exit)
{
    static char text[4096];
    size_t len = 0;
    struct frame frame;
    for (;;) {
        assert_true(peer_next(peer, &frame));
        if (frame.type == FRAME_AGENT_EXIT)
            break;
        if (frame.type == FRAME_AGENT_FAILED)
            fail_msg("the program could not be started");
        if (frame.type == FRAME_AGENT_STARTED)
            continue;
        assert_true(len + frame.len < sizeof(text));
        memcpy(text + len, frame.payload, frame.len);
        len += frame.len;
    }
    assert_true(agent_exit_decode(frame.payload, frame.len, exit));
    peer_close(peer);
    text[len] = '\0';
    return text;
}

static const char *run_to_end(struct stage *stage, struct seen *seen, uint32_t id,
                              const char *script, struct agent_exit *exit)
{
    struct peer peer;
    run(stage, seen, &peer, id, false, script);
    return output_of(&peer, exit);
}

/* ---- tests ---- */

static void runner_is_made_and_nothing_is_left_of_it(void **state)
{
    struct stage stage;
    struct seen seen;
    char name[NAME_MAX_LEN + 1];
    static char mounts[1 << 20];
    (void)state;
    begin(&stage, FIRST);
    create(&stage, &seen, "cr-first", 0);
    assert_int_equal(init_of(&stage, &seen), 0);
    loop_wait(&stage.loop, seen.ready || seen.gone);
    if (seen.gone)
        fail_msg("this machine cannot make containers: %s", seen.why.msg);
    pid_t pid = init_of(&stage, &seen);
    assert_true(pid > 0);
    assert_true(cgroup_runner_of(ground.cgroup, pid, name));
    assert_string_equal(name, "cr-first");
    assert_true(fd_read_file(AT_FDCWD, "/proc/self/mountinfo", mounts, sizeof(mounts)) > 0);
    assert_null(strstr(mounts, ground.run_dir));
    destroy(&stage, &seen);
    assert_false(is_alive(pid));
    assert_int_equal(seen.ready, 1);
    finish(&stage);
}

static void program_runs_as_the_runners_user_within_its_walls(void **state)
{
    struct stage stage;
    struct seen seen;
    struct agent_exit exit;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-walls", 1);
    assert_string_equal(
        run_to_end(&stage, &seen, 0, "id -u; id -g; cat /proc/sys/kernel/hostname", &exit),
        "1000\n1000\ncr-walls\n");
    assert_int_equal(exit.exit, 0);
    /* Nothing of the host: its own processes, one interface, a root of its own, ours is closed. */
    assert_string_equal(
        run_to_end(&stage, &seen, 1, "ls -d /proc/[0-9]* | head -1; ls /sys/class/net", &exit),
        "/proc/1\nlo\n");
    run_to_end(&stage, &seen, 2, "ls /run/codeland/agent.sock", &exit);
    assert_int_not_equal(exit.exit, 0);
    char map[64];
    snprintf(map, sizeof(map), "0 %u %u", idmap_first(ground.idmap, 1), idmap_count(ground.idmap));
    const char *seen_map = run_to_end(&stage, &seen, 3,
                                      "while read a b c; do echo $a $b $c; done "
                                      "< /proc/self/uid_map",
                                      &exit);
    assert_contains(seen_map, map);
    const char *text = run_to_end(&stage, &seen, 4, "yes | head -c 1000000", &exit);
    assert_int_equal(strlen(text), OUTPUT_BYTES + 1); /* one more says that there was more */
    assert_int_equal(exit.exit, 0);
    destroy(&stage, &seen);
    finish(&stage);
}

static void limits_hold_and_are_counted(void **state)
{
    struct stage stage;
    struct seen seen;
    struct agent_exit exit;
    struct engine_stats before, after;
    struct err err;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-limits", 0);
    const struct engine_ops *ops = stage.engine->ops;
    assert_ok(ops->stats(stage.engine, seen.handle, &before, &err), err);
    assert_true(before.memory_bytes > 0);
    assert_int_equal(before.oom_kills, 0);
    assert_int_equal(before.pids_refused, 0);
    if (strcmp(cgroup_version(ground.cgroup), "v1") == 0) /* the start's own peak is forgotten */
        assert_in_range(before.memory_peak_bytes, 0, before.memory_bytes + (1 << 20));

    run_to_end(&stage, &seen, 0, "head -c 200000000 /dev/zero | tail -c 150000000 > /dev/null",
               &exit);
    assert_ok(ops->stats(stage.engine, seen.handle, &after, &err), err);
    assert_true(after.oom_kills > 0);
    assert_true(after.memory_peak_bytes > 32 << 20);
    assert_true(after.cpu_us > before.cpu_us);

    assert_contains(
        run_to_end(&stage, &seen, 1, "head -c 8000000 /dev/zero > f; stat -c %s f", &exit),
        "\n4"); /* 4 MiB or a little less */

    run_to_end(&stage, &seen, 2,
               "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 "
               "23 24 25; do sleep 1000 & done",
               &exit);
    assert_ok(ops->stats(stage.engine, seen.handle, &after, &err), err);
    assert_true(after.pids_refused > 0);
    destroy(&stage, &seen);

    create_ready(&stage, &seen, "cr-limits2", 0);
    struct engine_limits more = seen.spec.limits;
    more.memory_bytes = 400 << 20;
    assert_ok(ops->set_limits(stage.engine, seen.handle, &more, &err), err);
    run_to_end(&stage, &seen, 0, "head -c 200000000 /dev/zero | tail -c 150000000 > /dev/null",
               &exit);
    assert_int_equal(exit.exit, 0);
    destroy(&stage, &seen);
    finish(&stage);
}

static void operations_are_confined_and_killed_alone(void **state)
{
    struct stage stage;
    struct seen seen;
    struct agent_exit exit;
    struct peer stays, dies;
    struct frame frame;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-ops", 0);
    run(&stage, &seen, &stays, 0, true, "echo up; sleep 1000");
    run(&stage, &seen, &dies, 1, true, "(while :; do sleep 1000; done) & echo up; sleep 1000");
    peer_expect(&stays, FRAME_AGENT_STARTED, &frame);
    peer_expect(&stays, FRAME_STDOUT, &frame);
    peer_expect(&dies, FRAME_AGENT_STARTED, &frame);
    peer_expect(&dies, FRAME_STDOUT, &frame);
    assert_int_equal(cgroup_operation_count(ground.cgroup, "cr-ops"), 2);
    stage.engine->ops->kill_operation(stage.engine, seen.handle, 1);
    output_of(&dies, &exit);
    assert_int_equal(exit.signal, SIGKILL);
    loop_wait(&stage.loop, cgroup_operation_empty(ground.cgroup, "cr-ops", 1));
    stage.engine->ops->end_operation(stage.engine, seen.handle, 1);
    assert_false(peer_has_frame(&stays));
    assert_false(stays.over);
    /* The group serves again. */
    for (uint32_t id = 2; id < 5; id++) {
        run(&stage, &seen, &dies, id, true, "true");
        output_of(&dies, &exit);
        stage.engine->ops->end_operation(stage.engine, seen.handle, id);
    }
    assert_in_range(cgroup_operation_count(ground.cgroup, "cr-ops"), 2, 3);
    destroy(&stage, &seen);
    peer_expect_end(&stays);
    peer_close(&stays);
    finish(&stage);
}

static bool send_signal(struct stage *stage, struct seen *seen, uint32_t id, int number)
{
    return stage->engine->ops->signal(stage->engine, seen->handle, id, number);
}

static void signal_reaches_its_program_alone_past_the_input(void **state)
{
    struct stage stage;
    struct seen seen;
    struct agent_exit exit;
    struct peer stays, dies;
    struct frame frame;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-signal", 0);
    start(&stage, &seen, &stays, 0, false, "echo up; sleep 1000");
    start(&stage, &seen, &dies, 1, false, "echo up; sleep 1000");
    peer_expect(&stays, FRAME_AGENT_STARTED, &frame);
    peer_expect(&stays, FRAME_STDOUT, &frame);
    peer_expect(&dies, FRAME_AGENT_STARTED, &frame);
    peer_expect(&dies, FRAME_STDOUT, &frame);
    peer_flood(&dies, FRAME_STDIN, 16 * 1024 * 1024);    /* which nobody reads */
    assert_true(send_signal(&stage, &seen, 2, SIGKILL)); /* there is no such operation */
    assert_true(send_signal(&stage, &seen, 1, SIGTERM));
    output_of(&dies, &exit);
    assert_int_equal(exit.signal, SIGTERM);
    assert_true(send_signal(&stage, &seen, 1, SIGKILL)); /* nor is there this one any more */
    assert_string_equal(run_to_end(&stage, &seen, 3, "echo next", &exit), "next\n");
    assert_false(peer_has_frame(&stays));
    assert_false(stays.over);
    assert_true(send_signal(&stage, &seen, 0, SIGUSR1));
    output_of(&stays, &exit);
    assert_int_equal(exit.signal, SIGUSR1);
    destroy(&stage, &seen);
    finish(&stage);
}

static void start_that_fails_says_why(void **state)
{
    static const struct {
        const char *remove, *words; /* from the root; NULL: the whole of it */
    } cases[] = {
        {NULL, "with the runner's ids: No such file or directory"},
        {"/usr/libexec/crunner", "liblxc could not start the container: "},
        {"/run/codeland", "liblxc could not start the container: "},
    };
    struct stage stage;
    (void)state;
    begin(&stage, FIRST);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct seen seen;
        char from[PATH_MAX], to[PATH_MAX];
        str_format(from, sizeof(from), "%s%s", ground.rootfs,
                   cases[i].remove ? cases[i].remove : "");
        str_format(to, sizeof(to), "%s/aside", ground.folder);
        assert_int_equal(rename(from, to), 0);
        create(&stage, &seen, "cr-fails", 0);
        loop_wait(&stage.loop, seen.gone);
        assert_int_equal(rename(to, from), 0);
        assert_int_equal(seen.ready, 0);
        assert_contains(seen.why.msg, cases[i].words);
        if (cases[i].remove)
            assert_contains(seen.why.msg, cases[i].remove);
        assert_false(cgroup_exists(ground.cgroup, "cr-fails"));
    }
    struct seen seen;
    create_ready(&stage, &seen, "cr-works", 0); /* mended */
    destroy(&stage, &seen);
    finish(&stage);
}

static void template_is_checked_unless_starts_go_well(void **state)
{
    struct stage stage;
    struct seen seen, second;
    (void)state;
    begin(&stage, FIRST);
    stage.check_status = -1;
    create(&stage, &seen, "cr-check", 0);
    loop_wait(&stage.loop, seen.gone);
    assert_string_equal(seen.why.msg, "the template is broken");
    assert_int_equal(stage.checks, 1);
    stage.check_status = 0;
    create_ready(&stage, &seen, "cr-check", 0);
    assert_int_equal(stage.checks, 2);
    create_ready(&stage, &second, "cr-check2", 1);
    assert_int_equal(stage.checks, 2); /* the last went well */
    destroy(&stage, &seen);
    destroy(&stage, &second);
    finish(&stage);
}

static void paths_that_are_too_long(void **state)
{
    struct stage stage;
    struct seen seen = {.spec = spec_of("cr-long", 0)};
    char path[2 * START_PATH_MAX];
    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    begin(&stage, FIRST);
    seen.spec.rootfs = path;
    seen.handle = stage.engine->ops->create(stage.engine, &seen.spec, &seen);
    loop_wait(&stage.loop, seen.gone);
    assert_contains(seen.why.msg, "File name too long");
    finish(&stage);
}

static void runner_that_dies_is_noticed(void **state)
{
    struct stage stage;
    struct seen seen;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-dies", 0);
    kill(init_of(&stage, &seen), SIGKILL);
    loop_wait(&stage.loop, seen.gone);
    assert_string_equal(seen.why.msg, "the container ended by itself");
    assert_false(cgroup_exists(ground.cgroup, "cr-dies"));
    create_ready(&stage, &seen, "cr-dies", 0); /* name and slot are free again */
    destroy(&stage, &seen);
    finish(&stage);
}

static void runner_is_destroyed_while_it_is_made(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage, FIRST);
    for (int turns = 0; turns < 12; turns++) {
        struct seen seen;
        create(&stage, &seen, "cr-early", 0);
        for (int i = 0; i < turns; i++)
            turn(&stage);
        destroy(&stage, &seen);
    }
    finish(&stage);
}

static void many_at_once(void **state)
{
    struct stage stage;
    struct seen seen[8];
    (void)state;
    begin(&stage, FIRST);
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        char name[32];
        snprintf(name, sizeof(name), "cr-many%u", i);
        create(&stage, &seen[i], name, i);
    }
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        loop_wait(&stage.loop, seen[i].ready || seen[i].gone);
        if (seen[i].gone)
            fail_msg("%s", seen[i].why.msg);
    }
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++)
        destroy(&stage, &seen[i]);
    finish(&stage);
}

/* ---- workers that follow each other ---- */

static void next_worker_adopts(void **state)
{
    struct stage stage;
    struct seen seen, again;
    struct agent_exit exit;
    struct peer peer;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-adopt", 2);
    run(&stage, &seen, &peer, 0, true, "sleep 1000");
    struct frame frame;
    peer_expect(&peer, FRAME_AGENT_STARTED, &frame);
    pid_t pid = init_of(&stage, &seen);
    detach(&stage);
    peer_close(&peer);
    assert_true(is_alive(pid));

    attach(&stage, SECOND);
    adopt(&stage, &again, &seen, pid);
    loop_wait(&stage.loop, again.ready || again.gone);
    assert_int_equal(again.ready, 1);
    assert_int_equal(init_of(&stage, &again), pid);
    assert_string_equal(run_to_end(&stage, &again, 0, "echo back", &exit), "back\n");
    /* Numbers of operations may begin anew: the groups of the earlier ones are not used. */
    run(&stage, &again, &peer, 0, true, "echo confined");
    assert_string_equal(output_of(&peer, &exit), "confined\n");
    assert_int_equal(cgroup_operation_count(ground.cgroup, "cr-adopt"), 2);
    destroy(&stage, &again);
    assert_false(is_alive(pid));
    finish(&stage);
}

static void adopted_one_that_dies_is_noticed(void **state)
{
    struct stage stage;
    struct seen seen, again;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-adopt", 0);
    pid_t pid = init_of(&stage, &seen);
    detach(&stage);
    attach(&stage, SECOND);
    adopt(&stage, &again, &seen, pid);
    loop_wait(&stage.loop, again.ready);
    kill(pid, SIGKILL);
    loop_wait(&stage.loop, again.gone);
    assert_string_equal(again.why.msg, "the container ended by itself");
    assert_false(cgroup_exists(ground.cgroup, "cr-adopt"));
    finish(&stage);
}

static void what_is_not_there_or_is_another_is_not_adopted(void **state)
{
    struct stage stage;
    struct seen seen, again;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-adopt", 0);
    pid_t pid = init_of(&stage, &seen);
    detach(&stage);
    attach(&stage, SECOND);
    adopt(&stage, &again, &seen, getpid()); /* its number is another's now */
    loop_wait(&stage.loop, again.gone);
    assert_int_equal(again.ready, 0);
    assert_contains(again.why.msg, "its container is not there any more");
    assert_false(cgroup_exists(ground.cgroup, "cr-adopt"));
    assert_false(is_alive(pid)); /* what had its name is gone too */
    assert_true(is_alive(getpid()));

    adopt(&stage, &again, &seen, pid); /* it has ended */
    loop_wait(&stage.loop, again.gone);
    adopt(&stage, &again, &seen, 0x3fffffff); /* it never was */
    loop_wait(&stage.loop, again.gone);
    finish(&stage);
}

static void container_with_other_ids_is_not_adopted(void **state)
{
    struct stage stage;
    struct seen seen, again;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-ids", 0);
    pid_t pid = init_of(&stage, &seen);
    detach(&stage);
    attach(&stage, SECOND);
    seen.spec.slot = 5;
    adopt(&stage, &again, &seen, pid);
    loop_wait(&stage.loop, again.gone);
    assert_contains(again.why.msg, "worker.id_base has changed");
    assert_false(is_alive(pid));
    finish(&stage);
}

static void note_zombie(const char *name, void *data)
{
    char *names = data;
    strcat(names, name);
    strcat(names, " ");
}

static void zombies_are_found_and_removed(void **state)
{
    struct stage stage;
    struct seen seen, other;
    struct err err;
    char names[256] = "";
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &seen, "cr-zombie", 0);
    create_ready(&stage, &other, "cr-owned", 1);
    pid_t pid = init_of(&stage, &seen), owned = init_of(&stage, &other);
    stage.engine->ops->zombies(stage.engine, note_zombie, names);
    assert_string_equal(names, "");
    detach(&stage);
    attach(&stage, SECOND);
    struct seen again;
    adopt(&stage, &again, &other, owned);
    stage.engine->ops->zombies(stage.engine, note_zombie, names);
    assert_string_equal(names, "cr-zombie ");
    assert_ok(stage.engine->ops->remove_zombie(stage.engine, "cr-zombie", &err), err);
    /* It is dead; its monitor takes note of that in a moment. */
    loop_wait(&stage.loop, !is_alive(pid));
    names[0] = '\0';
    stage.engine->ops->zombies(stage.engine, note_zombie, names);
    assert_string_equal(names, "");
    loop_wait(&stage.loop, again.ready);
    destroy(&stage, &again);
    finish(&stage);
}

/* A container whose start outlived its worker turns up when its slot has a new owner. */
static void container_that_nobody_owns_is_killed_when_it_calls(void **state)
{
    struct stage stage;
    struct seen stray, owner;
    (void)state;
    begin(&stage, FIRST);
    create_ready(&stage, &stray, "cr-stray", 0);
    pid_t pid = init_of(&stage, &stray);
    detach(&stage);
    attach(&stage, SECOND);
    create(&stage, &owner, "cr-owner", 0);
    loop_wait(&stage.loop, owner.ready || owner.gone);
    assert_int_equal(owner.ready, 1);
    assert_int_not_equal(init_of(&stage, &owner), pid);
    loop_wait(&stage.loop, !is_alive(pid));
    loop_wait(&stage.loop, !cgroup_exists(ground.cgroup, "cr-stray"));
    destroy(&stage, &owner);
    finish(&stage);
}

/* ---- who may speak for a runner ---- */

/* A process of some user that claims to be an agent; it ends well when it is refused. */
static pid_t pretend(uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;
    assert_true(str_format(address.sun_path, sizeof(address.sun_path), "%s/" AGENT_SOCKET_NAME,
                           ground.agent_folder));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    const struct agent_hello hello = {.version = AGENT_PROTOCOL};
    unsigned char frame[FRAME_HEADER_LEN + 64];
    size_t len = agent_hello_encode(&hello, frame + FRAME_HEADER_LEN, 64);
    frame_put_header(frame, FRAME_AGENT_HELLO, 0, (uint32_t)len);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (setgid(uid) != 0 || setuid(uid) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        _exit(2);
    /* It may be closed before there was time for this. */
    bool sent = send(fd, frame, FRAME_HEADER_LEN + len, MSG_NOSIGNAL) > 0;
    _exit(!sent || read(fd, &byte, 1) <= 0 ? 0 : 3);
}

static bool has_ended(pid_t pid, int *status)
{
    return waitpid(pid, status, WNOHANG) == pid;
}

static void only_the_init_of_its_container_speaks_for_a_runner(void **state)
{
    struct stage stage;
    struct seen seen;
    struct agent_exit exit;
    int status;
    (void)state;
    begin(&stage, WILD);
    create(&stage, &seen, "silent", 3); /* its own agent says nothing */
    uint32_t root = idmap_first(ground.idmap, 3);
    const uid_t users[] = {root, root + 1000, 0, idmap_first(ground.idmap, 4), root - 1};
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        pid_t pid = pretend(users[i]);
        loop_wait(&stage.loop, has_ended(pid, &status));
        assert_int_equal(status, 0);
        assert_int_equal(seen.ready, 0);
    }
    destroy(&stage, &seen);
    detach(&stage);

    attach(&stage, FIRST);
    create_ready(&stage, &seen, "cr-real", 3);
    pid_t pid = pretend(root);
    loop_wait(&stage.loop, has_ended(pid, &status));
    assert_int_equal(status, 0);
    assert_string_equal(run_to_end(&stage, &seen, 0, "echo still here", &exit), "still here\n");
    destroy(&stage, &seen);
    finish(&stage);
}

static void agent_that_misbehaves_costs_its_runner(void **state)
{
    static const struct {
        const char *name, *words;
        unsigned ready;
    } cases[] = {
        {"version-0", "its agent speaks version 0 of the protocol, not 3", 0},
        {"version-4", "its agent speaks version 4 of the protocol, not 3", 0},
        {"version-4294967295", "its agent speaks version 4294967295 of the protocol, not 3", 0},
        {"garbage", "malformed frame", 0},
        {"hello-twice", "its agent does not keep to the protocol", 1},
        {"ends-at-once", "the container ended by itself", 0},
    };
    struct stage stage;
    (void)state;
    begin(&stage, WILD);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct seen seen;
        create(&stage, &seen, cases[i].name, 0);
        loop_wait(&stage.loop, seen.gone);
        assert_contains(seen.why.msg, cases[i].words);
        assert_int_equal(seen.ready, cases[i].ready);
        assert_false(cgroup_exists(ground.cgroup, cases[i].name));
    }
    finish(&stage);
}

static void agent_that_is_away_takes_no_operation_and_no_signal(void **state)
{
    static const char *const names[] = {"hello-then-leaves", "hello-then-mute"};
    const struct engine_operation operation = {.output_bytes = INT64_MAX};
    struct stage stage;
    (void)state;
    begin(&stage, WILD);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct seen seen;
        struct err err;
        int pair[2];
        create(&stage, &seen, names[i], 0);
        loop_wait(&stage.loop, seen.ready || seen.gone);
        assert_int_equal(seen.ready, 1);
        for (;;) { /* until its leaving is seen */
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
            int status =
                stage.engine->ops->open(stage.engine, seen.handle, &operation, pair[1], &err);
            close(pair[0]);
            if (status != 0)
                break;
            turn(&stage);
        }
        assert_int_equal(err.code, ERR_BAD_GATEWAY);
        assert_false(send_signal(&stage, &seen, 0, SIGTERM));
        destroy(&stage, &seen);
    }
    finish(&stage);
}

/* One that was started by an earlier worker, say. Its operations go as ever; that it cannot be told
 * of a signal past an operation's input is said, and nothing is sent that it does not know.
 */
static void agent_of_the_first_protocol_is_served(void **state)
{
    struct stage stage;
    struct seen first, second, *seen = &first;
    (void)state;
    begin(&stage, WILD);
    create_ready(&stage, &first, "first-protocol", 0);
    for (int worker = 0; worker < 2; worker++) {
        for (uint32_t id = 0; id < 3; id++) {
            struct peer peer;
            struct frame frame;
            struct agent_exit exit;
            unsigned char payload[64];
            const struct agent_signal signal = {.signal = SIGTERM, .group = 1};
            start(&stage, seen, &peer, id, false, "sleep 1000");
            peer_expect(&peer, FRAME_AGENT_STARTED, &frame);
            assert_false(send_signal(&stage, seen, id, SIGTERM));
            peer_send_text(&peer, FRAME_STDIN, "input");
            peer_send(&peer, FRAME_AGENT_SIGNAL, payload,
                      agent_signal_encode(&signal, payload, sizeof(payload)));
            output_of(&peer, &exit);
            assert_int_equal(exit.signal, SIGTERM);
        }
        if (worker > 0)
            break;
        pid_t pid = init_of(&stage, seen);
        detach(&stage);
        attach(&stage, SECOND);
        seen = &second;
        adopt(&stage, seen, &first, pid);
        loop_wait(&stage.loop, seen->ready || seen->gone);
        assert_int_equal(seen->ready, 1);
    }
    assert_int_equal(seen->gone, 0);
    destroy(&stage, seen);
    finish(&stage);
}

static void starter_that_dies_is_reported(void **state)
{
    struct stage stage;
    struct seen seen;
    int status;
    (void)state;
    begin(&stage, MORTAL);
    create_ready(&stage, &seen, "cr-orphan", 0);
    pid_t pid = init_of(&stage, &seen);
    kill(ground.starters[MORTAL], SIGKILL);
    loop_wait(&stage.loop, stage.starter_died);
    waitpid(ground.starters[MORTAL], &status, 0);
    ground.starters[MORTAL] = 0;
    assert_true(is_alive(pid)); /* which the next worker adopts */
    detach(&stage);
    attach(&stage, SECOND);
    struct seen again;
    adopt(&stage, &again, &seen, pid);
    loop_wait(&stage.loop, again.ready || again.gone);
    assert_int_equal(again.ready, 1);
    destroy(&stage, &again);
    finish(&stage);
}

/* ---- the ground ---- */

static void remove_one(const char *name, void *data)
{
    struct err err;
    (void)data;
    cgroup_remove(ground.cgroup, name, &err);
}

/* After each test, also one that failed in the middle. */
static int clean_up(void **state)
{
    (void)state;
    cgroup_each(ground.cgroup, remove_one, NULL);
    return 0;
}

static void spawn_starters(const char *agent, const char *wild_agent)
{
    struct err err;
    for (int i = 0; i < STARTERS; i++) {
        const struct start_config config = {
            .cgroup = ground.cgroup,
            .idmap = ground.idmap,
            .prefix = ground.prefix,
            .run_dir = ground.run_dir,
            .agent = i == WILD ? wild_agent : agent,
            .agent_folder = ground.agent_folder,
        };
        ground.sockets[i] = starter_spawn(&config, &ground.starters[i], &err);
        if (ground.sockets[i] < 0) {
            fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
    }
}

static void prepare_ground(const char *agent, const char *wild_agent)
{
    struct err err;
    /* Ids that no other test of this kind uses at the same time. */
    uint32_t base = 1610612736u + (uint32_t)getpid() % 1000 * 16 * 65536;
    scratch_make(ground.folder);
    chmod(ground.folder, 0755); /* the runners' roots look for the socket */
    snprintf(ground.prefix, sizeof(ground.prefix), "codeland-test-%d", (int)getpid());
    str_format(ground.run_dir, sizeof(ground.run_dir), "%s/run", ground.folder);
    str_format(ground.agent_folder, sizeof(ground.agent_folder), "%s/agent", ground.run_dir);
    str_format(ground.rootfs, sizeof(ground.rootfs), "%s/templates/base/rootfs", ground.folder);
    tiny_root_make(ground.folder, "base");
    ground.cgroup = cgroup_create(ground.prefix, &err);
    if (!ground.cgroup) {
        fprintf(stderr, "this machine cannot make cgroups: %s\n", err.msg);
        exit(1);
    }
    ground.idmap = idmap_create(base, 65536);
    spawn_starters(agent, wild_agent);
}

static void clear_ground(void)
{
    clean_up(NULL);
    for (int i = 0; i < STARTERS; i++) {
        close(ground.sockets[i]);
        if (ground.starters[i] > 0) {
            kill(ground.starters[i], SIGKILL); /* a test that failed holds its socket open */
            waitpid(ground.starters[i], NULL, 0);
        }
    }
    cgroup_remove_prefix(ground.cgroup);
    cgroup_destroy(ground.cgroup);
    idmap_destroy(ground.idmap);
    scratch_remove(ground.folder);
}

#define REAL(test) cmocka_unit_test_teardown(test, clean_up)

int main(int argc, char **argv)
{
    if (argc < 3 || geteuid() != 0) {
        fprintf(stderr, "usage: %s AGENT WILD-AGENT, as root\n", argv[0]);
        return 1;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphaned monitors are this program's to reap */
    prepare_ground(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        REAL(runner_is_made_and_nothing_is_left_of_it),
        REAL(program_runs_as_the_runners_user_within_its_walls),
        REAL(limits_hold_and_are_counted),
        REAL(operations_are_confined_and_killed_alone),
        REAL(signal_reaches_its_program_alone_past_the_input),
        REAL(start_that_fails_says_why),
        REAL(template_is_checked_unless_starts_go_well),
        REAL(paths_that_are_too_long),
        REAL(runner_that_dies_is_noticed),
        REAL(runner_is_destroyed_while_it_is_made),
        REAL(many_at_once),
        REAL(next_worker_adopts),
        REAL(adopted_one_that_dies_is_noticed),
        REAL(what_is_not_there_or_is_another_is_not_adopted),
        REAL(container_with_other_ids_is_not_adopted),
        REAL(zombies_are_found_and_removed),
        REAL(container_that_nobody_owns_is_killed_when_it_calls),
        REAL(only_the_init_of_its_container_speaks_for_a_runner),
        REAL(agent_that_misbehaves_costs_its_runner),
        REAL(agent_that_is_away_takes_no_operation_and_no_signal),
        REAL(agent_of_the_first_protocol_is_served),
        REAL(starter_that_dies_is_reported),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clear_ground();
    return failed;
}
