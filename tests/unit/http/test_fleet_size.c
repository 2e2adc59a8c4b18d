/* 200 workers and 20,000 runners behind one manager: where runs go, what is told, what it costs. */
#include "rig.h"

#include "../../../src/common/mem.h"
#include "../../support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    WORKERS = 200,
    RUNNERS_EACH = 100,
    WARM_EACH = 60,
    RUNS = 400,
};

/* Of manager, fake workers and clients together, and what the sanitizer keeps of freed memory: some
 * four times what was seen.
 */
#define BYTES_MOST (768L << 20)

struct many {
    struct rig rig;
    struct fake_worker *fakes[WORKERS];
};

static int64_t resident_bytes(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return (int64_t)resident * 4096;
}

/* Tells of all runners of a worker in one message, as a real one does after the first SNAPSHOT. */
static void tell_runners(struct fake_worker *fake, unsigned number)
{
    json_t *records = json_array();
    for (unsigned i = 0; i < RUNNERS_EACH; i++) {
        char name[40];
        snprintf(name, sizeof(name), "r-%03u-%03u", number, i);
        json_array_append_new(
            records, json_pack("{s:s, s:s, s:s, s:s?, s:b}", "name", name, "state",
                               i < WARM_EACH ? "available" : "inUse", "template", "base", "owner",
                               i < WARM_EACH ? NULL : "admin", "kept", i >= WARM_EACH));
    }
    json_t *changes = json_pack("{s:o, s:[]}", "runners", records, "gone");
    char *text = json_dumps(changes, JSON_COMPACT);
    fake_worker_tell(fake, FRAME_CHANGES, text);
    free(text);
    json_decref(changes);
}

static bool all_up(const struct many *many)
{
    for (size_t i = 0; i < fleet_count(many->rig.fleet); i++)
        if (!worker_up(fleet_at(many->rig.fleet, i)))
            return false;
    return true;
}

static size_t names_in(const struct many *many)
{
    return names_count(fleet_names(many->rig.fleet));
}

static int set_up(void **state)
{
    struct many *many = mem_new(struct many);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 16384 ? limit.rlim_max : 16384;
    setrlimit(RLIMIT_NOFILE, &limit); /* both ends of every connection are ours */
    rig_init(&many->rig);
    rig_start(&many->rig);
    *state = many;
    return 0;
}

static int tear_down(void **state)
{
    struct many *many = *state;
    http_server_destroy(many->rig.server);
    many->rig.server = NULL;
    fleet_destroy(many->rig.fleet);
    many->rig.fleet = NULL;
    for (size_t i = 0; i < WORKERS; i++)
        fake_worker_destroy(many->fakes[i]);
    rig_stop(&many->rig);
    free(many);
    return 0;
}

static void add_all(struct many *many)
{
    struct rig *rig = &many->rig;
    for (unsigned i = 0; i < WORKERS; i++) {
        char name[20], file[30], path[PATH_MAX];
        snprintf(name, sizeof(name), "w-%03u", i);
        snprintf(file, sizeof(file), "%s.sock", name);
        snprintf(path, sizeof(path), "%s", scratch_path(rig->folder, file));
        many->fakes[i] = fake_worker_create(&rig->loop, path);
        fleet_add(rig->fleet, worker_create(&rig->loop, name, link_local_create(&rig->loop, path)));
    }
    loop_wait(&rig->loop, all_up(many));
    for (unsigned i = 0; i < WORKERS; i++)
        tell_runners(many->fakes[i], i);
    loop_wait(&rig->loop, names_in(many) == WORKERS * RUNNERS_EACH);
}

static void check_list(struct many *many)
{
    struct answer answer;
    rig_call(&many->rig, "GET", "/api/v1/runner?detail", many->rig.admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    const json_t *runners = json_object_get(answer.json, "runners");
    assert_int_equal(json_array_size(runners), WORKERS * RUNNERS_EACH);
    answer_free(&answer);
    rig_call(&many->rig, "GET", "/api/v1/workers", many->rig.admin, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "workers")), WORKERS + 1);
    answer_free(&answer);
}

/* Equal workers each get some, and none gets a crowd. */
static void check_spread(struct many *many)
{
    struct client client = client_open(&many->rig);
    struct answer answer;
    unsigned used = 0, total = 0, most = 0;
    for (int i = 0; i < RUNS; i++) {
        client_call(&client, "POST", "/api/v1/runner/run", many->rig.admin, "{\"code\":\"x\"}",
                    &answer);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
    }
    client_close(&client);
    for (int i = 0; i < WORKERS; i++) {
        unsigned runs = fake_worker_seen(many->fakes[i])->runs;
        used += runs > 0;
        total += runs;
        most = runs > most ? runs : most;
    }
    assert_int_equal(total, RUNS); /* the rig's own worker has told of no warm runner */
    assert_true(used > WORKERS / 2);
    assert_true(most <= 20);
}

/* A name leads to its worker alone. */
static void check_routing(struct many *many)
{
    struct client client = client_open(&many->rig);
    struct answer answer;
    for (unsigned i = 0; i < WORKERS; i += 7) {
        char path[60];
        snprintf(path, sizeof(path), "/api/v1/runner/r-%03u-%03u", i, RUNNERS_EACH - 1);
        client_call(&client, "POST", path, many->rig.admin, "{\"code\":\"x\"}", &answer);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
        assert_int_equal(fake_worker_seen(many->fakes[i])->execs, 1);
    }
    client_close(&client);
}

/* A worker that is lost keeps its runners' names, and has what it tells of when it is back. */
static void check_loss(struct many *many)
{
    struct rig *rig = &many->rig;
    const struct runner_info *info;
    struct worker *lost = fleet_worker(rig->fleet, "w-000");
    fake_worker_destroy(many->fakes[0]);
    many->fakes[0] = NULL;
    loop_wait(&rig->loop, !worker_up(lost));
    assert_ptr_equal(fleet_find(rig->fleet, "r-000-099", &info), lost);
    many->fakes[0] = fake_worker_create(&rig->loop, scratch_path(rig->folder, "w-000.sock"));
    loop_wait(&rig->loop, worker_up(lost));
    assert_null(fleet_find(rig->fleet, "r-000-099", &info));
    tell_runners(many->fakes[0], 0);
    loop_wait(&rig->loop, fleet_find(rig->fleet, "r-000-099", &info) == lost);
    assert_int_equal(names_in(many), WORKERS * RUNNERS_EACH);
}

static void test_two_hundred_workers(void **state)
{
    struct many *many = *state;
    int64_t before = resident_bytes();
    add_all(many);
    check_list(many);
    check_spread(many);
    check_routing(many);
    check_loss(many);
    assert_in_range(resident_bytes() - before, 0, BYTES_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_hundred_workers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
