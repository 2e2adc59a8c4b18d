#include "../../../src/cli/abuse_judge.h"

#include "../../support/cm.h"

#include <string.h>

static void an_answer_is_judged(void **state)
{
    (void)state;
    static const struct {
        bool says_held, truncated;
        int http;
        const char *body, *status, *why; /* why: NULL, it holds */
    } answers[] = {
        {true, false, 200, "{\"status\": \"ok\", \"stdout\": \"1\\nheld\\n\"}", "ok", NULL},
        {true, false, 200, "{\"status\": \"ok\", \"stdout\": \"\\u0000\\nheld\\n\"}", "ok", NULL},
        {true, false, 200, "{\"status\": \"ok\", \"stdout\": \"held\\nout\\n\"}", "ok", "out"},
        {true, false, 200, "{\"status\": \"ok\", \"stdout\": \"not held\\n\"}", "ok", "not held"},
        {true, false, 200, "{\"status\": \"ok\", \"stdout\": \"\", \"stderr\": \"Oh\"}", "ok",
         "Oh"},
        {true, false, 200, "{\"status\": \"exit\", \"stdout\": \"held\"}", "exit", "none of the"},
        {false, false, 200, "{\"status\": \"memory\"}", "memory", NULL},
        {false, false, 498, "{\"name\": \"runnerTimedOut\"}", "timeout", "none of the ends"},
        {false, true, 200, "{\"status\": \"ok\"}", "ok", "all of its output"},
        {false, true, 200, "{\"status\": \"ok\", \"truncated\": {\"stdout\": true}}", "ok", NULL},
        {false, true, 200,
         "{\"status\": \"ok\", \"truncated\": {\"stdout\": false, \"stderr\": true}}", "ok", NULL},
        {false, false, 502, "{\"message\": \"lost\"}", "502", "the API answers: lost"},
        {false, false, 200, "oops", "200", "no JSON"},
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct abuse_case abuse = {.statuses = "ok memory",
                                         .says_held = answers[i].says_held,
                                         .truncated = answers[i].truncated};
        char status[ABUSE_STATUS_MAX], why[ABUSE_WHY_MAX];
        bool held = abuse_judge(&abuse, answers[i].http, answers[i].body, strlen(answers[i].body),
                                status, why) == ABUSE_HELD;
        assert_string_equal(status, answers[i].status);
        assert_int_equal(held, answers[i].why == NULL);
        assert_contains(why, answers[i].why ? answers[i].why : "");
    }
}

static enum abuse_verdict judge(const struct abuse_case *abuse, int http, const char *body,
                                char why[ABUSE_WHY_MAX])
{
    char status[ABUSE_STATUS_MAX];
    return abuse_judge(abuse, http, body, strlen(body), status, why);
}

static void a_compilers_output_may_be_the_one_that_is_cut(void **state)
{
    const struct abuse_case abuse = {.statuses = "compile_error", .truncated = true};
    char why[ABUSE_WHY_MAX];
    (void)state;
    assert_int_equal(judge(&abuse, 200,
                           "{\"status\":\"compile_error\",\"truncated\":{\"stdout\":false},"
                           "\"compile\":{\"truncated\":{\"stderr\":true}}}",
                           why),
                     ABUSE_HELD);
    assert_int_equal(judge(&abuse, 200, "{\"status\":\"compile_error\",\"compile\":{}}", why),
                     ABUSE_FAILED);
}

static void what_an_installation_has_not_is_not_applicable(void **state)
{
    static const char *const bodies[] = {
        "{\"name\":\"forbidden\",\"message\":\"network: nat is switched off here\"}",
        "{\"name\":\"UnknownLanguage\",\"message\":\"no such\"}",
        "{\"name\":\"RunnerNotAvailable\",\"message\":\"codeland template build native\"}",
    };
    const struct abuse_case abuse = {.statuses = "ok", .optional = true},
                            strict = {.statuses = "ok"};
    char why[ABUSE_WHY_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(judge(&abuse, 403, bodies[i], why), ABUSE_NOT_APPLICABLE);
        assert_int_equal(judge(&strict, 403, bodies[i], why), ABUSE_FAILED);
        assert_contains(why, "the API answers: ");
    }
    assert_int_equal(
        judge(&abuse, 503, "{\"name\":\"RunnerNotAvailable\",\"message\":\"queue\"}", why),
        ABUSE_FAILED);
}

