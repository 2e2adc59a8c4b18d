#include "abuse_run.h"

#include "http_client.h"

#include "../common/clock.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <pthread.h>
#include <string.h>

#define RUN_PATH "/api/v1/runner/run"

/* A case that is not over by then has broken something: all of them are bounded by their time. */
#define ANSWER_TIMEOUT_MS 120000

#define TIMED_OUT 498

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
    json_t *body = json_pack("{s:s, s:[s, s], s:{s:s}}", "code", starter_of(abuse), "args",
                             argument, target->address, "env", "ABUSE", program);
    if (abuse->time_ms > 0)
        json_object_set_new(body, "time", json_real((double)abuse->time_ms / 1000));
    if (abuse->memory_mib > 0)
        json_object_set_new(body, "memory", json_integer(abuse->memory_mib << 20));
    if (abuse->stdin_bytes > 0) {
        cleanup_free char *input = mem_calloc(1, (size_t)abuse->stdin_bytes + 1);
        memset(input, 'x', (size_t)abuse->stdin_bytes);
        json_object_set_new(body, "stdin", json_string(input));
    }
    return body;
}

/* ---- the answer ---- */

/* Of a text that may hold NULs: *len is its length, and then the line's. */
static const char *last_line(const char *text, size_t *len)
{
    size_t end = *len;
    while (end > 0 && text[end - 1] == '\n')
        end--;
    const char *start = text + end;
    while (start > text && start[-1] != '\n')
        start--;
    *len = (size_t)(text + end - start);
    return start;
}

static bool wrong(char why[400], const char *what, const char *text, size_t len)
{
    str_format(why, 400, "%s%.*s", what, (int)(len < 300 ? len : 300), text);
    return false;
}

static bool judge_result(const struct abuse_case *abuse, const json_t *result,
                         const char status[32], char why[400])
{
    const char *text = "", *errors = "";
    struct err ignored;
    json_t *truncated = NULL;
    bool was_cut = false;
    size_t len = 0, errors_len = 0;
    json_get_string(result, "stdout", false, &text, &len, &ignored);
    json_get_string(result, "stderr", false, &errors, &errors_len, &ignored);
    const char *line = last_line(text, &len);
    bool says_held = len == 4 && memcmp(line, "held", 4) == 0;
    if (len == 0)
        line = last_line(errors, &errors_len), len = errors_len;
    if (!abuse_case_allows(abuse, status))
        return wrong(why, "this is none of the ends that it may have: ", line, len);
    if (abuse->says_held && !says_held)
        return wrong(why, "", line, len);
    json_get_object(result, "truncated", false, &truncated, &ignored);
    json_get_bool(truncated, "stdout", false, &was_cut, &ignored);
    if (!was_cut)
        json_get_bool(truncated, "stderr", false, &was_cut, &ignored);
    if (abuse->truncated && !was_cut)
        return wrong(why, "all of its output was kept", "", 0);
    return true;
}

bool abuse_judge(const struct abuse_case *abuse, int http_status, const char *body, size_t len,
                 char status[32], char why[400])
{
    struct err err;
    const char *text = "";
    cleanup_json json_t *result = json_parse_object(body, len, true, &err);
    why[0] = '\0';
    str_format(status, 32, "%d", http_status);
    if (!result)
        return wrong(why, "the answer is no JSON: ", err.msg, strlen(err.msg));
    if (http_status == TIMED_OUT) {
        str_format(status, 32, "timeout");
        return judge_result(abuse, result, status, why);
    }
    if (http_status == 200 && json_get_string(result, "status", true, &text, NULL, &err) == 0) {
        str_format(status, 32, "%.31s", text);
        return judge_result(abuse, result, status, why);
    }
    json_get_string(result, "message", false, &text, NULL, &err);
    return wrong(why, "the API answers: ", text, strlen(text));
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
    bool held;
    char status[32], why[400];
};

static void *run_side(void *data)
{
    struct side *side = data;
    struct http_answer answer;
    struct err err;
    if (ask(side->target, abuse_request(side->abuse, side->target, side->number), &answer, &err) !=
        0) {
        str_format(side->status, sizeof(side->status), "lost");
        str_format(side->why, sizeof(side->why), "%s", err.msg);
        return NULL;
    }
    side->held =
        abuse_judge(side->abuse, answer.status, answer.body, answer.len, side->status, side->why);
    free(answer.body);
    return NULL;
}

/* The service goes on: the next one gets a fresh runner that knows nothing of all this. */
static bool still_serves(const struct abuse_target *target, char why[400])
{
    struct http_answer answer;
    struct err err;
    char status[32];
    const struct abuse_case next = {.statuses = "ok", .says_held = true};
    if (ask(target, json_pack("{s:s}", "code", "ls -A; echo held"), &answer, &err) != 0) {
        str_format(why, 400, "afterwards: %s", err.msg);
        return false;
    }
    char said[400];
    bool good = abuse_judge(&next, answer.status, answer.body, answer.len, status, said);
    if (!good)
        str_format(why, 400, "afterwards: %s, %.300s", status, said);
    free(answer.body);
    return good;
}

void abuse_run(const struct abuse_case *abuse, const struct abuse_target *target,
               struct abuse_outcome *outcome)
{
    struct side sides[ABUSE_RUNS_MAX];
    pthread_t threads[ABUSE_RUNS_MAX];
    bool began[ABUSE_RUNS_MAX] = {false};
    mono_us start = clock_now(&clock_system);
    *outcome = (struct abuse_outcome){.held = true};
    for (int64_t i = 0; i < abuse->runs; i++) {
        sides[i] = (struct side){.abuse = abuse, .target = target, .number = i + 1};
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
        if (outcome->held && !sides[i].held)
            str_format(outcome->why, sizeof(outcome->why), "%s", sides[i].why);
        outcome->held = outcome->held && sides[i].held;
    }
    outcome->took_ms = (double)(clock_now(&clock_system) - start) / US_PER_MS;
    if (outcome->held)
        outcome->held = still_serves(target, outcome->why);
}
