#include "abuse_run.h"

#include "abuse_stream.h"
#include "http_client.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <pthread.h>
#include <string.h>

#define RUN_PATH "/api/v1/runner/run"

/* A case that is not over by then has broken something: all of them are bounded by their time. */
#define ANSWER_TIMEOUT_MS 120000

/* ---- the request ---- */

/* The program comes as a variable, so that its input and arguments are free. */
static const char *starter_of(const struct abuse_case *abuse)
{
    if (strcmp(abuse->language, "py") == 0)
        return "printf %s \"$ABUSE\" >case.py; unset ABUSE; exec python3 case.py \"$@\"";
    if (strcmp(abuse->language, "pl") == 0)
        return "printf %s \"$ABUSE\" >case.pl; unset ABUSE; exec perl case.pl \"$@\"";
    return "printf %s \"$ABUSE\" >case.sh; unset ABUSE; exec sh case.sh \"$@\"";
}

static char *program_of(const struct abuse_case *abuse, const struct abuse_target *target)
{
    const char *prelude = strcmp(abuse->language, "py") == 0 ? target->prelude : "";
    size_t room = strlen(prelude) + strlen(abuse->program) + 2;
    char *program = mem_calloc(1, room);
    str_format(program, room, "%s\n%s", prelude, abuse->program);
    return program;
}

json_t *abuse_request(const struct abuse_case *abuse, const struct abuse_target *target,
                      int64_t number)
{
    cleanup_free char *program = program_of(abuse, target);
    char argument[24];
    str_format(argument, sizeof(argument), "%lld", (long long)number);
    json_t *body = json_pack("{s:[s, s]}", "args", argument, target->address);
    if (strcmp(abuse->language, "c") == 0) { /* the attack is the compiler's to stand */
        json_object_set_new(body, "code", json_string(program));
        json_object_set_new(body, "language", json_string("c"));
    } else {
        char connections[24];
        str_format(connections, sizeof(connections), "%lld", (long long)target->connections);
        json_object_set_new(body, "code", json_string(starter_of(abuse)));
        json_object_set_new(body, "env",
                            json_pack("{s:s, s:s, s:s}", "ABUSE", program, "ABUSE_HOSTS",
                                      target->hosts, "ABUSE_CONNECTIONS", connections));
    }
    if (target->worker)
        json_object_set_new(body, "worker", json_string(target->worker));
    if (abuse->time_ms > 0)
        json_object_set_new(body, "time", json_real((double)abuse->time_ms / 1000));
    if (abuse->memory_mib > 0)
        json_object_set_new(body, "memory", json_integer(abuse->memory_mib << 20));
    if (abuse->stdin_bytes > 0) {
        cleanup_free char *input = mem_calloc(1, (size_t)abuse->stdin_bytes + 1);
        memset(input, 'x', (size_t)abuse->stdin_bytes);
        json_object_set_new(body, "stdin", json_string(input));
    }
    if (abuse->request)
        json_object_update(body, abuse->request);
    return body;
}

/* ---- doing it ---- */

static int ask(const struct abuse_target *target, json_t *take_body, struct http_answer *answer,
               struct err *err)
{
    cleanup_free char *text = json_dumps(take_body, JSON_COMPACT);
    json_decref(take_body);
    const struct http_request request = {
        .address = target->address,
        .method = "POST",
        .path = RUN_PATH,
        .token = target->token,
        .body = text,
        .timeout_ms = ANSWER_TIMEOUT_MS,
        .cancel_fd = -1,
    };
    return http_client_ask(&request, answer, err);
}

struct side {
    const struct abuse_case *abuse;
    const struct abuse_target *target;
    int64_t number;
    enum abuse_verdict verdict;
    char status[ABUSE_STATUS_MAX], why[ABUSE_WHY_MAX];
};

static void *run_side(void *data)
{
    struct side *side = data;
    struct http_answer answer;
    struct err err;
    side->verdict = ABUSE_FAILED;
    if (side->abuse->stream_bytes > 0) {
        cleanup_free char *program = program_of(side->abuse, side->target);
        side->verdict = abuse_stream(side->abuse, side->target, program, side->status, side->why);
        return NULL;
    }
    if (ask(side->target, abuse_request(side->abuse, side->target, side->number), &answer, &err) !=
        0) {
        str_format(side->status, sizeof(side->status), "lost");
        str_format(side->why, sizeof(side->why), "%s", err.msg);
        return NULL;
    }
    side->verdict =
        abuse_judge(side->abuse, answer.status, answer.body, answer.len, side->status, side->why);
    free(answer.body);
    return NULL;
}