static void files_that_come_back_are_its_own(void **state)
{
    static const struct {
        const char *files, *why; /* NULL: it holds */
    } answers[] = {
        {"[{\"path\":\"a\",\"mode\":420,\"content\":\"bWluZQ==\"},"
         "{\"path\":\"b\",\"mode\":420,\"error\":\"link\"}]",
         NULL},
        {"[{\"path\":\"a\",\"mode\":420,\"content\":\"cm9vdDo=\"}]", "not its own: a"},
        {"[{\"path\":\"a\",\"mode\":420,\"content\":\"bWlu\"}]", "not its own: a"},
        {"[{\"path\":\"a\",\"mode\":420,\"content\":\"*\"}]", "not its own: a"},
        {"[{\"path\":\"a\",\"mode\":2541,\"content\":\"bWluZQ==\"}]", "special mode"},
        {"[{\"path\":\"a\",\"mode\":420,\"content\":\"bWluZQ==\"}]", "not collected so: b=link"},
        {"[{\"path\":\"a\",\"mode\":420,\"error\":\"link\"},"
         "{\"path\":\"b\",\"mode\":420,\"error\":\"link\"}]",
         "not collected so: a=ok"},
        {"[]", "not collected so: a=ok"},
    };
    const struct abuse_case abuse = {.statuses = "ok", .collected = "a=ok b=link"};
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char body[500], why[ABUSE_WHY_MAX];
        snprintf(body, sizeof(body), "{\"status\":\"ok\",\"files\":%s}", answers[i].files);
        assert_int_equal(judge(&abuse, 200, body, why), answers[i].why ? ABUSE_FAILED : ABUSE_HELD);
        assert_contains(why, answers[i].why ? answers[i].why : "");
    }
}

static void an_exit_is_judged(void **state)
{
    static const struct {
        int code;
        const char *output, *status;
        enum abuse_verdict verdict;
    } ends[] = {
        {0, "x\nheld\n", "ok", ABUSE_HELD},        {0, "", "ok", ABUSE_FAILED},
        {124, "held\n", "timeout", ABUSE_HELD},    {125, "held\n", "error", ABUSE_FAILED},
        {137, "held\n", "exit 137", ABUSE_FAILED},
    };
    const struct abuse_case abuse = {.statuses = "ok timeout", .says_held = true};
    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char status[ABUSE_STATUS_MAX], why[ABUSE_WHY_MAX];
        assert_int_equal(abuse_judge_exit(&abuse, ends[i].code, ends[i].output,
                                          strlen(ends[i].output), status, why),
                         ends[i].verdict);
        assert_string_equal(status, ends[i].status);
    }
}

static void a_refusal_is_a_400(void **state)
{
    char why[ABUSE_WHY_MAX];
    (void)state;
    assert_int_equal(abuse_judge_refusal(400, "{}", 2, why), ABUSE_HELD);
    assert_int_equal(abuse_judge_refusal(200, "{\"status\":1}", 12, why), ABUSE_FAILED);
    assert_contains(why, "{\"status\":1}");
    assert_int_equal(abuse_judge_refusal(500, "", 0, why), ABUSE_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_judged),
        cmocka_unit_test(a_compilers_output_may_be_the_one_that_is_cut),
        cmocka_unit_test(what_an_installation_has_not_is_not_applicable),
        cmocka_unit_test(files_that_come_back_are_its_own),
        cmocka_unit_test(an_exit_is_judged),
        cmocka_unit_test(a_refusal_is_a_400),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
