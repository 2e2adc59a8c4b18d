/* Many workers over the API: added, drained, removed, and what their runs see of it. */
#include "rig.h"

#include "../../../src/common/mem.h"
#include "../../support/scratch.h"

#include <stdlib.h>
#include <sys/stat.h>

/* A second worker, not yet known to the manager. */
struct second {
    struct rig *rig;
    char path[PATH_MAX];
    struct fake_worker *fake;
};

static int set_up(void **state)
{
    struct second *second = mem_new(struct second);
    void *rig;
    rig_set_up(&rig);
    second->rig = rig;
    snprintf(second->path, sizeof(second->path), "%s",
             scratch_path(second->rig->folder, "second.sock"));
    second->fake = fake_worker_create(&second->rig->loop, second->path);
    *state = second;
    return 0;
}

static int tear_down(void **state)
{
    struct second *second = *state;
    void *rig = second->rig;
    http_server_destroy(second->rig->server);
    second->rig->server = NULL;
    fleet_destroy(second->rig->fleet);
    second->rig->fleet = NULL;
    fake_worker_destroy(second->fake);
    rig_tear_down(&rig);
    free(second);
    return 0;
}

static void call(struct second *second, const char *method, const char *path, const char *body,
                 int status)
{
    struct answer answer;
    rig_call(second->rig, method, path, second->rig->admin, body, &answer);
    if (answer.status != status)
        fail_msg("%s %s: %d: %s", method, path, answer.status, answer.body);
    answer_free(&answer);
}

static struct worker *worker_of(struct second *second, const char *name)
{
    return fleet_worker(second->rig->fleet, name);
}

static void add_second(struct second *second)
{
    char body[PATH_MAX + 60];
    snprintf(body, sizeof(body), "{\"name\":\"second\",\"socket\":\"%s\"}", second->path);
    call(second, "POST", "/api/v1/workers", body, 201);
    loop_wait(&second->rig->loop, worker_up(worker_of(second, "second")));
}

static char *text_of(struct second *second, const char *path, const char *key)
{
    struct answer answer;
    rig_call(second->rig, "GET", path, second->rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    char *text = mem_strdup(answer_text(&answer, key));
    answer_free(&answer);
    return text;
}

static void assert_status(struct second *second, const char *status)
{
    char *text = text_of(second, "/api/v1/workers/second", "status");
    assert_string_equal(text, status);
    free(text);
}

static void test_add_and_look(void **state)
{
    struct second *second = *state;
    struct answer answer;
    add_second(second);
    rig_call(second->rig, "GET", "/api/v1/workers", second->rig->admin, NULL, &answer);
    const json_t *workers = json_object_get(answer.json, "workers");
    assert_int_equal(json_array_size(workers), 2);
    const json_t *first = json_array_get(workers, 0), *added = json_array_get(workers, 1);
    assert_string_equal(json_string_value(json_object_get(first, "source")), "default");
    assert_string_equal(json_string_value(json_object_get(added, "source")), "api");
    assert_string_equal(json_string_value(json_object_get(added, "name")), "second");
    assert_string_equal(json_string_value(json_object_get(added, "status")), "active");
    const json_t *link = json_object_get(added, "link");
    assert_string_equal(json_string_value(json_object_get(link, "state")), "up");
    assert_true(json_number_value(json_object_get(link, "latency")) >= 0);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(added, "spec"), "socket")), second->path);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(added, "oven"), "available")), 5);
    answer_free(&answer);
    /* How a worker is reached is for admins. */
    rig_call(second->rig, "GET", "/api/v1/workers/second", second->rig->user, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_null(json_object_get(answer.json, "spec"));
    answer_free(&answer);
}

