/* The heap of times. */
#include "../../../src/worker/heap.h"

#include "../../support/cm.h"

#include <stdlib.h>

struct item {
    int number;
    struct heap_node node;
};

static struct heap heap;

static int tear_down(void **state)
{
    (void)state;
    heap_finish(&heap);
    return 0;
}

static struct item *first(void)
{
    struct heap_node *node = heap_first(&heap);
    return node ? HEAP_ENTRY(node, struct item, node) : NULL;
}

static void test_the_earliest_first_then_the_oldest(void **state)
{
    (void)state;
    static const mono_us dues[] = {50, 10, 30, 10, 0, 50, 10};
    static const int order[] = {4, 1, 3, 6, 2, 0, 5};
    struct item items[7] = {0};
    assert_null(first());
    for (int i = 0; i < 7; i++) {
        items[i].number = i;
        heap_push(&heap, &items[i].node, dues[i]);
    }
    for (int i = 0; i < 7; i++) {
        assert_int_equal(first()->number, order[i]);
        heap_remove(&heap, &first()->node);
    }
    assert_null(first());
}

static void test_another_time(void **state)
{
    (void)state;
    struct item a = {.number = 1}, b = {.number = 2};
    heap_push(&heap, &a.node, 10);
    heap_push(&heap, &b.node, 20);
    heap_push(&heap, &a.node, 30);
    assert_int_equal(first()->number, 2);
    assert_int_equal(heap.count, 2);
    heap_remove(&heap, &b.node);
    heap_remove(&heap, &b.node); /* in none: nothing */
    assert_int_equal(first()->number, 1);
}

#define MANY 2000

/* Against the plain way of finding the first. */
static void test_any_order(void **state)
{
    (void)state;
    struct item *items = calloc(MANY, sizeof(*items));
    assert_non_null(items);
    srand(1);
    for (int round = 0; round < 3 * MANY; round++) {
        struct item *item = &items[rand() % MANY];
        if (rand() % 3 == 0)
            heap_remove(&heap, &item->node);
        else
            heap_push(&heap, &item->node, rand() % 100);
        if (round % 20 != 0)
            continue;
        const struct heap_node *least = NULL;
        unsigned count = 0;
        for (int i = 0; i < MANY; i++) {
            const struct heap_node *node = &items[i].node;
            if (node->place == 0)
                continue;
            count++;
            if (!least || node->due < least->due ||
                (node->due == least->due && node->order < least->order))
                least = node;
        }
        assert_ptr_equal(heap_first(&heap), least);
        assert_int_equal(heap.count, count);
    }
    free(items);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(test_##name, tear_down)
    const struct CMUnitTest tests[] = {
        T(the_earliest_first_then_the_oldest),
        T(another_time),
        T(any_order),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
