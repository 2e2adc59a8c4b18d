/* Those who wait: in order, and by deadline. */
#include "../../../src/worker/oven_queue.h"

#include "../../support/cm.h"

static struct oven_queue queue;
static struct oven_ticket tickets[4];

static int set_up(void **state)
{
    (void)state;
    static const mono_us deadlines[4] = {30, 10, 0, 20};
    for (unsigned i = 0; i < 4; i++) {
        tickets[i] = (struct oven_ticket){.number = i, .deadline = {.due = deadlines[i]}};
        oven_queue_put(&queue, &tickets[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (queue.first)
        oven_queue_remove(queue.first);
    assert_int_equal(queue.count, 0);
    assert_null(queue.last);
    oven_queue_finish(&queue);
    return 0;
}

static void test_in_the_order_of_arrival(void **state)
{
    (void)state;
    assert_int_equal(queue.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_null(oven_queue_first(&queue, i));
        assert_ptr_equal(oven_queue_first(&queue, i + 1), &tickets[i]);
        oven_queue_remove(&tickets[i]);
    }
    assert_null(oven_queue_first(&queue, 100));
    assert_null(oven_queue_next_due(&queue));
}

static void test_by_deadline(void **state)
{
    (void)state;
    static const unsigned order[4] = {2, 1, 3, 0};
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(oven_queue_next_due(&queue), &tickets[order[i]]);
        oven_queue_remove(&tickets[order[i]]);
    }
}

static void test_any_one_may_leave(void **state)
{
    (void)state;
    oven_queue_remove(&tickets[1]);
    oven_queue_remove(&tickets[3]);
    assert_int_equal(queue.count, 2);
    assert_ptr_equal(queue.first, &tickets[0]);
    assert_ptr_equal(queue.last, &tickets[2]);
    assert_ptr_equal(tickets[0].next, &tickets[2]);
    tickets[3].deadline.due = 5;
    oven_queue_put(&queue, &tickets[3]);
    assert_ptr_equal(queue.last, &tickets[3]);
    oven_queue_remove(&tickets[2]);
    assert_ptr_equal(oven_queue_next_due(&queue), &tickets[3]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(in_the_order_of_arrival),
        T(by_deadline),
        T(any_one_may_leave),
    };
    return cmocka_run_group_tests_name("oven_queue", tests, NULL, NULL);
}