/* A host that is being made a worker is told of before it is one, and to administrators alone. */
static void test_provisioning(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    char path[PATH_MAX + 20];
    const char *ssh = scratch_path(rig->folder, "ssh");
    scratch_write(ssh, "#!/bin/sh\nprintf 'step\\tfetching http://joe:pw@mirror/x\\n'\n"
                       "exec sleep 1000\n");
    chmod(ssh, 0755);
    char *before = mem_strdup(getenv("PATH"));
    snprintf(path, sizeof(path), "%s:/usr/bin:/bin", rig->folder);
    setenv("PATH", path, 1);
    call(second, "GET", "/api/v1/workers/new", NULL, 404);
    call(second, "POST", "/api/v1/doctor", "{\"name\":\"new\",\"ssh\":\"root@host:1\"}", 202);
    loop_wait(&rig->loop, strstr(provisioner_find(rig->provisioner, "new")->step, "fetching"));
    setenv("PATH", before, 1);
    free(before);
    rig_call(rig, "GET", "/api/v1/workers/new", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "status"), "provisioning");
    const json_t *provision = json_object_get(answer.json, "provision");
    assert_string_equal(json_string_value(json_object_get(provision, "step")),
                        "fetching http://***@mirror/x");
    assert_true(json_is_null(json_object_get(provision, "percent")));
    assert_true(json_is_false(json_object_get(provision, "install")));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(answer.json, "spec"), "ssh")),
        "root@host:1");
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/workers/new", rig->user, NULL, &answer);
    assert_error(&answer, 404, "notFound", "new");
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/workers/local", rig->admin, NULL, &answer);
    assert_true(json_is_null(json_object_get(answer.json, "provision")));
    answer_free(&answer);
}

static const json_t *link_of(const struct answer *answer)
{
    return json_object_get(answer->json, "link");
}

/* Since when it is so, and to administrators what ssh said last. */
static void test_link(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    int64_t begun = clock_wall_ms();
    add_second(second);
    struct link *link = worker_link(worker_of(second, "second"));
    rig_call(rig, "GET", "/api/v1/workers/second", rig->admin, NULL, &answer);
    int64_t since = json_integer_value(json_object_get(link_of(&answer), "since"));
    assert_true(since >= begun - 1 && since <= clock_wall_ms());
    assert_true(json_number_value(json_object_get(link_of(&answer), "latency")) > 0);
    assert_true(json_is_null(json_object_get(link_of(&answer), "lastLine")));
    answer_free(&answer);
    strcpy(link_transport_status(link)->last_line, "Connection to host closed");
    fake_worker_destroy(second->fake);
    second->fake = NULL;
    loop_wait(&rig->loop, !worker_up(worker_of(second, "second")));
    rig_call(rig, "GET", "/api/v1/workers/second", rig->admin, NULL, &answer);
    assert_string_equal(json_string_value(json_object_get(link_of(&answer), "state")), "down");
    assert_string_equal(json_string_value(json_object_get(link_of(&answer), "lastLine")),
                        "Connection to host closed");
    assert_true(json_is_string(json_object_get(link_of(&answer), "lastError")));
    assert_true(json_integer_value(json_object_get(link_of(&answer), "since")) >= since);
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/workers/second", rig->user, NULL, &answer);
    assert_null(json_object_get(link_of(&answer), "lastLine"));
    answer_free(&answer);
}

/* Another version's worker is not used, and it is told why. */
static void test_versions(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    char hello[100];
    snprintf(hello, sizeof(hello), "{\"protocol\":%d,\"program\":\"codeland-worker 0.0.1\"}",
             PROTOCOL_VERSION);
    fake_worker_hello(second->fake, FRAME_LINK_HELLO, hello);
    char body[PATH_MAX + 60];
    snprintf(body, sizeof(body), "{\"name\":\"second\",\"socket\":\"%s\"}", second->path);
    call(second, "POST", "/api/v1/workers", body, 201);
    loop_wait(&rig->loop, worker_outdated(worker_of(second, "second")));
    rig_call(rig, "GET", "/api/v1/workers/second", rig->admin, NULL, &answer);
    assert_string_equal(json_string_value(json_object_get(link_of(&answer), "state")), "refused");
    assert_contains(json_string_value(json_object_get(link_of(&answer), "lastError")),
                    "codeland-worker 0.0.1");
    answer_free(&answer);
    worker_set_upgrade(worker_of(second, "second"), WORKER_UPGRADING, "on its way");
    rig_call(rig, "GET", "/api/v1/workers/second", rig->admin, NULL, &answer);
    assert_string_equal(json_string_value(json_object_get(link_of(&answer), "state")), "upgrading");
    assert_string_equal(json_string_value(json_object_get(link_of(&answer), "lastError")),
                        "on its way");
    answer_free(&answer);
    call(second, "POST", "/api/v1/workers/local/drain", NULL, 200);
    call(second, "POST", "/api/v1/runner/run", "{\"code\":\"x\",\"queue\":0}", 503);
    snprintf(hello, sizeof(hello), "{\"protocol\":%d,\"program\":\"codeland-worker %s\"}",
             PROTOCOL_VERSION, CODELAND_VERSION);
    fake_worker_hello(second->fake, FRAME_LINK_HELLO, hello);
    loop_wait(&rig->loop, worker_up(worker_of(second, "second")));
    assert_false(worker_outdated(worker_of(second, "second")));
    assert_int_equal(worker_get_upgrade(worker_of(second, "second")), WORKER_UPGRADE_NONE);
    call(second, "POST", "/api/v1/runner/run", "{\"code\":\"x\"}", 200);
}

