#include "../../../src/common/version.h"

#include "../../support/cm.h"

static void what_is_a_version(void **state)
{
    static const char *const wrong[] = {"",       "1",       "1.2",     "1.2.",        "1.2.x",
                                        "a 1.2",  "1.2.3.4", "1.2.3 ",  "1.2.1000000", "1.02.3",
                                        "-1.2.3", "1.2.3-",  "1.2.3~1", "1..3",        "v1.2.3"};
    static const char *const right[] = {"0.1.0", "codeland-worker 0.1.0", "a b 0.1.0-rc1",
                                        "0.1.0+git20260101"};
    struct version version;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (version_parse(wrong[i], &version))
            fail_msg("\"%s\" was taken", wrong[i]);
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        if (!version_parse(right[i], &version))
            fail_msg("\"%s\" was not taken", right[i]);
        assert_int_equal(version.numbers[0], 0);
        assert_int_equal(version.numbers[1], 1);
        assert_int_equal(version.numbers[2], 0);
    }
}

static void which_is_older(void **state)
{
    static const char *const rising[] = {"0.0.9", "0.1.0", "0.1.1", "0.2.0", "0.10.0", "1.0.0"};
    (void)state;
    for (size_t i = 0; i < sizeof(rising) / sizeof(rising[0]); i++)
        for (size_t k = 0; k < sizeof(rising) / sizeof(rising[0]); k++) {
            struct version a, b;
            assert_true(version_parse(rising[i], &a) && version_parse(rising[k], &b));
            int compared = version_compare(&a, &b);
            assert_int_equal(compared < 0, i < k);
            assert_int_equal(compared > 0, i > k);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_version),
        cmocka_unit_test(which_is_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
