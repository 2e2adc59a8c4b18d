/* An older worker is brought up to the manager over a scripted `ssh`: no host, no network. The
 * script says what a host would; as `ssh -N` it stands by, and the fake worker's socket is there.
 */
#include "../../../src/common/log.h"
#include "../../../src/manager/upgrade.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <stdlib.h>
#include <sys/stat.h>

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX], path[200];
    struct fake_worker *fake;
    struct store *store;
    struct fleet *fleet;
    struct workers *workers;
    struct provisioner *provisioner;
    struct upgrades *upgrades;
    struct ssh_place place;
};

#define CHECKED "printf 'check\\tlogin\\tok\\troot\\n'"

/* What the host says to a check, and to the start of its worker. */
static void script(const struct rig *rig, const char *check, const char *start)
{
    char text[PATH_MAX + 2000];
    snprintf(text, sizeof(text),
             "#!/bin/sh\n"
             "cd %s\n"
             "for word; do last=$word; test \"$word\" = -N && exec sleep 1000; done\n"
             "input=$(cat)\n"
             "echo \"$last\" >>commands\n"
             "case $last in *'sh -s') ;; *) exit 0 ;; esac\n"
             "case $input in *packages=*) %s ;; changed=*) %s ;; esac\n",
             rig->folder, check, start);
    scratch_write(scratch_path(rig->folder, "ssh"), text);
    chmod(scratch_path(rig->folder, "ssh"), 0755);
}

