#include "../../../src/manager/backlog.h"

#include "../../../src/common/frame.h"
#include "../../../src/common/mem.h"
#include "../../support/cm.h"

#include <string.h>

static char letter(size_t at)
{
    return (char)('a' + at % 23);
}

static void fill(struct backlog *backlog, size_t *at, size_t len)
{
    char data[1000];
    while (len > 0) {
        size_t part = len < sizeof(data) ? len : sizeof(data);
        for (size_t i = 0; i < part; i++)
            data[i] = letter((*at)++);
        backlog_add(backlog, data, part);
        len -= part;
    }
}

static void bytes_come_out_in_order(void **state)
{
    struct backlog backlog = {0};
    size_t in = 0, out = 0, len;
    const char *data;
    (void)state;
    assert_int_equal(backlog_front(&backlog, &data), 0);
    backlog_add(&backlog, NULL, 0);
    assert_int_equal(backlog.held_bytes, 0);
    for (size_t round = 1; round < 40; round++) {
        fill(&backlog, &in, round * 7919);
        if (round % 3 == 0) { /* some stays, and is added to */
            len = backlog_front(&backlog, &data);
            for (size_t i = 0; i < len; i++)
                assert_int_equal(data[i], letter(out++));
            backlog_drop(&backlog);
        }
    }
    while ((len = backlog_front(&backlog, &data)) > 0) {
        assert_in_range(len, 1, FRAME_DATA_MAX);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(data[i], letter(out++));
        backlog_drop(&backlog);
    }
    assert_int_equal(out, in);
    assert_int_equal(backlog.held_bytes, 0);
    backlog_finish(&backlog);
}

static void small_messages_share_memory(void **state)
{
    struct backlog backlog = {0};
    (void)state;
    for (int i = 0; i < 100000; i++)
        backlog_add(&backlog, "x", 1);
    assert_in_range(backlog.held_bytes, 100000, 100000 + 2 * FRAME_DATA_MAX);
    backlog_finish(&backlog);
    assert_int_equal(backlog.held_bytes, 0);
}

static void one_is_full_and_has_room_again(void **state)
{
    struct backlog backlog = {0};
    size_t at = 0;
    const char *data;
    (void)state;
    fill(&backlog, &at, BACKLOG_MOST / 2);
    assert_false(backlog_is_full(&backlog));
    while (!backlog_is_full(&backlog))
        fill(&backlog, &at, 100000);
    assert_in_range(at, BACKLOG_MOST - FRAME_DATA_MAX, BACKLOG_MOST + FRAME_DATA_MAX);
    assert_false(backlog_has_room(&backlog));
    while (!backlog_has_room(&backlog)) {
        assert_in_range(backlog_front(&backlog, &data), 1, FRAME_DATA_MAX);
        backlog_drop(&backlog);
    }
    assert_in_range(backlog.held_bytes, BACKLOG_MOST / 4, BACKLOG_MOST / 2);
    backlog_finish(&backlog);
}

static void all_together_are_bounded_and_each_has_its_least(void **state)
{
    struct backlog greedy[3] = {0}, modest = {0};
    size_t at = 0, all = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(greedy); i++) {
        while (!backlog_is_full(&greedy[i]))
            fill(&greedy[i], &at, 100000);
        all += greedy[i].held_bytes;
    }
    assert_in_range(all, BACKLOG_ALL - FRAME_DATA_MAX, BACKLOG_ALL + 2 * BACKLOG_LEAST);
    fill(&modest, &at, BACKLOG_LEAST / 2);
    assert_false(backlog_is_full(&modest));
    fill(&modest, &at, BACKLOG_LEAST);
    assert_true(backlog_is_full(&modest));
    backlog_finish(&greedy[0]);
    backlog_finish(&greedy[1]);
    assert_false(backlog_is_full(&modest));
    assert_true(backlog_has_room(&modest));
    backlog_finish(&greedy[2]);
    backlog_finish(&modest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_in_order),
        cmocka_unit_test(small_messages_share_memory),
        cmocka_unit_test(one_is_full_and_has_room_again),
        cmocka_unit_test(all_together_are_bounded_and_each_has_its_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