static void test_refused(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    static const struct {
        const char *body, *words;
        int status;
        const char *name;
    } cases[] = {
        {"{}", "name: is missing", 400, "badRequest"},
        {"{\"name\":\"A\"}", "name", 400, "badRequest"},
        {"{\"name\":\"x\",\"sockets\":1}", "sockets", 400, "badRequest"},
        {"{\"name\":\"x\",\"socket\":\"here\"}", "socket", 400, "badRequest"},
        {"nonsense", "JSON", 400, "badRequest"},
        {"{\"name\":\"local\",\"socket\":\"/x\"}", "already", 409, "nameTaken"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_call(rig, "POST", "/api/v1/workers", rig->admin, cases[i].body, &answer);
        assert_error(&answer, cases[i].status, cases[i].name, cases[i].words);
        answer_free(&answer);
    }
    static const struct {
        const char *method, *path;
        int status;
        const char *name, *words;
    } others[] = {
        {"GET", "/api/v1/workers/nobody", 404, "notFound", "nobody"},
        {"DELETE", "/api/v1/workers/nobody", 404, "notFound", "nobody"},
        {"POST", "/api/v1/workers/nobody/drain", 404, "notFound", "nobody"},
        {"POST", "/api/v1/workers/A/drain", 404, "notFound", "no worker's name"},
        {"DELETE", "/api/v1/workers/local", 409, "runnerBusy", "stands in the settings"},
        {"DELETE", "/api/v1/workers/local?force=maybe", 400, "badRequest", "force: must be"},
        {"DELETE", "/api/v1/workers/local?wait=-1", 400, "badRequest", "wait: must be"},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        rig_call(rig, others[i].method, others[i].path, rig->admin, NULL, &answer);
        assert_error(&answer, others[i].status, others[i].name, others[i].words);
        answer_free(&answer);
    }
    rig_call(rig, "POST", "/api/v1/workers", rig->user, "{\"name\":\"x\"}", &answer);
    assert_error(&answer, 403, "forbidden", "admin");
    answer_free(&answer);
    add_second(second);
    rig_call(rig, "POST", "/api/v1/workers", rig->admin, "{\"name\":\"second\"}", &answer);
    assert_error(&answer, 409, "nameTaken", "second");
    answer_free(&answer);
    assert_int_equal(fleet_count(rig->fleet), 2);
}

static unsigned runs_of(const struct fake_worker *fake)
{
    return fake_worker_seen(fake)->runs;
}

static void run(struct second *second, int status)
{
    call(second, "POST", "/api/v1/runner/run", "{\"code\":\"x\"}", status);
}

static void test_drain_and_resume(void **state)
{
    struct second *second = *state;
    add_second(second);
    call(second, "POST", "/api/v1/workers/local/drain", NULL, 200);
    for (int i = 0; i < 5; i++)
        run(second, 200);
    assert_int_equal(runs_of(second->rig->fake), 0);
    assert_int_equal(runs_of(second->fake), 5);
    call(second, "POST", "/api/v1/workers/second/drain", NULL, 200);
    assert_status(second, "draining");
    struct answer answer;
    rig_call(second->rig, "POST", "/api/v1/runner/run", second->rig->admin, "{\"code\":\"x\"}",
             &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "draining");
    answer_free(&answer);
    rig_call(second->rig, "GET", "/readyz", NULL, NULL, &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "draining");
    answer_free(&answer);
    call(second, "POST", "/api/v1/workers/second/resume", NULL, 200);
    call(second, "GET", "/readyz", NULL, 200);
    assert_status(second, "active");
    run(second, 200);
    assert_int_equal(runs_of(second->fake), 6);
}

static void refuse(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    fake_op_error(op, data ? data : "RunnerNotAvailable", "the queue is full", 2000);
}

/* One worker says no: the other is asked; when both do, the answer is theirs. */
static void test_a_refusal_is_tried_elsewhere(void **state)
{
    struct second *second = *state;
    struct answer answer;
    static char broken[] = "internal";
    add_second(second);
    fake_worker_script(second->fake, refuse, NULL);
    for (int i = 0; i < 20; i++)
        run(second, 200);
    assert_int_equal(runs_of(second->rig->fake), 20);
    assert_true(runs_of(second->fake) > 0);
    fake_worker_script(second->rig->fake, refuse, NULL);
    rig_call(second->rig, "POST", "/api/v1/runner/run", second->rig->admin, "{\"code\":\"x\"}",
             &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "the queue is full");
    assert_contains(answer.head, "\r\nRetry-After: 2\r\n");
    answer_free(&answer);
    assert_false(worker_health(worker_of(second, "second"))->failing); /* full is not broken */
    fake_worker_script(second->rig->fake, NULL, NULL);
    fake_worker_script(second->fake, refuse, broken);
    for (int i = 0; i < 20; i++)
        run(second, 200);
}

/* The named runner's worker alone is asked, and what is wrong with the request is so everywhere. */
static void test_what_is_not_tried_elsewhere(void **state)
{
    struct second *second = *state;
    static char bad[] = "badRequest";
    add_second(second);
    fake_worker_runner(second->fake, "demo", "inUse", "admin");
    const struct runner_info *info;
    loop_wait(&second->rig->loop, fleet_find(second->rig->fleet, "demo", &info));
    call(second, "POST", "/api/v1/runner/demo", "{\"code\":\"x\"}", 200);
    assert_int_equal(fake_worker_seen(second->fake)->execs, 1);
    fake_worker_script(second->fake, refuse, NULL);
    call(second, "POST", "/api/v1/runner/demo", "{\"code\":\"x\"}", 503);
    assert_int_equal(fake_worker_seen(second->rig->fake)->execs, 0);
    call(second, "POST", "/api/v1/workers/local/drain", NULL, 200);
    fake_worker_script(second->fake, refuse, bad);
    call(second, "POST", "/api/v1/workers/local/resume", NULL, 200);
    call(second, "POST", "/api/v1/workers/second/drain", NULL, 200);
    fake_worker_script(second->rig->fake, refuse, bad);
    call(second, "POST", "/api/v1/workers/second/resume", NULL, 200);
    unsigned before = runs_of(second->rig->fake) + runs_of(second->fake);
    run(second, 400);
    assert_int_equal(runs_of(second->rig->fake) + runs_of(second->fake), before + 1);
}

static void break_(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)data;
    if (request->type == FRAME_RUN)
        fake_op_error(op, "internal", "the disk is gone", 0);
    else
        fake_op_answer(op, FRAME_RESULT, "{\"zombies\":[]}");
}

