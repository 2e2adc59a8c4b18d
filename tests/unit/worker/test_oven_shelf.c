/* Where runners stand. */
#include "../../../src/worker/oven_shelf.h"

#include "../../support/cm.h"

static struct oven_shelf shelf;
static struct runner runners[3];

static int set_up(void **state)
{
    (void)state;
    shelf = (struct oven_shelf){0};
    memset(runners, 0, sizeof(runners));
    for (int i = 0; i < 3; i++)
        oven_shelf_put(&shelf, &runners[i], 100 + i);
    return 0;
}

static void test_in_the_order_of_putting(void **state)
{
    (void)state;
    assert_int_equal(shelf.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(shelf.first, &runners[i]);
        assert_ptr_equal(runners[i].shelf, &shelf);
        oven_shelf_remove(&runners[i]);
        assert_null(runners[i].shelf);
        assert_int_equal(runners[i].shelved, 100 + i);
    }
    assert_int_equal(shelf.count, 0);
    assert_null(shelf.first);
    assert_null(shelf.last);
}

static void test_from_the_middle_and_the_end(void **state)
{
    (void)state;
    oven_shelf_remove(&runners[1]);
    assert_ptr_equal(runners[0].shelf_next, &runners[2]);
    assert_ptr_equal(runners[2].shelf_prev, &runners[0]);
    oven_shelf_remove(&runners[2]);
    assert_ptr_equal(shelf.last, &runners[0]);
    oven_shelf_put(&shelf, &runners[1], 200);
    assert_ptr_equal(shelf.last, &runners[1]);
    assert_int_equal(runners[1].shelved, 200);
    assert_int_equal(shelf.count, 2);
}

static void test_clear(void **state)
{
    (void)state;
    oven_shelf_clear(&shelf);
    assert_int_equal(shelf.count, 0);
    for (int i = 0; i < 3; i++)
        assert_null(runners[i].shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_in_the_order_of_putting, set_up),
        cmocka_unit_test_setup(test_from_the_middle_and_the_end, set_up),
        cmocka_unit_test_setup(test_clear, set_up),
    };
    return cmocka_run_group_tests_name("oven_shelf", tests, NULL, NULL);
}
