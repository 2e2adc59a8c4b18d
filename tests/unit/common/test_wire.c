#include "../../../src/common/wire.h"

#include "../../support/cm.h"

#include <stdlib.h>

static struct wire_reader over(const void *data, size_t len)
{
    return (struct wire_reader){.at = data, .left = len};
}

static void numbers_are_little_endian(void **state)
{
    (void)state;
    unsigned char data[12];
    struct wire_writer writer = {.data = data, .room = sizeof(data)};
    wire_write_u32(&writer, 0x01020304);
    wire_write_u64(&writer, 0x1122334455667788);
    assert_false(writer.full);
    assert_int_equal(writer.len, 12);
    assert_memory_equal(data, "\x04\x03\x02\x01\x88\x77\x66\x55\x44\x33\x22\x11", 12);
    struct wire_reader reader = over(data, sizeof(data));
    assert_int_equal(wire_read_u32(&reader), 0x01020304);
    assert_true(wire_read_u64(&reader) == 0x1122334455667788);
    assert_true(wire_read_done(&reader));
}

static void extremes_come_back(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, UINT32_MAX, UINT32_MAX + 1ull, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < 6; i++) {
        unsigned char data[12];
        struct wire_writer writer = {.data = data, .room = sizeof(data)};
        wire_write_u64(&writer, numbers[i]);
        wire_write_u32(&writer, (uint32_t)numbers[i]);
        struct wire_reader reader = over(data, sizeof(data));
        assert_true(wire_read_u64(&reader) == numbers[i]);
        assert_true(wire_read_u32(&reader) == (uint32_t)numbers[i]);
    }
}

/* On the heap, so that a byte too far is found by the sanitizer. */
static void short_of_any_length_is_bad(void **state)
{
    (void)state;
    unsigned char data[64];
    struct wire_writer writer = {.data = data, .room = sizeof(data)};
    wire_write_u32(&writer, 7);
    wire_write_str(&writer, "hello");
    wire_write_u64(&writer, 9);
    wire_write_str(&writer, "");
    assert_int_equal(writer.len, 4 + 10 + 8 + 5);
    for (size_t len = 0; len <= writer.len; len++) {
        unsigned char *copy = malloc(len ? len : 1);
        memcpy(copy, data, len);
        struct wire_reader reader = over(copy, len);
        uint32_t first = wire_read_u32(&reader);
        const char *text = wire_read_str(&reader);
        uint64_t second = wire_read_u64(&reader);
        const char *empty = wire_read_str(&reader);
        assert_int_equal(first, len >= 4 ? 7 : 0);
        assert_string_equal(text, len >= 14 ? "hello" : "");
        assert_int_equal(second, len >= 22 ? 9 : 0);
        assert_string_equal(empty, "");
        assert_int_equal(reader.bad, len < writer.len);
        assert_int_equal(wire_read_done(&reader), len == writer.len);
        free(copy);
    }
}

static void bad_stays_bad(void **state)
{
    (void)state;
    struct wire_reader reader = over("\1\0\0\0\2\0\0\0", 7);
    assert_int_equal(wire_read_u32(&reader), 1);
    assert_int_equal(wire_read_u32(&reader), 0);
    assert_true(reader.bad);
    reader.left = 8; /* whatever comes */
    assert_int_equal(wire_read_u32(&reader), 0);
    assert_string_equal(wire_read_str(&reader), "");
    assert_false(wire_read_done(&reader));
}

static void left_over_is_not_done(void **state)
{
    (void)state;
    struct wire_reader reader = over("\1\0\0\0\0", 5);
    wire_read_u32(&reader);
    assert_false(reader.bad);
    assert_false(wire_read_done(&reader));
}

static void strings_that_lie(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t len;
    } lies[] = {
        {"\3\0\0\0abcd", 8},       /* no NUL where one must be */
        {"\3\0\0\0a\0c\0", 8},     /* one inside */
        {"\3\0\0\0\0\0\0\0", 8},   /* nothing but */
        {"\4\0\0\0abc\0", 8},      /* longer than the rest by the NUL */
        {"\xFF\xFF\xFF\xFF\0", 5}, /* plus one is nothing in 32 bits */
        {"\xFF\xFF\xFF\x7F"
         "abc\0",
         8},
        {"\0\0\0\0", 4},  /* the NUL is missing */
        {"\0\0\0\0x", 5}, /* not one */
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct wire_reader reader = over(lies[i].data, lies[i].len);
        assert_string_equal(wire_read_str(&reader), "");
        if (!reader.bad)
            fail_msg("case %zu", i);
    }
}

static void string_is_used_in_place(void **state)
{
    (void)state;
    const char data[] = "\3\0\0\0abc\0";
    struct wire_reader reader = over(data, 8);
    assert_ptr_equal(wire_read_str(&reader), data + 4);
    assert_true(wire_read_done(&reader));
}

static void writer_leaves_out_what_does_not_fit(void **state)
{
    (void)state;
    for (size_t room = 0; room <= 4 + 6 + 8; room++) {
        unsigned char *data = malloc(room ? room : 1);
        struct wire_writer writer = {.data = data, .room = room};
        wire_write_u32(&writer, 1);
        wire_write_str(&writer, "a");
        wire_write_u64(&writer, 2);
        assert_int_equal(writer.full, room < 18);
        assert_true(writer.len <= room);
        free(data);
    }
    unsigned char data[8];
    struct wire_writer writer = {.data = data, .room = 6};
    wire_write_u64(&writer, 1);
    assert_true(writer.full);
    size_t len = writer.len;
    wire_write_str(&writer, ""); /* nothing more is taken once something was left out */
    assert_int_equal(writer.len, len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(extremes_come_back),
        cmocka_unit_test(short_of_any_length_is_bad),
        cmocka_unit_test(bad_stays_bad),
        cmocka_unit_test(left_over_is_not_done),
        cmocka_unit_test(strings_that_lie),
        cmocka_unit_test(string_is_used_in_place),
        cmocka_unit_test(writer_leaves_out_what_does_not_fit),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