/* No request fails meanwhile: each is tried on the other worker. */
static void test_a_worker_that_fails_is_left_alone_until_a_probe_goes_well(void **state)
{
    struct second *second = *state;
    add_second(second);
    const struct health *health = worker_health(worker_of(second, "second"));
    fake_worker_script(second->fake, break_, NULL);
    for (int i = 0; i < 500 && !health->failing; i++)
        run(second, 200);
    assert_true(health->failing);
    assert_status(second, "failing");
    char *why = text_of(second, "/api/v1/workers/second", "why");
    assert_string_equal(why, "the disk is gone");
    free(why);
    unsigned before = runs_of(second->fake);
    loop_wait(&second->rig->loop, runs_of(second->fake) >= before + 2); /* probes, and no more */
    assert_true(health->failing);
    fake_worker_script(second->fake, NULL, NULL);
    loop_wait(&second->rig->loop, !health->failing);
    assert_status(second, "active");
}

/* All fail: runs wait for a probe to go well, and are not refused. */
static void test_a_failing_worker_that_is_the_only_one(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    const struct health *health = worker_health(rig_worker(rig));
    fake_worker_script(rig->fake, break_, NULL);
    while (!health->failing)
        run(second, 500);
    fake_worker_script(rig->fake, NULL, NULL);
    run(second, 200);
    assert_false(health->failing);
}

static struct fake_op *held[64];
static unsigned held_count;