/* The service goes on: the next one gets a fresh runner that knows nothing of all this. */
static bool still_serves(const struct abuse_target *target, char why[ABUSE_WHY_MAX])
{
    struct http_answer answer;
    struct err err;
    char status[ABUSE_STATUS_MAX];
    const struct abuse_case next = {.statuses = "ok", .says_held = true};
    json_t *body = json_pack("{s:s}", "code", "ls -A; echo held");
    if (target->worker)
        json_object_set_new(body, "worker", json_string(target->worker));
    if (ask(target, body, &answer, &err) != 0) {
        str_format(why, ABUSE_WHY_MAX, "afterwards: %s", err.msg);
        return false;
    }
    char said[ABUSE_WHY_MAX];
    bool good =
        abuse_judge(&next, answer.status, answer.body, answer.len, status, said) == ABUSE_HELD;
    if (!good)
        str_format(why, ABUSE_WHY_MAX, "afterwards: %s, %.300s", status, said);
    free(answer.body);
    return good;
}

static void run_sides(const struct abuse_case *abuse, const struct abuse_target *target,
                      struct abuse_outcome *outcome)
{
    struct side sides[ABUSE_RUNS_MAX];
    pthread_t threads[ABUSE_RUNS_MAX];
    bool began[ABUSE_RUNS_MAX] = {false};
    for (int64_t i = 0; i < abuse->runs; i++) {
        sides[i] = (struct side){
            .abuse = abuse, .target = target, .number = i + 1, .verdict = ABUSE_FAILED};
        if (i > 0)
            began[i] = pthread_create(&threads[i], NULL, run_side, &sides[i]) == 0;
    }
    run_side(&sides[0]);
    for (int64_t i = 0; i < abuse->runs; i++) {
        if (i > 0 && began[i])
            pthread_join(threads[i], NULL);
        else if (i > 0)
            str_format(sides[i].why, sizeof(sides[i].why), "no thread for it");
        size_t len = strlen(outcome->status);
        str_format(outcome->status + len, sizeof(outcome->status) - len, "%s%s", i ? " " : "",
                   sides[i].status);
        if (outcome->verdict == ABUSE_HELD && sides[i].verdict != ABUSE_HELD) {
            str_format(outcome->why, sizeof(outcome->why), "%s", sides[i].why);
            outcome->verdict = sides[i].verdict;
        }
    }
}

/* Each of its requests that no runner must ever see. */
static void try_refused(const struct abuse_case *abuse, const struct abuse_target *target,
                        struct abuse_outcome *outcome)
{
    size_t i;
    json_t *more;
    json_array_foreach(abuse->refused, i, more)
    {
        struct http_answer answer;
        struct err err;
        json_t *body = json_pack("{s:s}", "code", "true");
        json_object_update(body, more);
        if (outcome->verdict != ABUSE_HELD) {
            json_decref(body);
            return;
        }
        if (ask(target, body, &answer, &err) != 0) {
            outcome->verdict = ABUSE_FAILED;
            str_format(outcome->why, sizeof(outcome->why), "refused.%zu: %s", i, err.msg);
            continue;
        }
        char why[ABUSE_WHY_MAX];
        outcome->verdict = abuse_judge_refusal(answer.status, answer.body, answer.len, why);
        if (outcome->verdict != ABUSE_HELD)
            str_format(outcome->why, sizeof(outcome->why), "refused.%zu: %.350s", i, why);
        free(answer.body);
    }
}

void abuse_run(const struct abuse_case *abuse, const struct abuse_target *target,
               struct abuse_outcome *outcome)
{
    mono_us start = clock_now(&clock_system);
    *outcome = (struct abuse_outcome){.verdict = ABUSE_HELD};
    try_refused(abuse, target, outcome);
    if (outcome->verdict == ABUSE_HELD)
        run_sides(abuse, target, outcome);
    outcome->took_ms = (double)(clock_now(&clock_system) - start) / US_PER_MS;
    if (outcome->verdict == ABUSE_HELD && !still_serves(target, outcome->why))
        outcome->verdict = ABUSE_FAILED;
}