static unsigned commands(const struct rig *rig, const char *text)
{
    unsigned count = 0;
    const char *path = scratch_path(rig->folder, "commands");
    if (!scratch_exists(path))
        return 0;
    for (const char *at = scratch_read(path); (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

static struct link *make_link(uv_loop_t *loop, const struct worker_spec *spec, void *data,
                              struct err *err)
{
    const struct rig *rig = data;
    return link_ssh_create(loop, spec, &rig->place, err);
}

/* The programs that would be copied stand below folder as in an installation. */
static void make_programs(const struct rig *rig)
{
    char words[PATH_MAX + 500];
    snprintf(words, sizeof(words),
             "cd %s && mkdir -p bin libexec/codeland share/codeland/templates && for file in "
             "bin/codeland libexec/codeland/crunner libexec/codeland/codeland-worker "
             "libexec/codeland/codeland.apparmor "
             "share/codeland/templates/make-rootfs share/codeland/templates/base.conf "
             "share/codeland/languages.tar; do echo $file >$file; done",
             rig->folder);
    assert_int_equal(system(words), 0);
}

static void greet(struct rig *rig, const char *program)
{
    char hello[200];
    snprintf(hello, sizeof(hello), "{\"protocol\":%d,\"program\":\"%s\"}", PROTOCOL_VERSION,
             program);
    fake_worker_hello(rig->fake, FRAME_LINK_HELLO, hello);
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct err err;
    char path[PATH_MAX + 100];
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    snprintf(path, sizeof(path), "%s:/usr/bin:/bin", rig->folder);
    setenv("PATH", path, 1);
    snprintf(rig->path, sizeof(rig->path), "%s", scratch_path(rig->folder, "far.sock"));
    rig->place = (struct ssh_place){.folder = rig->folder, .config = ""};
    make_programs(rig);
    rig->store = store_open(":memory:", &rig->loop, &err);
    rig->fleet = fleet_create(&rig->loop);
    rig->workers = workers_create(&rig->loop, rig->fleet, rig->store, make_link, rig);
    snprintf(path, sizeof(path), "%s/bin/codeland", rig->folder);
    rig->provisioner = provisioner_create(&rig->loop, &rig->place, path);
    rig->upgrades = upgrades_create(&rig->loop, rig->fleet, rig->workers, rig->provisioner);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    upgrades_destroy(rig->upgrades);
    provisioner_destroy(rig->provisioner);
    fleet_destroy(rig->fleet);
    fake_worker_destroy(rig->fake);
    store_destroy(rig->store);
    workers_destroy(rig->workers);
    loop_finish(&rig->loop);
    scratch_remove(rig->folder);
    free(rig);
    return 0;
}

/* Adds the worker far; its ssh is there, and then so is the worker, of that version. */
static struct worker *add(struct rig *rig, const char *program)
{
    struct worker_spec local;
    struct worker_specs specs = {0};
    struct err err;
    worker_spec_init(&local, "far");
    assert_ok(worker_spec_set(&local, "ssh", "root@host", &err), err);
    assert_ok(workers_load(rig->workers, &specs, &local, &err), err);
    struct worker *worker = fleet_worker(rig->fleet, "far");
    loop_wait(&rig->loop, worker_last_error(worker)[0]); /* ssh runs, and removed an old socket */
    rig->fake = fake_worker_create(&rig->loop, rig->path);
    greet(rig, program);
    return worker;
}

static void test_an_older_one_is_upgraded(void **state)
{
    struct rig *rig = *state;
    script(rig, CHECKED, "until test -e go; do sleep 0.01; done");
    struct worker *worker = add(rig, "codeland-worker 0.0.1");
    loop_wait(&rig->loop, worker_get_upgrade(worker) == WORKER_UPGRADING);
    assert_true(worker_outdated(worker) && !worker_up(worker));
    assert_contains(worker_last_error(worker), "codeland-worker 0.0.1 is being upgraded to");
    /* All files came, the worker last restarted. */
    loop_wait(&rig->loop, commands(rig, "sh -s") == 3);
    assert_string_equal(provisioner_find(rig->provisioner, "far")->step, "starting the worker");
    assert_int_equal(commands(rig, "cat >$new"), 7);
    greet(rig, "codeland-worker " CODELAND_VERSION);
    loop_wait(&rig->loop, worker_up(worker));
    assert_false(worker_outdated(worker));
    assert_int_equal(worker_get_upgrade(worker), WORKER_UPGRADE_NONE);
    scratch_write(scratch_path(rig->folder, "go"), "");
    loop_wait(&rig->loop, provisioner_find(rig->provisioner, "far")->state != PROVISION_RUNNING);
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_true(worker_up(worker));
    assert_int_equal(commands(rig, "sh -s"), 4); /* nobody began again */
}

static void test_one_that_cannot_be_upgraded_is_refused(void **state)
{
    struct rig *rig = *state;
    script(rig, "printf 'check\\tdisk\\tbad\\t3 MiB free\\tmake room on /x\\n'", ":");
    struct worker *worker = add(rig, "codeland-worker 0.0.1");
    loop_wait(&rig->loop, worker_get_upgrade(worker) == WORKER_UPGRADE_FAILED);
    assert_contains(worker_last_error(worker), "codeland-worker 0.0.1 is older than this manager");
    assert_contains(worker_last_error(worker), "disk: 3 MiB free; to mend it: make room on /x");
    for (int i = 0; i < 5; i++)
        loop_turn(&rig->loop);
    assert_int_equal(commands(rig, "sh -s"), 1); /* it is left alone for a while */
    struct err err;
    const struct fleet_tried none = {0};
    assert_null(fleet_place(rig->fleet, "base", &none));
    fleet_explain(rig->fleet, "base", &none, &err);
    assert_contains(err.msg, "could not be upgraded");
    greet(rig, "codeland-worker " CODELAND_VERSION); /* somebody mended it */
    loop_wait(&rig->loop, worker_up(worker));
    assert_false(strstr(worker_last_error(worker), "could not be upgraded"));
}

static void test_a_copy_that_fails(void **state)
{
    struct rig *rig = *state;
    script(rig,
           CHECKED "; sed -i 's/exit 0/echo \"cat: write error: No space left on device\" "
                   ">\\&2; exit 1/' ssh",
           ":");
    struct worker *worker = add(rig, "codeland-worker 0.0.1");
    loop_wait(&rig->loop, worker_get_upgrade(worker) == WORKER_UPGRADE_FAILED);
    assert_contains(worker_last_error(worker), "No space left on device");
    assert_contains(worker_last_error(worker), "codeland worker doctor far --install");
    assert_int_equal(commands(rig, "cat >$new"), 1);
}

static void test_a_newer_one_is_left_as_it_is(void **state)
{
    struct rig *rig = *state;
    script(rig, CHECKED, ":");
    struct worker *worker = add(rig, "codeland-worker 999.0.0");
    loop_wait(&rig->loop, worker_too_new(worker));
    assert_false(worker_outdated(worker) || worker_up(worker));
    assert_contains(worker_last_error(worker), "codeland-worker 999.0.0");
    assert_contains(worker_last_error(worker), "install its version here");
    assert_int_equal(worker_get_upgrade(worker), WORKER_UPGRADE_NONE);
    assert_null(provisioner_find(rig->provisioner, "far"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_older_one_is_upgraded),
        TEST(test_one_that_cannot_be_upgraded_is_refused),
        TEST(test_a_copy_that_fails),
        TEST(test_a_newer_one_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