static void hold(struct fake_op *op, const struct fake_request *request, void *data)
{
    (void)request;
    if (data)
        fake_op_started(op);
    held[held_count++] = op;
}

static struct client send_run(struct second *second)
{
    struct client client = client_open(second->rig);
    char text[300];
    snprintf(text, sizeof(text),
             "POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"code\":\"x\"}",
             second->rig->admin);
    client_text(&client, text);
    return client;
}

/* Those that wait for a runner go elsewhere, those that have one are lost when the time is over. */
static void test_removed_under_load(void **state)
{
    struct second *second = *state;
    struct answer answer;
    struct client clients[4];
    held_count = 0;
    add_second(second);
    call(second, "POST", "/api/v1/workers/local/drain", NULL, 200);
    for (int i = 0; i < 4; i++) {
        fake_worker_script(second->fake, hold, i < 2 ? NULL : second);
        clients[i] = send_run(second);
        loop_wait(&second->rig->loop, held_count == (unsigned)i + 1);
    }
    call(second, "POST", "/api/v1/workers/local/resume", NULL, 200);
    call(second, "DELETE", "/api/v1/workers/second?wait=1", NULL, 200);
    assert_null(worker_of(second, "second"));
    for (int i = 0; i < 4; i++) {
        assert_true(client_read(&clients[i], &answer));
        if (i < 2)
            assert_int_equal(answer.status, 200);
        else
            assert_error(&answer, 502, "workerBadGateway", "was removed");
        answer_free(&answer);
        client_close(&clients[i]);
    }
    assert_int_equal(runs_of(second->rig->fake), 2);
    run(second, 200);
    add_second(second); /* its name is free again */
}

/* With time enough, what goes on there ends as it would have. */
static void test_removal_waits_for_runs(void **state)
{
    struct second *second = *state;
    struct answer answer;
    held_count = 0;
    add_second(second);
    call(second, "POST", "/api/v1/workers/local/drain", NULL, 200);
    fake_worker_script(second->fake, hold, second);
    struct client running = send_run(second);
    loop_wait(&second->rig->loop, held_count == 1);
    call(second, "POST", "/api/v1/workers/local/resume", NULL, 200);
    struct client removing = client_open(second->rig);
    char text[200];
    snprintf(
        text, sizeof(text),
        "DELETE /api/v1/workers/second HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
        second->rig->admin);
    client_text(&removing, text);
    loop_wait(&second->rig->loop, worker_draining(worker_of(second, "second")));
    assert_status(second, "leaving");
    run(second, 200);
    assert_int_equal(runs_of(second->rig->fake), 1);
    fake_op_result(held[0], "ok", 0);
    assert_true(client_read(&running, &answer));
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    assert_true(client_read(&removing, &answer));
    assert_string_equal(answer.body, "{\"res\":\"success\"}");
    answer_free(&answer);
    client_close(&running);
    client_close(&removing);
}

static void test_kept_runners_are_not_forgotten_by_mistake(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    const struct runner_info *info;
    add_second(second);
    fake_worker_runner(second->fake, "demo", "inUse", "admin");
    loop_wait(&rig->loop, fleet_find(rig->fleet, "demo", &info));
    rig_call(rig, "DELETE", "/api/v1/workers/second", rig->admin, NULL, &answer);
    assert_error(&answer, 409, "runnerBusy", "1 named runners");
    answer_free(&answer);
    call(second, "DELETE", "/api/v1/workers/second?force=true", NULL, 200);
    call(second, "GET", "/api/v1/runner/demo", NULL, 404);
    add_second(second); /* it had it all the time */
    call(second, "GET", "/api/v1/runner/demo", NULL, 200);
}

