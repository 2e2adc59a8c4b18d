#include "../../../src/common/frame.h"

#include "../../../src/common/wire.h"
#include "../../support/cm.h"

#include <stdlib.h>

/* The table once more, as data. */
static const struct {
    const char *name;
    uint8_t type;
    uint32_t max;
} kinds[] = {
#define FRAME(name, number, max, shape) {#name, number, max},
#include "../../../src/common/proto.def"
#undef FRAME
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static char *make(uint8_t type, uint32_t len)
{
    char *bytes = malloc(FRAME_HEADER_LEN + len);
    frame_put_header((unsigned char *)bytes, type, 0, len);
    for (uint32_t i = 0; i < len; i++)
        bytes[FRAME_HEADER_LEN + i] = (char)(i * 7);
    return bytes;
}

static void header_is_as_written_down(void **state)
{
    (void)state;
    unsigned char header[FRAME_HEADER_LEN];
    memset(header, 0xEE, sizeof(header));
    frame_put_header(header, 33, 5, 0x01020304);
    assert_memory_equal(header, "\x21\x05\0\0\x04\x03\x02\x01", 8);
}

static void numbers_and_names_are_unique_and_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        assert_string_equal(frame_name(kinds[i].type), kinds[i].name);
        assert_int_equal(frame_max_len(kinds[i].type), kinds[i].max);
        assert_true(kinds[i].max <= FRAME_CONTROL_MAX);
        assert_true(kinds[i].type != 0);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(kinds[k].type, kinds[i].type);
            assert_string_not_equal(kinds[k].name, kinds[i].name);
        }
    }
    unsigned known = 0;
    for (unsigned type = 0; type < 256; type++)
        known += frame_max_len((uint8_t)type) >= 0;
    assert_int_equal(known, KINDS);
    assert_string_equal(frame_name(0), "unknown");
    assert_string_equal(frame_name(255), "unknown");
    assert_int_equal(frame_max_len(255), -1);
}

/* Cut after every byte: more is wanted until the last is there, and never a byte beyond is read. */
static void cut_after_every_byte(void **state)
{
    (void)state;
    const uint32_t len = 300;
    char *whole = make(FRAME_STDOUT, len);
    for (size_t cut = 0; cut <= FRAME_HEADER_LEN + len; cut++) {
        char *copy = malloc(cut ? cut : 1);
        memcpy(copy, whole, cut);
        struct frame frame;
        size_t used = 4711;
        enum frame_status status = frame_parse(copy, cut, &frame, &used);
        if (cut == FRAME_HEADER_LEN + len) {
            assert_int_equal(status, FRAME_OK);
            assert_int_equal(used, FRAME_HEADER_LEN + len);
            assert_int_equal(frame.type, FRAME_STDOUT);
            assert_int_equal(frame.flags, 0);
            assert_int_equal(frame.len, len);
            assert_ptr_equal(frame.payload, copy + FRAME_HEADER_LEN);
        } else {
            assert_int_equal(status, FRAME_MORE);
            assert_int_equal(used,
                             cut < FRAME_HEADER_LEN ? FRAME_HEADER_LEN : FRAME_HEADER_LEN + len);
        }
        free(copy);
    }
    free(whole);
}

static void what_follows_is_left_alone(void **state)
{
    (void)state;
    char bytes[3 * FRAME_HEADER_LEN + 5];
    frame_put_header((unsigned char *)bytes, FRAME_STDIN, 0, 5);
    memcpy(bytes + 8, "12345", 5);
    frame_put_header((unsigned char *)bytes + 13, FRAME_STDIN_EOF, 0, 0);
    memset(bytes + 21, 0xFF, 8); /* garbage, two frames later */
    struct frame frame;
    size_t used;
    assert_int_equal(frame_parse(bytes, sizeof(bytes), &frame, &used), FRAME_OK);
    assert_int_equal(used, 13);
    assert_memory_equal(frame.payload, "12345", 5);
    assert_int_equal(frame_parse(bytes + 13, sizeof(bytes) - 13, &frame, &used), FRAME_OK);
    assert_int_equal(used, 8);
    assert_int_equal(frame.type, FRAME_STDIN_EOF);
    assert_int_equal(frame.len, 0);
    assert_int_equal(frame_parse(bytes + 21, 8, &frame, &used), FRAME_BAD);
    assert_int_equal(frame.type, 0xFF); /* for the log */
    assert_int_equal(frame.len, UINT32_MAX);
}

static void every_bound_is_met_and_never_passed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct frame frame;
        size_t used;
        char *bytes = make(kinds[i].type, kinds[i].max);
        size_t total = FRAME_HEADER_LEN + (size_t)kinds[i].max;
        assert_int_equal(frame_parse(bytes, total, &frame, &used), FRAME_OK);
        assert_int_equal(used, total);
        assert_int_equal(frame.len, kinds[i].max);
        free(bytes);

        unsigned char header[FRAME_HEADER_LEN];
        static const uint32_t over[] = {1, 0x7FFFFFFF, 0xFFFFFFFF};
        for (size_t k = 0; k < 3; k++) {
            uint32_t len = k == 0 ? kinds[i].max + 1 : over[k];
            frame_put_header(header, kinds[i].type, 0, len);
            if (frame_parse(header, sizeof(header), &frame, &used) != FRAME_BAD)
                fail_msg("%s lets %u bytes in", kinds[i].name, len);
            assert_int_equal(frame.type, kinds[i].type);
            assert_int_equal(frame.len, len);
        }
    }
}

static void unknown_types_are_bad_even_when_empty(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        if (frame_max_len((uint8_t)type) >= 0)
            continue;
        unsigned char header[FRAME_HEADER_LEN];
        struct frame frame;
        size_t used;
        frame_put_header(header, (uint8_t)type, 0, 0);
        assert_int_equal(frame_parse(header, sizeof(header), &frame, &used), FRAME_BAD);
        assert_int_equal(frame.type, type);
    }
}

static void every_reserved_bit_is_bad(void **state)
{
    (void)state;
    for (int bit = 8; bit < 32; bit++) {
        unsigned char header[FRAME_HEADER_LEN];
        struct frame frame;
        size_t used;
        frame_put_header(header, FRAME_STDIN_EOF, 0, 0);
        assert_int_equal(frame_parse(header, sizeof(header), &frame, &used), FRAME_OK);
        header[bit / 8] |= (unsigned char)(1 << bit % 8);
        if (frame_parse(header, sizeof(header), &frame, &used) != FRAME_BAD)
            fail_msg("bit %d", bit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_as_written_down),
        cmocka_unit_test(numbers_and_names_are_unique_and_bounded),
        cmocka_unit_test(cut_after_every_byte),
        cmocka_unit_test(what_follows_is_left_alone),
        cmocka_unit_test(every_bound_is_met_and_never_passed),
        cmocka_unit_test(unknown_types_are_bad_even_when_empty),
        cmocka_unit_test(every_reserved_bit_is_bad),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
