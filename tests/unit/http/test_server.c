/* The whole of the HTTP side over real sockets: what it answers, to whom, and how it bears clients
 * that misbehave.
 */
#include "rig.h"

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig_init(rig);
    rig_start(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_stop(*state);
    free(*state);
    return 0;
}

static void test_a_run(void **state)
{
    struct rig *rig = *state;
    struct answer answer;
    rig_call(rig, "POST", "/api/v1/runner/run", rig->admin, "{\"code\":\"echo hi\"}", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer, "stdout"), "echo hi");
    assert_string_equal(answer_text(&answer, "res"), "ZWNobyBoaQ==");
    assert_string_equal(answer_text(&answer, "status"), "ok");
    answer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_run, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
