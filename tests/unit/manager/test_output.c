#include "../../../src/manager/output.h"
#include "../../support/cm.h"

static void assert_order(const struct output *output, const char *bytes, size_t len)
{
    struct output_cursor cursor = {0};
    const char *piece;
    size_t piece_len, at = 0;
    while (output_next(output, &cursor, &piece, &piece_len)) {
        assert_true(piece_len > 0 && at + piece_len <= len);
        assert_memory_equal(bytes + at, piece, piece_len);
        at += piece_len;
    }
    assert_int_equal(at, len);
}

static void test_order_and_caps(void **state)
{
    (void)state;
    struct output output;
    output_init(&output, 5);
    assert_order(&output, "", 0);
    assert_true(output_add(&output, true, "e1", 2)); /* stderr first */
    assert_true(output_add(&output, false, "", 0));
    assert_true(output_add(&output, false, "out", 3));
    assert_true(output_add(&output, true, "e2", 2));
    assert_order(&output, "e1oute2", 7);
    assert_false(output_add(&output, false, "XYZ", 3));
    assert_true(output_add(&output, true, "3", 1));
    assert_false(output_add(&output, true, "4", 1));
    assert_order(&output, "e1oute2XY3", 10);
    assert_int_equal(output.out.len, 5);
    assert_int_equal(output.err.len, 5);
    output_finish(&output);
}

/* Byte by byte by turns is the worst case, and costs a byte a byte. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    enum { CAP = 100000 };
    struct output output;
    static char wanted[2 * CAP];
    output_init(&output, CAP);
    for (int i = 0; i < 2 * CAP; i++) {
        wanted[i] = (char)i;
        assert_true(output_add(&output, i % 2 == 0, wanted + i, 1));
    }
    assert_true(output.turns.len <= 2 * CAP + 1);
    assert_order(&output, wanted, sizeof(wanted));
    assert_false(output_add(&output, false, "x", 1));
    assert_false(output_add(&output, true, "x", 1));
    assert_order(&output, wanted, sizeof(wanted));
    output_finish(&output);
}

static void test_long_turns(void **state)
{
    (void)state;
    enum { SIZE = 70000 };
    struct output output;
    static char wanted[4 * SIZE];
    output_init(&output, 1000000);
    for (size_t i = 0; i < sizeof(wanted); i++)
        wanted[i] = (char)(i * 7);
    output_add(&output, false, wanted, SIZE);
    output_add(&output, false, wanted + SIZE, SIZE);
    output_add(&output, true, wanted + 2 * SIZE, 127);
    output_add(&output, false, wanted + 2 * SIZE + 127, 128);
    output_add(&output, true, wanted + 2 * SIZE + 255, 2 * SIZE - 255);
    assert_order(&output, wanted, sizeof(wanted));
    output_finish(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_caps),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_long_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