/* A name is one runner's in the whole fleet, also while that is being made. */
static void test_names_are_taken_fleet_wide(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    const struct runner_info *info;
    add_second(second);
    fake_worker_runner(second->fake, "demo", "inUse", "admin");
    loop_wait(&rig->loop, fleet_find(rig->fleet, "demo", &info));
    for (int i = 0; i < 5; i++) {
        rig_call(rig, "POST", "/api/v1/runner/new", rig->admin, "{\"name\":\"demo\"}", &answer);
        assert_error(&answer, 409, "nameTaken", "demo");
        answer_free(&answer);
    }
    assert_int_equal(runs_of(rig->fake) + runs_of(second->fake), 0);
    rig_call(rig, "POST", "/api/v1/runner/new", rig->admin, "{\"name\":\"other\"}", &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    rig_call(rig, "GET", "/api/v1/runner/demo", rig->admin, NULL, &answer);
    assert_string_equal(answer_text(&answer, "worker"), "second");
    answer_free(&answer);
}

static void test_zombies_of_all(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    add_second(second);
    rig_call(rig, "GET", "/api/v1/worker/zombies", rig->admin, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "zombies")), 2);
    assert_null(json_object_get(answer.json, "failed"));
    answer_free(&answer);
    static char broken[] = "internal";
    fake_worker_script(second->fake, refuse, broken);
    rig_call(rig, "DELETE", "/api/v1/worker/zombies", rig->admin, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_contains(answer.body, "\"zombies\":[\"cr-zombie\"],\"failed\":[{\"worker\":\"second\"");
    answer_free(&answer);
}

/* An admin may say where a run shall be. */
static void test_the_worker_that_a_run_names(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct answer answer;
    static const char on_second[] = "{\"code\":\"x\",\"worker\":\"second\",\"queue\":0.1}";
    add_second(second);
    unsigned elsewhere = runs_of(rig->fake);
    for (int i = 0; i < 8; i++) {
        rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, on_second, &answer);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
    }
    assert_int_equal(runs_of(second->fake), 8);
    /* Not even when that one will not have it. */
    static char full[] = "RunnerNotAvailable";
    fake_worker_script(second->fake, refuse, full);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, on_second, &answer);
    assert_int_equal(answer.status, 503);
    answer_free(&answer);
    call(second, "POST", "/api/v1/workers/second/drain", NULL, 200);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, on_second, &answer);
    assert_error(&answer, 503, "RunnerNotAvailable", "the worker \"second\" is draining");
    answer_free(&answer);
    assert_int_equal(runs_of(rig->fake), elsewhere);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"x\",\"worker\":\"third\"}",
             &answer);
    assert_error(&answer, 404, "notFound", "worker: there is no worker \"third\"");
    answer_free(&answer);
    rig_call(rig, "POST", "/api/v1/runner/run", rig->user, on_second, &answer);
    assert_error(&answer, 403, "forbidden", "worker: an admin's token");
    answer_free(&answer);
}

/* What was said of workers is so for the next manager on the same store. */
static void test_a_restart_changes_nothing(void **state)
{
    struct second *second = *state;
    struct rig *rig = second->rig;
    struct err err;
    add_second(second);
    call(second, "POST", "/api/v1/workers/second/drain", NULL, 200);
    call(second, "POST", "/api/v1/workers/local/drain", NULL, 200);
    struct fleet *fleet = fleet_create(&rig->loop);
    struct workers *workers = workers_create(&rig->loop, fleet, rig->store, rig_link, NULL);
    struct worker_spec local;
    const struct worker_specs none = {0};
    worker_spec_init(&local, "local");
    assert_ok(worker_spec_set(&local, "socket", rig->socket, &err), err);
    assert_ok(workers_load(workers, &none, &local, &err), err);
    assert_int_equal(fleet_count(fleet), 2);
    assert_true(worker_draining(fleet_worker(fleet, "local")));
    assert_true(worker_draining(fleet_worker(fleet, "second")));
    enum workers_source source;
    assert_string_equal(workers_spec(workers, "second", &source)->socket, second->path);
    assert_int_equal(source, WORKERS_API);
    loop_wait(&rig->loop, worker_up(fleet_worker(fleet, "second")));
    fleet_destroy(fleet);
    workers_destroy(workers);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_add_and_look),
        TEST(test_provisioning),
        TEST(test_link),
        TEST(test_versions),
        TEST(test_refused),
        TEST(test_drain_and_resume),
        TEST(test_a_refusal_is_tried_elsewhere),
        TEST(test_what_is_not_tried_elsewhere),
        TEST(test_a_worker_that_fails_is_left_alone_until_a_probe_goes_well),
        TEST(test_a_failing_worker_that_is_the_only_one),
        TEST(test_removed_under_load),
        TEST(test_removal_waits_for_runs),
        TEST(test_kept_runners_are_not_forgotten_by_mistake),
        TEST(test_names_are_taken_fleet_wide),
        TEST(test_the_worker_that_a_run_names),
        TEST(test_zombies_of_all),
        TEST(test_a_restart_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
