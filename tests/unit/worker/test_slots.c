/* Id slots. */
#include "../../../src/worker/slots.h"

#include "../../support/cm.h"
#include "aborts.h"

static struct slots slots;

static int tear_down(void **state)
{
    (void)state;
    slots_finish(&slots);
    return 0;
}

static void test_the_lowest_free_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(slots_take(&slots), i);
    slots_free(&slots, 130);
    slots_free(&slots, 3);
    slots_free(&slots, 64);
    assert_int_equal(slots_take(&slots), 3);
    assert_int_equal(slots_take(&slots), 64);
    assert_int_equal(slots_take(&slots), 130);
    assert_int_equal(slots_take(&slots), 200);
}

static void test_claimed_ones_are_left_out(void **state)
{
    (void)state;
    assert_true(slots_claim(&slots, 1));
    assert_true(slots_claim(&slots, 1000));
    assert_true(slots_claim(&slots, SLOTS_MOST - 1));
    assert_false(slots_claim(&slots, 1));
    assert_false(slots_claim(&slots, SLOTS_MOST - 1));
    assert_int_equal(slots_take(&slots), 0);
    assert_int_equal(slots_take(&slots), 2);
    assert_false(slots_claim(&slots, 2));
    slots_free(&slots, 1000);
    assert_true(slots_claim(&slots, 1000));
}

static void free_unused(void *data)
{
    slots_free(&slots, *(unsigned *)data);
}

static void take_another(void *data)
{
    (void)data;
    slots_take(&slots);
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    unsigned unused[] = {0, 77, SLOTS_MOST + 5};
    for (unsigned i = 0; i < 3; i++)
        assert_true(aborts(free_unused, &unused[i]));
    for (unsigned i = 0; i < SLOTS_MOST; i++)
        assert_int_equal(slots_take(&slots), i);
    assert_true(aborts(take_another, NULL));
    slots_free(&slots, 40000);
    assert_int_equal(slots_take(&slots), 40000);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(test_##name, tear_down)
    const struct CMUnitTest tests[] = {
        T(the_lowest_free_one),
        T(claimed_ones_are_left_out),
        T(misuse_aborts),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
